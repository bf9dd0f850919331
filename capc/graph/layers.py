"""A network as a short list of linear and non-linear layers, in float and in integers.

Shapes are those of one image, without the batch axis, channels last. The list is in
topological order; `inputs` name earlier layers. Weights are float64 in a Network and int64 in a
QuantizedNetwork.

Integers, exactly: with f the fractional bits of weights and activations, a linear layer (Conv2D,
Dense, AvgPool) takes f bits and gives 2f. Relu, BoundedRelu, LeakyRelu, Square, PiecewiseLinear
and Rescale take the signed value and drop the bits above f, s = bits in - f of them, by an
arithmetic shift. MaxPool, Negative and the layers that only move numbers keep what they are given.
Add and Concat take inputs with fewer bits times 2^(difference).

A layer's repr leaves its weights out: they are a party's secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    kernel: Weights = field(repr=False)
    bias: Weights = field(repr=False)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """y = x @ weight + bias for x of shape (n_in,); weight (n_in, n_out), bias (n_out,)."""

    weight: Weights = field(repr=False)
    bias: Weights = field(repr=False)


@dataclass(frozen=True, eq=False)
class Relu(Layer):
    """max(x, 0), element by element. Over integers: max(x, 0) >> s, s the bits to drop."""


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The same numbers in row-major order under another shape."""


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """The sum of two inputs of one shape."""


@dataclass(frozen=True, eq=False)
class Bias(Layer):
    """x + value; `value` broadcasts against the shape of x and takes x's fractional bits."""

    value: Weights = field(repr=False)


@dataclass(frozen=True, eq=False)
class Pad(Layer):
    """Zeros around (H, W, C): `padding` is ((top, bottom), (left, right)) in pixels."""

    padding: tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Concat(Layer):
    """The inputs side by side along `axis`, counted in the shape of one image."""

    axis: int


@dataclass(frozen=True, eq=False)
class Transpose(Layer):
    """Axis k of the output is axis permutation[k] of the input, batch axis not counted."""

    permutation: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Gather(Layer):
    """Slices of the input along `axis`, counted in the shape of one image: indices[k] at place k.

    An index may occur more than once, or not at all: what is cut, reversed, repeated, broadcast.
    """

    axis: int
    indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Negative(Layer):
    """-x, exactly; each party negates its share."""


@dataclass(frozen=True, eq=False)
class AvgPool(Layer):
    """The mean over windows of (H, W, C); padded pixels are not counted.

    Over integers: the sum, times rint(2^f / pixels counted). The factor is public, so each party
    does this alone on its share. `padding` as in Conv2D.
    """

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False)
class MaxPool(Layer):
    """The largest signed value in windows of (H, W, C); padded pixels never win.

    Keeps the fractional bits of its input. `padding` as in Conv2D.
    """

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False)
class BoundedRelu(Layer):
    """min(max(x, 0), cap) for cap > 0: Relu6, and what calibration puts in place of Relu.

    Over integers `cap` is rint(cap * 2^f), at least 1, and public: the result is that of Relu with
    its shift, then the minimum with it.
    """

    cap: float


@dataclass(frozen=True, eq=False)
class LeakyRelu(Layer):
    """x for x >= 0, else slope * x, 0 <= slope < 1.

    Over integers `slope` is rint(slope * 2^f), and with s the bits to drop:
    x >> s for x >= 0, else (slope * x) >> (s + f).
    """

    slope: float


@dataclass(frozen=True, eq=False)
class Square(Layer):
    """x * x. Over integers, with s the bits to drop: (x >> s)^2 >> f.

    `value_bits` is public, and proved by quantisation: |x >> s| < 2^value_bits. It is coarse, so
    that it says little about the weights; 0 where nothing is proved yet.
    """

    value_bits: int = 0


@dataclass(frozen=True, eq=False)
class PiecewiseLinear(Layer):
    """A smooth `function` of capc.graph.piecewise, element by element.

    Over integers: the piecewise-linear function of x >> s that the other fields describe as
    capc.graph.piecewise does; quantisation fills them in.
    """

    function: str
    reach: int = 0
    slope_bits: int = 0
    slopes: tuple[int, ...] = ()
    bases: tuple[int, ...] = ()
    below: int = 0
    above: int | None = None


@dataclass(frozen=True, eq=False)
class Rescale(Layer):
    """The identity over reals. Over integers x >> s, back to f fractional bits.

    Quantisation puts it between two linear layers that nothing else separates.
    """


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
