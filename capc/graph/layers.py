"""A network as a short list of linear and non-linear layers, in float and in integers.

Shapes are those of one image, without the batch axis, channels last. The list is in
topological order; `inputs` name earlier layers. Weights are float64 in a Network and int64 in a
QuantizedNetwork.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from capc.fixed_point import FixedPoint

Weights = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """One node: `name` is unique in its network, `shape` is the shape of its output."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Input(Layer):
    """The query: `inputs` is empty."""


@dataclass(frozen=True, eq=False)
class Conv2D(Layer):
    """Cross-correlation of (H, W, C_in) with zero padding; kernel (kh, kw, C_in // groups, C_out).

    `padding` is ((top, bottom), (left, right)) in pixels; `bias` has shape (C_out,).
    """

    kernel: Weights
    bias: Weights
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """y = x @ weight + bias for x of shape (n_in,); weight (n_in, n_out), bias (n_out,)."""

    weight: Weights
    bias: Weights


@dataclass(frozen=True, eq=False)
class Relu(Layer):
    """max(x, 0), element by element."""


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The same numbers in row-major order under another shape."""


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """The sum of two inputs of one shape."""


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in topological order; first the Input, last the logits of shape (C,)."""

    layers: tuple[Layer, ...]

    @property
    def input(self) -> Layer:
        return self.layers[0]

    @property
    def output(self) -> Layer:
        return self.layers[-1]


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """The same layers with int64 weights (fraction_bits) and int64 biases (2 * fraction_bits).

    Weights are centred integers, not yet reduced modulo t. `bounds` holds, per layer name, the
    closed interval of the signed integers that its output can take for any input in
    `input_range`; `fraction_bits` the number of fractional bits of that output.
    """

    fixed_point: FixedPoint
    input_range: tuple[float, float]
    layers: tuple[Layer, ...]
    bounds: Mapping[str, tuple[int, int]]
    fraction_bits: Mapping[str, int]

    @property
    def input(self) -> Layer:
        return self.layers[0]

    @property
    def output(self) -> Layer:
        return self.layers[-1]
