"""Arithmetic written down as the layers of a network, for the mixed protocol.

A LayerTensor has the methods of capc.ckks.tensor.CipherTensor that the bridge uses; each adds a
layer on flat vectors. So any graph that runs on ciphertexts can run in the mixed protocol, and
there with ReLU and maxima too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.layers import (
    Add,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Gather,
    Input,
    Layer,
    Negative,
    Network,
    Pad,
    Reshape,
    Shape,
    Square,
)
from capc.graph.simplify import simplify

Array = NDArray[Any]

_MOST_WEIGHTS = 1 << 22  # of one matrix


class Recording:
    """The layers so far. The input is one flat vector: the tensors side by side, in their order."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        self._layers: list[Layer] = [Input("encrypted", (), (sum(sizes.values()),))]
        self.inputs: dict[str, LayerTensor] = {}
        start, whole = 0, LayerTensor(self, "encrypted", (sum(sizes.values()),))
        for name, shape in shapes.items():
            order = np.arange(start, start + sizes[name]).reshape(shape)
            self.inputs[name] = whole.picked([], order)
            start += sizes[name]

    def add(self, kind: type[Any], inputs: Sequence[str], shape: Shape, **more: Any) -> str:
        """A layer of that kind; returns its name."""
        name = f"{kind.__name__.lower()}{len(self._layers)}"
        self._layers.append(kind(name, tuple(inputs), shape, **more))
        return name

    def network(self, output: LayerTensor) -> Network:
        """The layers that the output depends on."""
        name = output.name
        if name == self._layers[0].name:
            name = self.add(Reshape, [name], (output.size,))
        needed = {name, self._layers[0].name}
        for layer in reversed(self._layers):
            if layer.name in needed:
                needed.update(layer.inputs)
        kept = [layer for layer in self._layers if layer.name in needed and layer.name != name]
        last = next(layer for layer in self._layers if layer.name == name)
        return simplify(Network((*kept, last)))

    def append(self, network: Network, source: str) -> str:
        """The layers of another network, on a layer here of its input's shape."""
        names = {network.input.name: source}
        for layer in network.layers[1:]:
            name = f"{layer.name}.{len(self._layers)}"
            inputs = tuple(names[given] for given in layer.inputs)
            self._layers.append(replace(layer, name=name, inputs=inputs))
            names[layer.name] = name
        return names[network.output.name]


@dataclass(frozen=True, eq=False)
class LayerTensor:
    """The flat layer `name` under the shape that the graph gives it."""

    recording: Recording
    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """How many numbers it holds for one image."""
        return math.prod(self.shape)

    def picked(self, others: Sequence[LayerTensor], order: Array) -> LayerTensor:
        """Numbers of this tensor and others, side by side, at the places `order`; -1 is zero."""
        add = self.recording.add
        total = self.size + sum(other.size for other in others)
        if not others and np.array_equal(order.ravel(), np.arange(total)):
            return LayerTensor(self.recording, self.name, order.shape)
        source = self.name
        if others:
            source = add(Concat, [self.name, *(one.name for one in others)], (total,), axis=0)
        if np.any(order < 0):
            column = add(Reshape, [source], (total, 1, 1))
            padded = add(Pad, [column], (total + 1, 1, 1), padding=((0, 1), (0, 0)))
            source = add(Reshape, [padded], (total + 1,))
        places = np.where(order < 0, total, order).ravel()
        indices = tuple(int(place) for place in places)
        name = add(Gather, [source], (len(indices),), axis=0, indices=indices)
        return LayerTensor(self.recording, name, order.shape)

    def linear(self, apply: Callable[[Array, Array], Array], weights: Float64) -> LayerTensor:
        """apply(values (n, *shape), weights), linear in the values, as one matrix.

        ModelError where it has more than 2^22 entries.
        """
        shape = np.shape(apply(np.zeros((1, *self.shape)), weights))[1:]
        outputs = math.prod(shape)
        if self.size * outputs > _MOST_WEIGHTS:
            raise ModelError(
                f"a linear map of {self.size} to {outputs} values is too large here: ask for "
                "packed data, or make the batch smaller"
            )
        units = np.eye(self.size).reshape(self.size, *self.shape)
        matrix = np.asarray(apply(units, weights), dtype=np.float64).reshape(self.size, outputs)
        bias = np.zeros(outputs)
        name = self.recording.add(Dense, [self.name], (outputs,), weight=matrix, bias=bias)
        return LayerTensor(self.recording, name, shape)

    def summed(self, apply: Callable[[Array, Array], Array], weights: Float64) -> LayerTensor:
        """As linear()."""
        return self.linear(apply, weights)

    def times_constant(self, factors: Float64) -> LayerTensor:
        """Element by element."""
        kernel = np.broadcast_to(factors, (1, *self.shape)).reshape(1, 1, 1, -1)
        image, add = (1, 1, self.size), self.recording.add
        source = add(Reshape, [self.name], image)
        bias, groups = np.zeros(self.size), self.size
        scaled = add(Conv2D, [source], image, kernel=np.array(kernel), bias=bias, groups=groups)
        return LayerTensor(self.recording, add(Reshape, [scaled], (self.size,)), self.shape)

    def plus_constant(self, values: Float64) -> LayerTensor:
        """Element by element."""
        offset = np.array(np.broadcast_to(values, (1, *self.shape))).ravel()
        return self._like(Bias, [self.name], value=offset)

    def negated(self) -> LayerTensor:
        """Times -1."""
        return self._like(Negative, [self.name])

    def plus(self, other: LayerTensor) -> LayerTensor:
        """The sum of two tensors of one shape."""
        return self._like(Add, [self.name, other.name])

    def squared(self) -> LayerTensor:
        """x * x."""
        return self._like(Square, [self.name])

    def times(self, other: LayerTensor) -> LayerTensor:
        """((x + y)^2 - (x - y)^2) / 4."""
        difference = self.plus(other.negated()).squared().negated()
        four = self.plus(other).squared().plus(difference)
        return four.times_constant(np.full(self.shape, 0.25))

    def through(self, network: Network) -> LayerTensor:
        """A network on one image of this shape; the result is flat."""
        source = self.recording.add(Reshape, [self.name], network.input.shape)
        name = self.recording.append(network, source)
        size = math.prod(network.output.shape)
        return LayerTensor(self.recording, self.recording.add(Reshape, [name], (size,)), (size,))

    def _like(self, kind: type[Any], inputs: Sequence[str], **more: Any) -> LayerTensor:
        name = self.recording.add(kind, inputs, (self.size,), **more)
        return LayerTensor(self.recording, name, self.shape)
