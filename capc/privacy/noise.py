"""Exact discrete Gaussian noise for the votes (step 2).

The privacy guardian draws it, or each answering party its part (distributed.py).

The law N_Z(0, sigma^2) gives the integer x a weight of exp(-x^2 / (2 sigma^2)) (Canonne, Kamath
and Steinke 2020, Definition 1). OpenDP samples it exactly, without floating point, from OpenSSL's
generator, which the operating system seeds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS, Int64
from capc.privacy.distributed import UNITS, party_sigma, reserved_units, total_sigma
from capc.privacy.rdp import check_sigma

LOG2_WRAP_FAILURE = -80
"""A draw of noise that wraps must be rarer than 2 to this power."""


def sample_noise(sigma: float, count: int, *, reserved: float = 0.0) -> Int64:
    """Independent draws of N_Z(0, sigma^2), int64 of shape (count,); zeros when sigma is 0.

    `reserved` is the part of the signed 32-bit range that the votes and the threshold take (see
    `reserved_range`). The draws are secret: the guardian feeds them to its circuit and forgets
    them. The first call imports OpenDP (about half a second); later ones take well under 1 ms.
    Raises ConfigError as `refuse_wrap` does, and for a negative count.
    """
    if count < 0:
        raise ConfigError(f"count of noise draws is {count}; give 0 or more")
    refuse_wrap(sigma, count, reserved=reserved)
    if sigma == 0.0 or count == 0:
        return np.zeros(count, dtype=np.int64)
    return np.array(_measurement(sigma)([0] * count), dtype=np.int64)


def reserved_range(parties: int, threshold: float | None = None) -> float:
    """What `parties` votes and the threshold, which the circuit subtracts, take of the range."""
    return parties + abs(threshold or 0.0)


def refuse_wrap(sigma: float, draws: int, *, reserved: float = 0.0, units: float = 1.0) -> None:
    """Raise ConfigError unless `draws` draws wrap with probability below 2^-80.

    The noise has a scale of `units` times sigma in the range of which `reserved` is taken. A sum
    of discrete Gaussians, whose variances add up to that, obeys the same bound.

    N_Z(0, sigma^2) is sub-Gaussian (Canonne, Kamath and Steinke 2020, section 3), so that
    Pr[any |g| >= r] <= 2 draws exp(-r^2 / (2 sigma^2)), where r is the part of the signed 32-bit
    range that `reserved` leaves. Noise is never clamped: a clamped draw has another law.
    """
    check_sigma(sigma)
    room = 2.0 ** (VOTE_BITS - 1) - 1.0 - reserved
    if not room > 0.0:
        raise ConfigError(
            f"votes and threshold take {reserved:g} and leave no room in {VOTE_BITS} bits; "
            "use fewer parties or a smaller threshold"
        )
    largest = (
        room / units / math.sqrt(2.0 * math.log(2.0) * (1.0 - LOG2_WRAP_FAILURE + _log2(draws)))
    )
    if sigma > largest:
        raise ConfigError(
            f"sigma is {sigma:g}: {draws} noisy votes wrap in {VOTE_BITS} bits with probability "
            f"above 2^{LOG2_WRAP_FAILURE}; give at most {largest:g}"
        )


def refuse_unusable(
    sigma: float,
    parties: int,
    colluding: int,
    draws: int,
    threshold: float | None,
    *,
    fewest: int | None = None,
) -> None:
    """The same for distributed noise, and where its sum is not near enough a discrete Gaussian.

    `fewest` of the parties may answer a query, by default all.
    """
    party_sigma(sigma, fewest or parties, colluding)
    refuse_wrap(
        sigma,
        draws,
        reserved=reserved_units(parties, threshold),
        units=UNITS * total_sigma(1.0, parties, colluding, fewest),
    )


def _log2(draws: int) -> float:
    return math.log2(max(draws, 1))


def _measurement(sigma: float) -> Any:
    """OpenDP's mechanism that adds N_Z(0, sigma^2) to each entry of a list of integers."""
    import opendp.prelude as dp  # noqa: PLC0415 - half a second, and only the guardian pays it

    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    return dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=float(sigma))
