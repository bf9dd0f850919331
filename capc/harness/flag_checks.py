"""Checks of single flags, and of those that say how parties vote; each error names its flag."""

from __future__ import annotations

import argparse
import math

from capc.errors import ConfigError
from capc.files import shortened
from capc.privacy.voting_rules import Voting


def voting_of(flags: argparse.Namespace) -> Voting:
    """The voting rule; ConfigError for what does not go together."""
    if flags.task == "single-label":
        for name in ("voting", "max_labels"):
            if getattr(flags, name) is not None:
                raise ConfigError(f"--{name} needs --task multi-label")
        return "plurality"
    voting: Voting = flags.voting or "binary"
    if (voting == "tau") != (flags.max_labels is not None):
        raise ConfigError("--max_labels goes with --voting tau, and tau needs it")
    if voting == "powerset":
        return voting
    if flags.threshold is not None:
        raise ConfigError(
            f"--threshold is refused with --voting {voting}, where no count is the largest one: "
            "leave it out, or use --voting powerset"
        )
    if flags.noise == "distributed":
        raise ConfigError(
            f"--noise distributed is refused with --voting {voting}: its account holds for one "
            "vote that moves, as with --voting powerset"
        )
    return voting


def check_min_parties(flags: argparse.Namespace) -> None:
    """ConfigError for more parties than there are, and where every party is waited for anyway."""
    if flags.min_parties is None:
        return
    whole("min_parties", flags.min_parties, 1, flags.n_parties)
    if flags.step and flags.min_parties < flags.n_parties:
        raise ConfigError(
            "--min_parties is refused with --step, which waits for every party: leave one out"
        )


def whole(name: str, value: int, low: int, high: int) -> None:
    """Raise ConfigError unless the flag is one of these whole numbers."""
    if not low <= value <= high:
        raise ConfigError(f"--{name} is {shortened(value)}; allowed is {low} to {high}")


def positive(name: str, value: float, high: float = math.inf) -> None:
    """Raise ConfigError unless the flag is a finite number above 0."""
    if not (math.isfinite(value) and 0 < value <= high):
        limit = "" if math.isinf(high) else f", up to {high:.0f}"
        raise ConfigError(f"--{name} is {value:g}; allowed is a number above 0{limit}")


def not_negative(name: str, value: float) -> None:
    """Raise ConfigError unless the flag is a finite number of at least 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"--{name} is {value:g}; allowed is a number of at least 0")
