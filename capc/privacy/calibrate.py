"""The other way round: the noise for a budget, or the queries that a budget allows.

Data-independent bounds only, and in closed form: at each order epsilon is linear in the number of
queries and in 1 / sigma^2, so the best order is found by solving at every one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.privacy.conversion import (
    Conversion,
    check_conversion,
    check_delta,
    check_orders,
    default_orders,
    epsilons,
)
from capc.privacy.rdp import gnmax_rdp, threshold_rdp

MOST_QUERIES = 1e15  # up to here a float tells one query more or less
_ROUNDING = 1e-12  # relative: keeps the answer on the safe side of the last digit


def smallest_sigma(
    epsilon: float,
    delta: float,
    queries: int,
    *,
    answered: int | None = None,
    sigma_threshold: float | None = None,
    conversion: Conversion = "improved",
    orders: ArrayLike | None = None,
) -> float:
    """The least GNMax scale with which `queries` queries, `answered` of them answered, fit.

    All are answered unless `answered` is given. With `sigma_threshold`, the threshold of that
    scale is charged on each. Raises ConfigError when no scale is enough, for then the threshold
    alone spends the budget, or for values that cannot be used.
    """
    paid = queries if answered is None else answered
    if queries < 1 or not 0 <= paid <= queries:
        raise ConfigError(
            f"queries is {queries}, answered {paid}; give 1 query or more, and 0 <= answered <= "
            "queries"
        )
    if sigma_threshold is None and paid != queries:
        raise ConfigError("without a threshold every query is answered; give sigma_threshold")
    grid, left = _left_at_each_order(epsilon, delta, conversion, orders)
    left = left - queries * _threshold_cost(sigma_threshold, grid)
    if not bool(np.any(left > 0.0)):
        raise ConfigError(
            f"no sigma fits {queries} queries into epsilon {epsilon:g} at delta {delta:g}: "
            "ask fewer queries, or raise epsilon or sigma_threshold"
        )
    fits = left > 0.0
    return float(np.sqrt(np.min(paid * grid[fits] / left[fits]))) * (1.0 + _ROUNDING)


def most_queries(
    epsilon: float,
    delta: float,
    sigma: float,
    *,
    sigma_threshold: float | None = None,
    conversion: Conversion = "improved",
    orders: ArrayLike | None = None,
) -> int:
    """How many queries fit when all are answered (those not answered leave room for more)."""
    grid = default_orders() if orders is None else check_orders(orders)
    each = gnmax_rdp(sigma, grid) + _threshold_cost(sigma_threshold, grid)
    return queries_that_fit(epsilon, delta, each, conversion=conversion, orders=grid)


def queries_that_fit(
    epsilon: float,
    delta: float,
    each: Float64,
    *,
    spent: Float64 | None = None,
    conversion: Conversion = "improved",
    orders: ArrayLike | None = None,
) -> int:
    """How many queries of RDP `each` fit beside what was `spent`; both at each of the orders.

    Raises ConfigError where they are beyond counting, and for values that cannot be used.
    """
    grid, left = _left_at_each_order(epsilon, delta, conversion, orders)
    before = np.zeros(grid.shape) if spent is None else spent
    left = left - before
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        most = float(np.max(np.where(left > 0.0, left / each, 0.0)))
    if most > MOST_QUERIES:
        raise ConfigError(
            f"more than {MOST_QUERIES:g} queries fit, beyond counting: give a smaller sigma"
        )
    certain = math.floor(most * (1.0 - _ROUNDING))
    one_more = epsilons(before + (certain + 1) * each, grid, delta, conversion)
    return certain + int(np.min(one_more) <= epsilon)


def _threshold_cost(sigma_threshold: float | None, grid: Float64) -> Float64:
    return np.zeros(grid.shape) if sigma_threshold is None else threshold_rdp(sigma_threshold, grid)


def _left_at_each_order(
    epsilon: float, delta: float, conversion: Conversion, orders: ArrayLike | None
) -> tuple[Float64, Float64]:
    """The grid, and at each order the RDP that converts to epsilon (negative: none does)."""
    if not 0.0 < epsilon < math.inf:
        raise ConfigError(f"epsilon is {epsilon}; give a finite number above 0")
    grid = default_orders() if orders is None else check_orders(orders)
    overhead = -math.log(check_delta(delta)) / (grid - 1.0)
    if check_conversion(conversion) == "classic":
        return grid, epsilon - overhead
    overhead += np.log1p(-1.0 / grid) - np.log(grid) / (grid - 1.0)
    return grid, np.maximum(epsilon - overhead, -math.log1p(-(delta**2)))
