"""Log-probabilities of Gaussian tails, for continuous and for discrete noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import Float64

_SERIES_FROM = 20.0
"""From here on erfc's asymptotic series, cut after nine terms, is exact to double precision."""

_DISCRETE_SIGMAS = (1e-6, 1e6)
"""Scales for which the sums over the discrete law are short and stay within double precision."""


def log_normal_tail(points: ArrayLike) -> Float64:
    """log Pr[N(0, 1) >= x] at each point, without underflow."""
    x = np.asarray(points, dtype=np.float64) / math.sqrt(2.0)
    distinct, where = np.unique(x, return_inverse=True)
    return np.array([_log_half_erfc(float(v)) for v in distinct])[where].reshape(x.shape)


def _log_half_erfc(x: float) -> float:
    """log(erfc(x) / 2)."""
    if x < 0.0:
        return math.log1p(-math.erfc(-x) / 2.0)
    if x < _SERIES_FROM:
        return math.log(math.erfc(x) / 2.0)
    if math.isinf(x * x):
        return -math.inf
    term = total = 1.0
    for k in range(1, 10):
        term *= -(2 * k - 1) / (2.0 * x * x)
        total += term
    return -x * x - math.log(2.0 * x * math.sqrt(math.pi)) + math.log(total)


def log_discrete_tail(starts: ArrayLike, sigma: float) -> Float64:
    """log Pr[Z >= k] at each integer k, for Z from N_Z(0, sigma^2), 1e-6 <= sigma <= 1e6."""
    _check_discrete_sigma(sigma)
    log_total = _log_sum(sigma, 0.0)
    return _log_tail(starts, sigma, lambda d: -0.5 * (d / sigma) ** 2 - log_total)


def log_discrete_difference_tail(gaps: ArrayLike, sigma: float) -> Float64:
    """log Pr[Z - Z' >= gap] at each integer gap, for Z and Z' from N_Z(0, sigma^2).

    Completing the square gives the difference's law in closed form:
    Pr[Z - Z' = d] = exp(-d^2 / (4 sigma^2)) theta(d mod 2) / S^2, with
    S = sum_x exp(-x^2 / (2 sigma^2)) and theta(p) = sum_x exp(-(x + p/2)^2 / sigma^2).
    Raises ConfigError unless 1e-6 <= sigma <= 1e6.
    """
    _check_discrete_sigma(sigma)
    log_total = 2.0 * _log_sum(sigma, 0.0)
    log_even = _log_sum(sigma / math.sqrt(2.0), 0.0) - log_total
    log_odd = _log_sum(sigma / math.sqrt(2.0), 0.5) - log_total

    def log_mass(difference: Float64) -> Float64:
        log_theta = np.where(np.mod(difference, 2.0) == 0.0, log_even, log_odd)
        return np.asarray(log_theta - (difference / (2.0 * sigma)) ** 2, dtype=np.float64)

    return _log_tail(gaps, math.sqrt(2.0) * sigma, log_mass)


def _check_discrete_sigma(sigma: float) -> None:
    low, high = _DISCRETE_SIGMAS
    if not low <= sigma <= high:
        raise ConfigError(
            f"sigma is {sigma:g}; the discrete law is computed from {low:g} to {high:g}: "
            "use the data-independent bound, or continuous noise"
        )


def _log_sum(scale: float, shift: float) -> float:
    """log sum_x exp(-(x + shift)^2 / (2 scale^2)) over all integers x, for |shift| <= 1/2."""
    reach = math.ceil(9.0 * scale) + 1
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    exponents = -0.5 * ((x + shift) / scale) ** 2
    largest = float(np.max(exponents))
    return largest + math.log(float(np.sum(np.exp(exponents - largest))))


def _log_tail(
    starts: ArrayLike, deviation: float, log_mass: Callable[[Float64], Float64]
) -> Float64:
    """log sum of the masses from each start upwards, for a symmetric law on the integers."""
    points = np.asarray(starts, dtype=np.float64)
    distinct, where = np.unique(points, return_inverse=True)
    steps = np.arange(math.ceil(13.0 * deviation) + 2, dtype=np.float64)

    def upper(start: float) -> float:
        masses = log_mass(start + steps)
        largest = float(np.max(masses))
        return largest + math.log(float(np.sum(np.exp(masses - largest))))

    logs = [
        upper(k) if k > 0 else math.log1p(-math.exp(upper(1 - k))) for k in map(float, distinct)
    ]
    return np.array(logs)[where].reshape(points.shape)
