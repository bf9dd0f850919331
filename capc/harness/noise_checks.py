"""Checks of the flags that say how much noise there is, and who draws it."""

from __future__ import annotations

import argparse

from capc.errors import ConfigError
from capc.harness.flag_checks import not_negative, whole
from capc.privacy.noise import refuse_unusable, refuse_wrap, reserved_range


def check_noise_source(flags: argparse.Namespace) -> None:
    """ConfigError that names the flag which does not go with the source of the noise."""
    if flags.noise == "distributed":
        whole("colluding", flags.colluding, 0, (flags.min_parties or flags.n_parties) - 1)
        if flags.sigma_threshold is not None:
            raise ConfigError(
                "--sigma_threshold is refused with --noise distributed: label and threshold come "
                "from the same noisy counts; leave it out"
            )
        return
    if flags.colluding:
        raise ConfigError("--colluding needs --noise distributed")
    if flags.threshold is not None:
        if flags.sigma_threshold is None:
            raise ConfigError("--threshold needs --sigma_threshold, the noise on the comparison")
        not_negative("sigma_threshold", flags.sigma_threshold)


def noise_fits(flags: argparse.Namespace, name: str, sigma: float, draws: int) -> None:
    """As who draws it will check it: noisy votes must not wrap in the circuit's 32 bits."""
    draws *= flags.n_queries
    reserved = reserved_range(flags.n_parties, flags.threshold)
    try:
        if flags.noise == "distributed":
            refuse_unusable(
                *(sigma, flags.n_parties, flags.colluding, draws, flags.threshold),
                fewest=flags.min_parties,
            )
        else:
            refuse_wrap(sigma, draws, reserved=reserved)
    except ConfigError as error:
        raise ConfigError(f"--{name}: {error}") from None
