"""A network as a short list of linear and non-linear layers, in float, before any quantisation.

Shapes are those of one image, without the batch axis, channels last. The list is in
topological order; `inputs` name earlier layers. Weights are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
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

    kernel: Float
    bias: Float
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """y = x @ weight + bias for x of shape (n_in,); weight (n_in, n_out), bias (n_out,)."""

    weight: Float
    bias: Float


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
    """Layers in topological order; the first is the Input, the last gives the logits, shape (C,)."""

    layers: tuple[Layer, ...]

    @property
    def input(self) -> Layer:
        return self.layers[0]

    @property
    def output(self) -> Layer:
        return self.layers[-1]
