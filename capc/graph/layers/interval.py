"""Interval arithmetic over integer layers: the values that each output can take.

An Interval has one pair of ends per element of a layer's output. Ends are int64 while they stay
below 2^62, and upper estimates in float64 beyond, which no ring holds anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ends = NDArray[Any]

LIMIT = 2.0**62
"""Below it ends are exact integers."""
MARGIN = 2.0**-30
"""Relative: far above the rounding of the float64 sums that it covers."""
_FAR = 2.0**500  # squares of it are still floats


@dataclass(frozen=True, eq=False)
class Interval:
    """`low` <= value <= `high`, each of shape (1, *layer.shape), int64 or (estimates) float64."""

    low: Ends
    high: Ends

    @property
    def exact(self) -> bool:
        """Whether the ends are integers, not estimates."""
        return self.low.dtype.kind == "i"

    def ends(self) -> tuple[int, int]:
        """The smallest low and the largest high."""
        if self.exact:
            return int(self.low.min()), int(self.high.max())
        return int(np.floor(self.low.min())), int(np.ceil(self.high.max()))

    def widest(self) -> float:
        """The largest absolute value."""
        low, high = self.ends()
        return float(max(abs(low), abs(high)))

    def as_float(self) -> Interval:
        """The same interval, a little wider, in float64, and cut off where floats end."""
        low = np.clip(self.low.astype(np.float64), -_FAR, _FAR)
        high = np.clip(self.high.astype(np.float64), -_FAR, _FAR)
        return Interval(low - np.abs(low) * MARGIN, high + np.abs(high) * MARGIN)

    def within(self, growth: float) -> Interval:
        """As it is, or in float64 where a value times `growth` could pass the limit."""
        return self.as_float() if self.exact and self.widest() * growth >= LIMIT else self

    def plus(self, other: Interval) -> Interval:
        """The interval of the sum."""
        x, y = self, other
        if not (x.exact and y.exact) or x.widest() + y.widest() >= LIMIT:
            x, y = x.as_float(), y.as_float()
        return Interval(x.low + y.low, x.high + y.high)

    def times(self, factor: int) -> Interval:
        """The interval of the product with a positive integer."""
        if factor == 1:
            return self
        x = self.within(factor)
        return Interval(x.low * factor, x.high * factor)

    def dropped(self, bits: int) -> Interval:
        """The interval of the value divided by 2^bits, rounded down."""
        return Interval(dropped(self.low, bits), dropped(self.high, bits))


def dropped(ends: Ends, bits: int) -> Ends:
    """`ends` divided by 2^bits, rounded down."""
    if ends.dtype.kind == "i":
        return ends >> np.int64(bits)
    floor: Ends = np.floor(np.ldexp(ends, -bits))
    return floor


def bits_of(low: int, high: int) -> int:
    """The bits, sign included, of a ring whose [-t/2, t/2) holds low and high."""
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1
