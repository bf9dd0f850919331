"""Noise that the answering parties draw themselves: its scale, and how far its sum is off.

Votes and noise are counted in units of 2^-8 of a vote. Each of n parties adds a discrete Gaussian
of variance (256 sigma)^2 / (n - C), so that the noises of any n - C of them add up to a variance of
(256 sigma)^2, whatever C others know. A sum of m discrete Gaussians is not quite one: Kairouz, Liu
and Steinke 2021 (arXiv 2102.06387), Proposition 14, bound what that costs by

    tau = 10 sum_{k=1}^{m-1} exp(-2 pi^2 s^2 k / (k + 1)),  s^2 the variance of each, in units,

more Renyi divergence, at every order, for each count in which two neighbouring votes differ.

Where at least M of the n may answer a query, M stands for n in the parties' scale and in the bound:
the noises of any M - C who answer suffice then. What more parties add is independent of the votes,
and adding it is post-processing, which costs nothing; so the bound for M holds for all from M to n.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS

NoiseSource = Literal["guardian", "distributed"]
NOISE_SOURCES: tuple[NoiseSource, ...] = get_args(NoiseSource)
"""Who draws the noise: the guardian, or each answering party its part."""

VOTE_SHIFT = 8
"""A vote counts 2^VOTE_SHIFT units."""

UNITS = 1 << VOTE_SHIFT

MOVED_COUNTS = 2
"""Counts that differ between neighbours: a vote moves from one class to another."""

_LEAST_VARIANCE = 0.5
"""Of each summand, in units squared: the proposition's condition."""


def check_collusion(parties: int, colluding: int) -> int:
    """How many parties' noise counts, n - C; ConfigError unless 0 <= C < n."""
    if not 0 <= colluding < parties:
        raise ConfigError(
            f"colluding is {colluding}; allowed is 0 to {parties - 1}: of {parties} answering "
            "parties at least one has to keep its noise to itself"
        )
    return parties - colluding


def party_sigma(sigma: float, parties: int, colluding: int = 0) -> float:
    """The scale in units of one party's noise on a count; `sigma` is the sum's, in votes.

    0 without noise. Raises ConfigError where it is too small for the bound on the sum.
    """
    counted = check_collusion(parties, colluding)
    scale = UNITS * sigma / math.sqrt(counted)
    if 0.0 < scale * scale < _LEAST_VARIANCE:
        least = 1.001 * math.sqrt(_LEAST_VARIANCE * counted) / UNITS  # rounded to be usable
        raise ConfigError(
            f"sigma is {sigma:g}; distributed over {counted} parties it has to be 0 or at least "
            f"{least:.4g}, or the sum of their noises is no discrete Gaussian"
        )
    return scale


def total_sigma(sigma: float, parties: int, colluding: int = 0, fewest: int | None = None) -> float:
    """The scale in votes of all n noises together, which the labels see: sigma or more.

    `fewest` is M of the module's head, by default n.
    """
    return sigma * math.sqrt(parties / check_collusion(fewest or parties, colluding))


def log_tau(sigma: float, parties: int, colluding: int = 0) -> float:
    """log tau of the module's head; -inf for a single noise, and without noise."""
    counted = check_collusion(parties, colluding)
    variance = party_sigma(sigma, parties, colluding) ** 2
    if counted == 1 or variance == 0.0:
        return -math.inf
    exponents = [-2.0 * math.pi**2 * variance * k / (k + 1) for k in range(1, counted)]
    return (
        math.log(10.0)
        + exponents[0]
        + math.log(sum(math.exp(exponent - exponents[0]) for exponent in exponents))
    )


def log_excess(sigma: float, parties: int, colluding: int = 0) -> float:
    """log of what a query costs above order / sigma^2, at every order."""
    return math.log(MOVED_COUNTS) + log_tau(sigma, parties, colluding)


def excess_text(log_value: float) -> str:
    """The number exp(log_value), also where it is too small for a float: as 3.1e-412."""
    if log_value == -math.inf:
        return "0"
    exponent = math.floor(log_value / math.log(10.0))
    mantissa = 10.0 ** (log_value / math.log(10.0) - exponent)
    return f"{mantissa:.1f}e{exponent:+03d}"


def reserved_units(parties: int, threshold: float | None = None) -> float:
    """What the votes and the threshold take of the signed range, in units."""
    reserved = float(UNITS) * (parties + abs(threshold or 0.0))
    if reserved >= 2.0 ** (VOTE_BITS - 1):
        raise ConfigError(
            f"{parties} votes and a threshold of {threshold or 0:g}, counted in parts of "
            f"1/{UNITS}, leave no room in {VOTE_BITS} bits; use a smaller threshold"
        )
    return reserved
