"""The layers that make one number of a window: averages and maxima.

An average adds the fractional bits of its public factor, f, to those of its input. A maximum keeps
the bits of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from capc.fixed_point import Float64, Int64
from capc.graph.kernels import Array, Pair, Shape, Window, window_counts, window_maxima, window_sums
from capc.graph.layers.base import Layer, Scales
from capc.graph.layers.interval import Interval

__all__ = ["AvgPool", "MaxPool"]


@dataclass(frozen=True, eq=False)
class _Pool(Layer, abstract=True):
    """One number for each window of (H, W, C). `padding` as in Conv2D."""

    window: Pair
    strides: Pair
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))

    @property
    def placement(self) -> Window:
        """Where the windows lie."""
        return Window(self.window, self.strides, self.padding)

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        ((height, width, channels),) = inputs
        return (*self.placement.outputs((height, width, channels)), channels)


@dataclass(frozen=True, eq=False)
class AvgPool(_Pool):
    """The mean over windows of (H, W, C); padded pixels are not counted.

    Over integers: the sum, times rint(2^f / pixels counted). The factor is public, so each party
    does this alone on its share. `padding` as in Conv2D.
    """

    def sums(self, images: Array) -> Array:
        """The sum over each window, (n, H, W, C) to (n, H_out, W_out, C)."""
        return window_sums(images, self.placement)

    def counts(self, shape: Shape) -> Int64:
        """How many pixels that are not padding each window of (H, W, C) has: (H_out, W_out, 1)."""
        return window_counts(shape, self.placement)

    def factors(self, shape: Shape, fraction_bits: int) -> Int64:
        """The public factors rint(2^fraction_bits / pixels counted), (H_out, W_out, 1)."""
        factors = np.rint(np.ldexp(1.0, fraction_bits) / self.counts(shape))
        return np.asarray(factors, dtype=np.int64)

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.asarray(self.sums(inputs[0]) / self.counts(inputs[0].shape[1:]))

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        factors = self.factors(inputs[0].shape[1:], scales.fraction_bits)
        return np.asarray(self.sums(inputs[0]) * factors)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        pixels = self.window[0] * self.window[1]
        x = inputs[0].within(pixels * 2.0**scales.fraction_bits)
        factors = self.factors(x.low.shape[1:], scales.fraction_bits)
        return Interval(self.sums(x.low) * factors, self.sums(x.high) * factors)

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return input_bits[0] + fraction_bits

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> AvgPool:
        return self

    @override
    def label(self) -> str:
        return f"AvgPool {self.window[0]}x{self.window[1]} s{self.strides[0]}"


@dataclass(frozen=True, eq=False)
class MaxPool(_Pool):
    """The largest signed value in windows of (H, W, C); padded pixels never win.

    Keeps the fractional bits of its input. `padding` as in Conv2D. `fan_in` is how many numbers are
    compared at once where look-ups compute it. It changes no value.
    """

    fan_in: int = 2

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return window_maxima(inputs[0], self.placement)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return window_maxima(inputs[0], self.placement)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        low, high = (window_maxima(end, self.placement) for end in (inputs[0].low, inputs[0].high))
        return Interval(low, high)

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return input_bits[0]

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return self

    @override
    def label(self) -> str:
        return f"MaxPool {self.window[0]}x{self.window[1]} s{self.strides[0]}"
