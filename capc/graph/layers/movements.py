"""The layers that only move numbers, or put zeros beside them.

Each party evaluates them alone on its share: padded zeros are shares of zero. They keep the
fractional bits of their input.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from capc.fixed_point import Float64, Int64
from capc.graph.kernels import Array, Pair
from capc.graph.layers.base import Layer, Scales, Shape
from capc.graph.layers.interval import Interval
from capc.graph.layers.sums import aligned, aligned_intervals

__all__ = [
    "Concat",
    "Gather",
    "Movement",
    "Pad",
    "Reshape",
    "Transpose",
]


@dataclass(frozen=True, eq=False)
class Movement(Layer, abstract=True):
    """A layer whose output holds the numbers of its inputs, and zeros, in other places."""

    @abstractmethod
    def moved(self, inputs: Sequence[Array]) -> Array:
        """The output for arrays (n, *input shape) of any numbers: (n, *shape)."""

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return self.moved(inputs)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return self.moved(inputs)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        low = self.moved([interval.low for interval in inputs])
        return Interval(low, self.moved([interval.high for interval in inputs]))

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return input_bits[0]

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return self

    @override
    def label(self) -> str:
        return type(self).__name__


@dataclass(frozen=True, eq=False)
class Reshape(Movement):
    """The same numbers in row-major order under another shape."""

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"{shape} reshaped to {self.shape}")
        return self.shape

    @override
    def moved(self, inputs: Sequence[Array]) -> Array:
        return inputs[0].reshape(len(inputs[0]), *self.shape)


@dataclass(frozen=True, eq=False)
class Pad(Movement):
    """Zeros around (H, W, C): `padding` is ((top, bottom), (left, right)) in pixels."""

    padding: tuple[Pair, Pair]

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        ((height, width, channels),) = inputs
        rows, columns = self.padding
        if min(*rows, *columns) < 0:
            raise ValueError(f"padding of {self.padding}")
        return (height + sum(rows), width + sum(columns), channels)

    @override
    def moved(self, inputs: Sequence[Array]) -> Array:
        return np.pad(inputs[0], ((0, 0), *self.padding, (0, 0)))


@dataclass(frozen=True, eq=False)
class Concat(Movement):
    """The inputs side by side along `axis`, counted in the shape of one image.

    Over integers it takes inputs with fewer fractional bits times 2^(difference).
    """

    axis: int

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        axis = _checked_axis(self.axis, inputs[0])
        rest = {(shape[:axis], shape[axis + 1 :]) for shape in inputs}
        if len(rest) != 1:
            raise ValueError("inputs that do not lie side by side")
        total = sum(shape[axis] for shape in inputs)
        return (*inputs[0][:axis], total, *inputs[0][axis + 1 :])

    @override
    def moved(self, inputs: Sequence[Array]) -> Array:
        return np.concatenate(list(inputs), axis=self.axis + 1)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return self.moved(aligned(inputs, scales))

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        return super().interval(aligned_intervals(inputs, scales), scales)

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return max(input_bits)


@dataclass(frozen=True, eq=False)
class Transpose(Movement):
    """Axis k of the output is axis permutation[k] of the input, batch axis not counted."""

    permutation: tuple[int, ...]

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if sorted(self.permutation) != list(range(len(shape))):
            raise ValueError(f"the axes {self.permutation} of {shape}")
        return tuple(shape[axis] for axis in self.permutation)

    @override
    def moved(self, inputs: Sequence[Array]) -> Array:
        return inputs[0].transpose(0, *(axis + 1 for axis in self.permutation))


@dataclass(frozen=True, eq=False)
class Gather(Movement):
    """Slices of the input along `axis`, counted in the shape of one image: indices[k] at place k.

    An index may occur more than once, or not at all: what is cut, reversed, repeated, broadcast.
    """

    axis: int
    indices: tuple[int, ...]

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        axis = _checked_axis(self.axis, shape)
        if not all(0 <= index < shape[axis] for index in self.indices):
            raise ValueError(f"an index is not below {shape[axis]}")
        return (*shape[:axis], len(self.indices), *shape[axis + 1 :])

    @override
    def moved(self, inputs: Sequence[Array]) -> Array:
        return inputs[0].take(self.indices, axis=self.axis + 1)


def _checked_axis(axis: int, shape: Shape) -> int:
    if not 0 <= axis < len(shape):
        raise ValueError(f"axis {axis} of {shape}")
    return axis
