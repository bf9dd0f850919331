"""From Renyi differential privacy at many orders to one (epsilon, delta), and the grid of orders.

Classic: Mironov 2017 (arXiv 1702.07476), Proposition 3. Improved: Canonne, Kamath and Steinke 2020
(arXiv 2004.00010), Proposition 12. Everything is a natural logarithm.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import Float64

Conversion = Literal["classic", "improved"]

CONVERSIONS: tuple[Conversion, ...] = get_args(Conversion)

DEFAULT_DELTA = 1e-5
INFINITE = "infinite"
"""Epsilon without noise, in JSON, which has no infinity."""


class GridEdgeWarning(UserWarning):
    """The best order is the grid's first or last: a wider grid could give a smaller epsilon."""


@dataclass(frozen=True)
class PrivacyLoss:
    """(epsilon, delta) as converted at `order`, the best of the grid; epsilon may be infinite."""

    epsilon: float
    delta: float
    order: float
    conversion: Conversion

    def fields(self) -> dict[str, Any]:
        """As JSON takes it: an infinite epsilon is a word, and has no order."""
        finite = math.isfinite(self.epsilon)
        return {
            "epsilon": self.epsilon if finite else INFINITE,
            "delta": self.delta,
            "order": self.order if finite else None,
            "conversion": self.conversion,
        }


def default_orders() -> Float64:
    """396 orders: 2 to 99.5 in steps of a half, then 200 from 100 to 1000, evenly in logarithm."""
    return np.concatenate([np.arange(2.0, 100.0, 0.5), np.logspace(2.0, 3.0, 200)])


def check_orders(orders: ArrayLike) -> Float64:
    """The orders as a float64 vector; ConfigError unless finite, above 1 and increasing."""
    grid = np.atleast_1d(np.asarray(orders, dtype=np.float64))
    usable = grid.ndim == 1 and grid.size > 0 and bool(np.all(np.isfinite(grid)))
    if not usable or grid[0] <= 1.0 or np.any(np.diff(grid) <= 0.0):
        raise ConfigError("orders must be a list of finite numbers above 1, in increasing order")
    return grid


def check_delta(delta: float) -> float:
    """delta; ConfigError unless 0 < delta < 1."""
    if not 0.0 < delta < 1.0:
        raise ConfigError(f"delta is {delta}; give a probability above 0 and below 1, as 1e-5")
    return float(delta)


def check_conversion(conversion: str) -> Conversion:
    """The conversion by its name; ConfigError for an unknown one."""
    for known in CONVERSIONS:
        if conversion == known:
            return known
    raise ConfigError(f"conversion is {conversion!r}; allowed are {' and '.join(CONVERSIONS)}")


def epsilons(rdp: ArrayLike, orders: ArrayLike, delta: float, conversion: Conversion) -> Float64:
    """epsilon at each order, at least 0; `rdp` may have leading axes, its last goes over orders.

    Classic: rdp + log(1/delta) / (order - 1). Improved:
    rdp + log((order - 1) / order) - (log delta + log order) / (order - 1), and 0 where
    delta^2 >= 1 - exp(-rdp): RDP bounds the Kullback-Leibler divergence, which then bounds the
    total variation by delta (Bretagnolle and Huber 1979).
    """
    alpha = check_orders(orders)
    loss = np.asarray(rdp, dtype=np.float64)
    if loss.shape[-1:] != alpha.shape or bool(np.any(np.isnan(loss))) or bool(np.any(loss < 0.0)):
        raise ConfigError(f"rdp must hold {alpha.size} numbers, one per order, none negative")
    log_delta = math.log(check_delta(delta))
    if check_conversion(conversion) == "classic":
        return np.asarray(loss - log_delta / (alpha - 1.0), dtype=np.float64)
    epsilon = loss + np.log1p(-1.0 / alpha) - (log_delta + np.log(alpha)) / (alpha - 1.0)
    indistinguishable = delta**2 + np.expm1(-loss) >= 0.0
    return np.asarray(np.where(indistinguishable, 0.0, np.maximum(epsilon, 0.0)), dtype=np.float64)


def privacy_loss(
    rdp: ArrayLike,
    delta: float,
    *,
    orders: ArrayLike | None = None,
    conversion: Conversion = "improved",
) -> PrivacyLoss:
    """The smallest epsilon over the grid, for one RDP curve of shape (orders,).

    Warns (GridEdgeWarning) when the best order is the first or the last of the grid, unless
    epsilon is 0 or infinite there. Raises ConfigError for a bad curve, grid, delta or conversion.
    """
    grid = default_orders() if orders is None else check_orders(orders)
    candidates = epsilons(np.atleast_1d(rdp), grid, delta, conversion)
    if candidates.ndim != 1:
        raise ConfigError(f"rdp has shape {candidates.shape}; give one curve")
    best = int(np.argmin(candidates))
    epsilon = float(candidates[best])
    if grid.size > 1 and best in (0, grid.size - 1) and 0.0 < epsilon < math.inf:
        warnings.warn(
            f"the best Renyi order is {grid[best]:g}, the edge of the grid: epsilon is valid, "
            "but orders beyond it could make it smaller",
            GridEdgeWarning,
            stacklevel=2,
        )
    return PrivacyLoss(epsilon, float(delta), float(grid[best]), conversion)
