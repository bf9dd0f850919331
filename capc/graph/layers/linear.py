"""The query, and the layers that multiply by secret weights.

Over integers, with f the fractional bits of weights, a product has f bits more than its input: an
activation has f, so that a product has 2f.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from capc.errors import ModelError, RangeError
from capc.fixed_point import MAX_RING_BITS, Float64, Int64
from capc.graph.exact import KeptFactor, column_magnitude, exact_matmul, magnitude
from capc.graph.kernels import (
    Array,
    Matmul,
    Pair,
    Shape,
    Window,
    convolve,
)
from capc.graph.layers.base import Layer, Scales, Weights
from capc.graph.layers.interval import LIMIT, MARGIN, Interval

__all__ = ["Conv2D", "Dense", "Input", "WeightedLayer"]

WAY_OUT = (
    "use fewer fractional bits, calibrate on public examples (--calibration), or train with Relu6 "
    "for ReLU or with smaller weights"
)


@dataclass(frozen=True, eq=False)
class Input(Layer):
    """The query: `inputs` is empty."""

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        raise self._error()

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        raise self._error()

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        raise self._error()

    def _error(self) -> ModelError:
        return ModelError(f"layer '{self.name}' is an input: its values are the query's")

    def pixels(self, fraction_bits: int, input_range: tuple[float, float]) -> Interval:
        """The encoded pixels: rint(x * 2^fraction_bits) for x in the closed `input_range`.

        Raises RangeError for a range that is none, or too wide.
        """
        low, high = (float(end) for end in input_range)
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise RangeError(f"the input range is {input_range}; it must be two numbers in order")
        if max(abs(low), abs(high)) * 2.0**fraction_bits >= LIMIT:
            raise RangeError(
                f"the input range {input_range} is too wide at {fraction_bits} bits; scale the "
                "pixels, to [0, 1] for instance"
            )
        ends = [int(np.rint(np.ldexp(end, fraction_bits))) for end in (low, high)]
        shape = (1, *self.shape)
        return Interval(np.full(shape, ends[0], np.int64), np.full(shape, ends[1], np.int64))

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return fraction_bits

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Input:
        return self

    @override
    def label(self) -> str:
        return "Input"


@dataclass(frozen=True, eq=False)
class WeightedLayer(Layer, abstract=True):
    """A product with secret weights, plus a bias: what homomorphic encryption evaluates."""

    @property
    @abstractmethod
    def weights(self) -> Array:
        """The kernel or the weight matrix; its last axis counts the outputs."""

    @property
    @abstractmethod
    def offsets(self) -> Array:
        """The bias, of shape (outputs,)."""

    @abstractmethod
    def product(self, values: Array, weights: Array, matmul: Matmul) -> Array:
        """The layer on `values` with other weights of the same shape, without bias."""

    @cached_property
    def _exact_matmul(self) -> Matmul:
        """For products by this layer's own weights, which become floats once."""
        return KeptFactor()

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.asarray(self.product(inputs[0], self.weights, np.matmul) + self.offsets)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return np.asarray(self.product(inputs[0], self.weights, self._exact_matmul) + self.offsets)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        x, weights = inputs[0], self.weights
        flat = weights.reshape(-1, weights.shape[-1])
        estimate = column_magnitude(flat) * x.widest() + float(magnitude(self.offsets))
        if not x.exact or estimate >= LIMIT:
            x = x.as_float()
            weights = weights.astype(np.float64)
        matmul: Matmul = exact_matmul if x.exact else np.matmul
        positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
        low, high = (
            self.product(first, positive, matmul)
            + self.product(second, negative, matmul)
            + self.offsets
            for first, second in ((x.low, x.high), (x.high, x.low))
        )
        if x.exact:
            return Interval(low, high)
        slack = estimate * MARGIN
        return Interval(low - slack, high + slack)

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return input_bits[0] + fraction_bits

    @property
    @override
    def weight_count(self) -> int:
        return int(self.weights.size + self.offsets.size)


@dataclass(frozen=True, eq=False)
class Conv2D(WeightedLayer):
    """Cross-correlation of (H, W, C_in) with zero padding; kernel (kh, kw, C_in // groups, C_out).

    `padding` is ((top, bottom), (left, right)) in pixels; `bias` has shape (C_out,).
    """

    kernel: Weights = field(repr=False)
    bias: Weights = field(repr=False)
    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilations: Pair = (1, 1)
    groups: int = 1

    @property
    @override
    def weights(self) -> Array:
        return self.kernel

    @property
    @override
    def offsets(self) -> Array:
        return self.bias

    @property
    def placement(self) -> Window:
        """Where the kernel is laid."""
        rows, columns = self.kernel.shape[:2]
        return Window((rows, columns), self.strides, self.padding, self.dilations)

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        ((height, width, channels),) = inputs
        _, _, depth, filters = self.kernel.shape
        if self.groups < 1 or depth * self.groups != channels or filters % self.groups:
            raise ValueError(f"a kernel {self.kernel.shape} over {channels} channels")
        if self.bias.shape != (filters,):
            raise ValueError(f"{self.bias.shape} biases for {filters} filters")
        return (*self.placement.outputs((height, width, channels)), filters)

    @override
    def product(self, values: Array, weights: Array, matmul: Matmul) -> Array:
        return convolve(values, weights, self.placement, self.groups, matmul)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Conv2D:
        return replace(
            self,
            kernel=as_integers(self, self.kernel, fraction_bits),
            bias=as_integers(self, self.bias, output_bits),
        )

    @override
    def label(self) -> str:
        rows, columns = self.kernel.shape[:2]
        grouped = f" g{self.groups}" if self.groups > 1 else ""
        return f"Conv2D {rows}x{columns} s{self.strides[0]}{grouped}"


@dataclass(frozen=True, eq=False)
class Dense(WeightedLayer):
    """y = x @ weight + bias for x of shape (n_in,); weight (n_in, n_out), bias (n_out,)."""

    weight: Weights = field(repr=False)
    bias: Weights = field(repr=False)

    @property
    @override
    def weights(self) -> Array:
        return self.weight

    @property
    @override
    def offsets(self) -> Array:
        return self.bias

    @override
    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        ((length,),) = inputs
        if self.weight.shape[:-1] != (length,) or self.bias.shape != self.weight.shape[1:]:
            raise ValueError(f"weights {self.weight.shape} for {length} inputs")
        return self.bias.shape

    @override
    def product(self, values: Array, weights: Array, matmul: Matmul) -> Array:
        return matmul(values, weights)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Dense:
        return replace(
            self,
            weight=as_integers(self, self.weight, fraction_bits),
            bias=as_integers(self, self.bias, output_bits),
        )

    @override
    def label(self) -> str:
        return "Dense"


def as_integers(layer: Layer, weights: NDArray[Any], bits: int) -> Int64:
    """rint(weights * 2^bits).

    ModelError, naming the layer, for what is not finite; RangeError for what no ring holds.
    """
    scaled = np.rint(np.asarray(weights, dtype=np.float64) * 2.0**bits)
    if not np.all(np.isfinite(scaled)):
        raise ModelError(
            f"layer '{layer.name}' has a weight that is not a finite number: the training "
            "diverged; train again with a lower learning rate"
        )
    largest = float(np.abs(scaled).max(initial=0.0))
    if largest >= 2.0 ** (MAX_RING_BITS - 1):
        needed = int(np.floor(np.log2(largest))) + 2
        raise RangeError(
            f"layer '{layer.name}' has a weight or bias that needs {needed} bits, of which {bits} "
            f"fractional; a ring has {MAX_RING_BITS} at most: {WAY_OUT}"
        )
    return np.asarray(scaled, dtype=np.int64)
