"""The layers that add and negate: each party evaluates them alone on its share.

Over integers they keep the fractional bits that they are given. Add takes inputs with fewer bits
times 2^(difference).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from typing_extensions import override

from capc.fixed_point import Float64, Int64
from capc.graph.layers.base import Layer, Scales, Shape, Weights
from capc.graph.layers.interval import Interval
from capc.graph.layers.linear import as_integers

__all__ = ["Add", "Bias", "Negative"]


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """The sum of two inputs of one shape."""

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        first, second = inputs
        if first != second:
            raise ValueError(f"a sum of {first} and {second}")
        return first

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return inputs[0] + inputs[1]

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        x, y = aligned(inputs, scales)
        return np.asarray(x + y)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        x, y = aligned_intervals(inputs, scales)
        return x.plus(y)

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return max(input_bits)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Add:
        return self

    @override
    def label(self) -> str:
        return "Add"


@dataclass(frozen=True, eq=False)
class Bias(Layer):
    """x + value; `value` broadcasts against the shape of x and takes x's fractional bits."""

    value: Weights = field(repr=False)

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        return np.broadcast_shapes(shape, self.value.shape)

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.asarray(inputs[0] + self.value)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return np.asarray(inputs[0] + self.value)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        value = np.broadcast_to(self.value, inputs[0].low.shape)
        return inputs[0].plus(Interval(value, value))

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return input_bits[0]

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Bias:
        return replace(self, value=as_integers(self, self.value, output_bits))

    @override
    def label(self) -> str:
        return "Bias"


@dataclass(frozen=True, eq=False)
class Negative(Layer):
    """-x, exactly; each party negates its share."""

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return -inputs[0]

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return -inputs[0]

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        return Interval(-inputs[0].high, -inputs[0].low)

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return input_bits[0]

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Negative:
        return self

    @override
    def label(self) -> str:
        return "Negative"


def aligned(inputs: Sequence[Int64], scales: Scales) -> list[Int64]:
    """Every input with the fractional bits of the output."""
    return [
        values << np.int64(scales.output - bits)
        for values, bits in zip(inputs, scales.inputs, strict=True)
    ]


def aligned_intervals(inputs: Sequence[Interval], scales: Scales) -> list[Interval]:
    """The same for intervals: exact, or none of them exact."""
    result = [
        interval.times(1 << (scales.output - bits))
        for interval, bits in zip(inputs, scales.inputs, strict=True)
    ]
    if not all(interval.exact for interval in result):
        result = [interval.as_float() for interval in result]
    return result
