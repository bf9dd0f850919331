"""Piecewise-linear functions of integers: what such a table means, and the values that it takes.

v is an integer. [-2^reach, 2^reach) is cut into 2^r equal segments of 2^h values; with
w = v + 2^reach, segment j = w >> h and u = w mod 2^h give

    y = (bases[j] + slopes[j] * u) >> slope_bits

Below the segments y is the constant `below`; above them it is `above`, or v itself. Equal segments
need no comparison in a circuit: the leading bits of v are the segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import MAX_RING_BITS, Int64

MAX_SEGMENTS = 1 << 12


@dataclass(frozen=True)
class PiecewiseTable:
    """The integers of the formula above; `above` None stands for v.

    Raises ValueError for what is no such table.
    """

    reach: int
    slope_bits: int
    slopes: tuple[int, ...]
    bases: tuple[int, ...]
    below: int
    above: int | None

    def __post_init__(self) -> None:
        numbers = (self.reach, self.slope_bits, self.below, *self.slopes, *self.bases)
        if any(type(number) is not int for number in numbers):
            raise ValueError("a piecewise-linear table holds whole numbers")
        segments = len(self.slopes)
        if not 0 <= self.reach < MAX_RING_BITS or not 0 <= self.slope_bits < MAX_RING_BITS:
            raise ValueError(f"reach {self.reach} or slope_bits {self.slope_bits} is out of range")
        if segments.bit_count() != 1 or segments > min(MAX_SEGMENTS, 2 << self.reach):
            raise ValueError(f"a piecewise-linear table cannot have {segments} segments")
        if len(self.bases) != segments:
            raise ValueError(f"{segments} segments need as many bases, not {len(self.bases)}")

    @property
    def offset_bits(self) -> int:
        """h: 2^h values lie in one segment."""
        return self.reach + 1 - (len(self.slopes).bit_length() - 1)


def apply_table(table: PiecewiseTable, values: ArrayLike) -> Int64:
    """The formula, element by element, on signed integers."""
    v = np.asarray(values, dtype=np.int64)
    limit = np.int64(1) << np.int64(table.reach)
    w = np.clip(v, -limit, limit - 1) + limit
    bits = np.int64(table.offset_bits)
    segment, offset = w >> bits, w & ((np.int64(1) << bits) - 1)
    slopes = np.asarray(table.slopes, dtype=np.int64)
    bases = np.asarray(table.bases, dtype=np.int64)
    inside = (bases[segment] + slopes[segment] * offset) >> np.int64(table.slope_bits)
    above = v if table.above is None else np.int64(table.above)
    result = np.where(v < -limit, np.int64(table.below), np.where(v < limit, inside, above))
    return np.asarray(result, dtype=np.int64)


def table_range(table: PiecewiseTable, low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """The least and greatest result for each interval [low, high] of integers, exactly.

    Each piece is monotone: its extremes are at the ends of what an interval has of it.
    """
    limit, length = 1 << table.reach, 1 << table.offset_bits
    far = np.iinfo(np.int64)
    edges = [(int(far.min), -limit - 1), (limit, int(far.max))]
    edges += [(start, start + length - 1) for start in range(-limit, limit, length)]
    least, most = np.full(low.shape, far.max), np.full(low.shape, far.min)
    for first, last in edges:
        meets = (low <= last) & (high >= first)
        if not meets.any():
            continue
        for end in (np.clip(low, first, last), np.clip(high, first, last)):
            value = apply_table(table, end)
            least = np.where(meets, np.minimum(least, value), least)
            most = np.where(meets, np.maximum(most, value), most)
    return least, most
