"""Smooth activations as piecewise-linear functions of integers, with a measured error.

The integers carry f fractional bits; capc.piecewise says what a table of them means. Slope and base
of a segment make the largest error on it smallest among lines parallel to the chord; half a unit is
added to the base, so that the shift rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.piecewise import PiecewiseTable, apply_table

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
def table_of(function: str, fraction_bits: int) -> PiecewiseTable:
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
    return PiecewiseTable(reach, slope_bits, tuple(slopes), tuple(bases), below, above)


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
