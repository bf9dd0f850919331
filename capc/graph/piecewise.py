"""Smooth activations as piecewise-linear functions of integers, with a measured error.

v carries f fractional bits. [-2^reach, 2^reach) is cut into 2^r equal segments of 2^h values; with
w = v + 2^reach, segment j = w >> h and u = w mod 2^h give

    y = (bases[j] + slopes[j] * u) >> slope_bits

Below the segments y is a constant; above them another, or v itself. Equal segments need no
comparison in a circuit: the leading bits of v are the segment. Slope and base of a segment make the
largest error on it smallest among lines parallel to the chord; half a unit is added to the base, so
that the shift rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ModelError
from capc.fixed_point import Float64, Int64
from capc.graph.layers import PiecewiseLinear

SLOPE_BITS = 10
_SAMPLES = 65  # per segment, to centre its line


@dataclass(frozen=True)
class Function:
    """A smooth function, its reach as a power of two, and what it tends to on both sides.

    `above` None: to x. `segments` is a power of two, as many as are used with enough bits.
    """

    exact: Callable[[Float64], Float64]
    reach: int
    segments: int
    below: float
    above: float | None


@dataclass(frozen=True)
class Table:
    """The integers of the formula above; `above` None stands for v."""

    reach: int
    slope_bits: int
    slopes: tuple[int, ...]
    bases: tuple[int, ...]
    below: int
    above: int | None

    @property
    def offset_bits(self) -> int:
        """h: 2^h values lie in one segment."""
        return self.reach + 1 - (len(self.slopes).bit_length() - 1)


def table_in(layer: PiecewiseLinear) -> Table:
    """The table that a quantised layer carries."""
    return Table(layer.reach, layer.slope_bits, layer.slopes, layer.bases, layer.below, layer.above)


def _sigmoid(x: Float64) -> Float64:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _erf(x: Float64) -> Float64:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _softplus(x: Float64) -> Float64:
    return np.asarray(np.logaddexp(0.0, x))


def _gelu(x: Float64) -> Float64:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _gelu_tanh(x: Float64) -> Float64:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


# Klambauer et al., "Self-Normalizing Neural Networks" (NeurIPS 2017), equation 14.
SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _selu_unscaled(x: Float64) -> Float64:
    return np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


FUNCTIONS: dict[str, Function] = {
    "sigmoid": Function(_sigmoid, 3, 64, 0.0, 1.0),
    "tanh": Function(np.tanh, 2, 64, -1.0, 1.0),
    "gelu": Function(_gelu, 2, 64, 0.0, None),
    "gelu_tanh": Function(_gelu_tanh, 2, 64, 0.0, None),
    "softplus": Function(_softplus, 3, 64, 0.0, None),
    "swish": Function(lambda x: x * _sigmoid(x), 3, 64, 0.0, None),
    "mish": Function(lambda x: x * np.tanh(_softplus(x)), 3, 64, 0.0, None),
    "elu": Function(lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 3, 128, -1.0, None),
    "selu_unscaled": Function(_selu_unscaled, 3, 128, -_SELU_ALPHA, None),
    "hard_swish": Function(lambda x: x * np.clip(x + 3, 0, 6) / 6, 2, 64, 0.0, None),
    "hard_sigmoid": Function(lambda x: np.clip(x + 3, 0, 6) / 6, 2, 64, 0.0, 1.0),
}


@lru_cache(maxsize=64)
def table_of(function: str, fraction_bits: int) -> Table:
    """The integers that stand for `function` at `fraction_bits`.

    Raises ModelError for a function that FUNCTIONS does not hold.
    """
    shape = _function(function)
    reach = shape.reach + fraction_bits
    segments = min(shape.segments, 1 << reach)
    length = (1 << (reach + 1)) // segments
    slope_bits = min(SLOPE_BITS, max(fraction_bits, 1))
    unit = 2.0**fraction_bits
    slopes, bases = [], []
    for segment in range(segments):
        start = segment * length - (1 << reach)
        offsets = np.linspace(0, length, _SAMPLES)
        values = shape.exact(np.asarray((start + offsets) / unit, dtype=np.float64)) * unit
        slope = round((values[-1] - values[0]) / length * 2**slope_bits)
        rest = values - slope * offsets / 2**slope_bits
        centre = (rest.max() + rest.min()) / 2 + 0.5
        slopes.append(slope)
        bases.append(round(centre * 2**slope_bits))
    above = None if shape.above is None else round(shape.above * unit)
    below = round(shape.below * unit)
    return Table(reach, slope_bits, tuple(slopes), tuple(bases), below, above)


def apply_table(table: Table, values: ArrayLike) -> Int64:
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


def table_range(table: Table, low: Int64, high: Int64) -> tuple[Int64, Int64]:
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


@lru_cache(maxsize=64)
def max_error(function: str, fraction_bits: int) -> float:
    """The largest distance to the function over all inputs with `fraction_bits` fractional bits.

    Every integer within the segments is tried (up to 2^21 of them, evenly spaced beyond), and the
    functions come nearer to their limits outside.
    """
    shape, table = _function(function), table_of(function, fraction_bits)
    limit = 1 << table.reach
    step = max(1, limit >> 20)
    inside = np.arange(-limit - 1, limit + 1, step, dtype=np.int64)
    values = np.append(inside, [-limit - 1, -limit, limit - 1, limit])
    unit = 2.0**fraction_bits
    return float(np.abs(apply_table(table, values) / unit - shape.exact(values / unit)).max())


def exact_function(function: str, values: Float64) -> Float64:
    """The function over reals."""
    return np.asarray(_function(function).exact(np.asarray(values, dtype=np.float64)))


def _function(function: str) -> Function:
    if function not in FUNCTIONS:
        raise ModelError(
            f"there is no piecewise-linear form of '{function}'; known are {', '.join(FUNCTIONS)}"
        )
    return FUNCTIONS[function]
