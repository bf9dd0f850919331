"""A straight line through measurements, and how far they are from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Law:
    """y = fixed + each * x; `off` is the largest distance of a measured y from it, over that y."""

    fixed: float
    each: float
    off: float

    def at(self, x: Any) -> Any:
        """The line's value at a number or an array, beyond what was measured too."""
        return self.fixed + self.each * x


def fitted_law(x: Sequence[float], y: Sequence[float]) -> Law:
    """The least squares of the relative errors, so that small values count as much as large ones.

    `y` is above 0. Raises ValueError for fewer than two different `x`.
    """
    if len(set(x)) < 2:
        raise ValueError("a line needs two different values of x")
    weights = 1 / np.asarray(y)
    columns = np.stack([weights, np.asarray(x) * weights], axis=1)
    (fixed, each), *_ = np.linalg.lstsq(columns, np.ones(len(weights)), rcond=None)
    off = np.abs((fixed + each * np.asarray(x)) * weights - 1).max()
    return Law(float(fixed), float(each), float(off))
