"""Interval arithmetic over integer layers: the values that each output can take.

An Interval has one pair of ends per element of a layer's output. Ends are int64 while they stay
below 2^62, and upper estimates in float64 beyond, which no ring holds anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import RangeError
from capc.graph.exact import column_magnitude, exact_matmul, magnitude
from capc.graph.kernels import (
    average_factors,
    linear_map,
    linear_weights,
    moved,
    window_maxima,
    window_sums,
)
from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Concat,
    Conv2D,
    Dense,
    Layer,
    LeakyRelu,
    MaxPool,
    Negative,
    PiecewiseLinear,
    Relu,
    Square,
)
from capc.graph.piecewise import table_in, table_range

Ends = NDArray[Any]
_LIMIT = 2.0**62
_FAR = 2.0**500  # squares of it are still floats
_MARGIN = 2.0**-30  # far above the rounding of the float64 sums that it covers


@dataclass(frozen=True, eq=False)
class Interval:
    """`low` <= value <= `high`, each of shape (1, *layer.shape), int64 or (estimates) float64."""

    low: Ends
    high: Ends

    @property
    def exact(self) -> bool:
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
        return Interval(low - np.abs(low) * _MARGIN, high + np.abs(high) * _MARGIN)


def bits_of(low: int, high: int) -> int:
    """The bits, sign included, of a ring whose [-t/2, t/2) holds low and high."""
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def interval_of(layer: Layer, fraction_bits: int, input_range: tuple[float, float]) -> Interval:
    """The encoded pixels: rint(x * 2^fraction_bits) for x in the closed `input_range`."""
    low, high = (float(end) for end in input_range)
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise RangeError(f"the input range is {input_range}; it must be two numbers in order")
    if max(abs(low), abs(high)) * 2.0**fraction_bits >= _LIMIT:
        raise RangeError(
            f"the input range {input_range} is too wide at {fraction_bits} bits; scale the pixels, "
            "to [0, 1] for instance"
        )
    shape = (1, *layer.shape)
    ends = [int(np.rint(np.ldexp(end, fraction_bits))) for end in (low, high)]
    return Interval(np.full(shape, ends[0], np.int64), np.full(shape, ends[1], np.int64))


def propagate(
    layer: Layer,
    inputs: Sequence[Interval],
    input_bits: Sequence[int],
    output_bits: int,
    fraction_bits: int,
) -> Interval:
    """The interval of one integer layer's output from those of its inputs.

    `input_bits` and `output_bits` are fractional bits, `fraction_bits` is the network's f.
    """
    if isinstance(layer, Add | Concat):
        inputs = [
            _scaled(interval, 1 << (output_bits - bits))
            for interval, bits in zip(inputs, input_bits, strict=True)
        ]
    if not all(interval.exact for interval in inputs):
        inputs = [interval.as_float() for interval in inputs]
    low = moved(layer, [interval.low for interval in inputs])
    high = moved(layer, [interval.high for interval in inputs])
    if low is not None and high is not None:
        return Interval(low, high)
    if isinstance(layer, Conv2D | Dense):
        return _linear(layer, inputs[0])
    if isinstance(layer, Add | Bias | Negative):
        return _simple(layer, inputs)
    if isinstance(layer, AvgPool):
        return _average(layer, inputs[0], fraction_bits)
    shift = input_bits[0] - output_bits
    return _mapped(inputs[0], layer, shift, fraction_bits)


def _simple(layer: Add | Bias | Negative, inputs: Sequence[Interval]) -> Interval:
    x = inputs[0]
    if isinstance(layer, Negative):
        return Interval(-x.high, -x.low)
    if isinstance(layer, Add):
        return _sum(x, inputs[1])
    value = np.broadcast_to(layer.value, x.low.shape)
    return _sum(x, Interval(value, value))


def _linear(layer: Conv2D | Dense, x: Interval) -> Interval:
    weights = linear_weights(layer)
    flat = weights if isinstance(layer, Dense) else weights.reshape(-1, weights.shape[-1])
    estimate = column_magnitude(flat) * x.widest() + float(magnitude(layer.bias))
    if not x.exact or estimate >= _LIMIT:
        x = x.as_float()
        weights = weights.astype(np.float64)
    matmul = exact_matmul if x.exact else np.matmul
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    low, high = (
        linear_map(layer, first, positive, matmul)
        + linear_map(layer, second, negative, matmul)
        + layer.bias
        for first, second in ((x.low, x.high), (x.high, x.low))
    )
    if x.exact:
        return Interval(low, high)
    slack = estimate * _MARGIN
    return Interval(low - slack, high + slack)


def _average(layer: AvgPool, x: Interval, fraction_bits: int) -> Interval:
    pixels = layer.window[0] * layer.window[1]
    if x.exact and x.widest() * pixels * 2.0**fraction_bits >= _LIMIT:
        x = x.as_float()
    factors = average_factors(layer, x.low.shape[1:], fraction_bits)
    return Interval(window_sums(layer, x.low) * factors, window_sums(layer, x.high) * factors)


def _sum(x: Interval, y: Interval) -> Interval:
    if not (x.exact and y.exact) or x.widest() + y.widest() >= _LIMIT:
        x, y = x.as_float(), y.as_float()
    return Interval(x.low + y.low, x.high + y.high)


def _scaled(x: Interval, factor: int) -> Interval:
    if factor == 1:
        return x
    if x.exact and x.widest() * factor >= _LIMIT:
        x = x.as_float()
    return Interval(x.low * factor, x.high * factor)


def _mapped(x: Interval, layer: Layer, shift: int, fraction_bits: int) -> Interval:
    """A non-linear layer: monotone, but for Square and PiecewiseLinear."""
    if isinstance(layer, MaxPool):
        return Interval(window_maxima(layer, x.low), window_maxima(layer, x.high))
    drop = _dropper(x, shift)
    if isinstance(layer, Relu | BoundedRelu):
        low, high = (drop(np.maximum(end, 0)) for end in (x.low, x.high))
        if isinstance(layer, BoundedRelu):
            low, high = (np.minimum(end, int(layer.cap)) for end in (low, high))
        return Interval(low, high)
    if isinstance(layer, LeakyRelu):
        return _leaky(x, int(layer.slope), shift, fraction_bits)
    low, high = drop(x.low), drop(x.high)
    if isinstance(layer, Square):
        return _square(Interval(low, high), fraction_bits)
    if isinstance(layer, PiecewiseLinear):
        return _piecewise(Interval(low, high), layer)
    return Interval(low, high)


def _dropper(x: Interval, shift: int) -> Callable[[Ends], Ends]:
    """Division by 2^shift, rounded down."""
    if x.exact:
        return lambda ends: ends >> np.int64(shift)
    return lambda ends: np.floor(np.ldexp(ends, -shift))


def _leaky(x: Interval, slope: int, shift: int, fraction_bits: int) -> Interval:
    if x.exact and x.widest() * max(slope, 1) >= _LIMIT:
        x = x.as_float()
    direct, sloped = _dropper(x, shift), _dropper(x, shift + fraction_bits)
    low, high = (np.where(end >= 0, direct(end), sloped(end * slope)) for end in (x.low, x.high))
    return Interval(low, high)


def _piecewise(x: Interval, layer: PiecewiseLinear) -> Interval:
    """Beyond exact integers the tails decide: a constant, or x itself and all between."""
    if x.exact:
        return Interval(*table_range(table_in(layer), x.low, x.high))
    whole = np.full((1,), -(1 << layer.reach), np.int64), np.full((1,), 1 << layer.reach, np.int64)
    least, most = (float(end[0]) for end in table_range(table_in(layer), *whole))
    if layer.above is not None:
        return Interval(np.full_like(x.low, least), np.full_like(x.high, most))
    return Interval(np.full_like(x.low, least), np.maximum(x.high, most))


def _square(x: Interval, fraction_bits: int) -> Interval:
    if x.exact and x.widest() ** 2 >= _LIMIT:
        x = x.as_float()
    drop = _dropper(x, fraction_bits)
    ends = np.stack([x.low * x.low, x.high * x.high])
    spans_zero = (x.low <= 0) & (x.high >= 0)
    return Interval(drop(np.where(spans_zero, 0, ends.min(axis=0))), drop(ends.max(axis=0)))
