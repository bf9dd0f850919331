"""Who draws the noise, as the subcommands of `capc privacy` are told."""

from __future__ import annotations

import argparse

from capc.errors import ConfigError
from capc.privacy.distributed import NOISE_SOURCES
from capc.privacy.rdp import Mechanism


def add_noise_source(command: argparse.ArgumentParser) -> None:
    """--noise, for a rule that knows two sources; --parties and --colluding."""
    command.add_argument(
        "--noise",
        choices=NOISE_SOURCES,
        default="guardian",
        help="who draws it (default guardian)",
    )
    add_parties(command)


def add_parties(command: argparse.ArgumentParser) -> None:
    """--parties and --colluding."""
    add = command.add_argument
    add("--parties", type=int, help="with distributed noise: how many answering parties drew it")
    add("--colluding", type=int, default=0, help="of them, who may tell others (default 0)")


def refuse_answered(options: argparse.Namespace) -> None:
    """Raise ConfigError for --answered where answered queries cost what the others do."""
    if options.noise == "distributed" and options.answered is not None:
        raise ConfigError(
            "--answered has no use: under distributed noise each query costs the same"
        )


def distributed_mechanism(options: argparse.Namespace, sigma: float) -> Mechanism | None:
    """The mechanism of a query under distributed noise; None where the guardian draws it."""
    if options.noise != "distributed":
        if options.parties is not None or options.colluding:
            raise ConfigError("--parties and --colluding need --noise distributed")
        return None
    if options.parties is None:
        raise ConfigError("--noise distributed needs --parties")
    if options.sigma_threshold is not None:
        raise ConfigError("--noise distributed knows no --sigma_threshold: leave it out")
    return Mechanism("distributed", sigma, None, options.parties, options.colluding)
