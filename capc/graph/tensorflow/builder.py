"""The network under construction: layers so far, and what each graph node stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.layers import (
    Bias,
    Conv2D,
    Dense,
    Input,
    Layer,
    Negative,
    Network,
    Reshape,
    Shape,
)

Constant = NDArray[Any]
Value = str | NDArray[Any]  # the name of a layer, or a constant


class Builder:
    """Collects layers in topological order.

    `uses` counts how often each node's value is taken, so that a scale or an offset may be
    merged into the linear layer before it when nobody else looks at that layer.
    """

    def __init__(
        self, placeholder: Input, uses: Mapping[str, int], batch: int | None = None
    ) -> None:
        self.batch = batch  # how many images the graph takes, where that is a constant
        self.bare: set[str] = set()  # layers without a batch axis, in a graph that takes one image
        self._layers: dict[str, Layer] = {placeholder.name: placeholder}
        self._values: dict[str, Value] = {}
        self._uses = uses
        self._owner: dict[str, str] = {}
        self.capped: dict[str, tuple[str, float]] = {}  # layers that are min(source, bound)
        self.rows: set[str] = set()  # layers whose first axis is merged into the batch
        self.spread: dict[str, tuple[int, int]] = {}  # layers seen by pixels d apart, and d
        self.lines: set[str] = set()  # those among them that are signals (steps, channels)

    def bind(self, node: str, value: Value) -> None:
        """Record what `node` stands for: the last that was made of a layer, or a constant."""
        self._values[node] = value
        if isinstance(value, str):
            self._owner[value] = node

    def alias(self, node: str, value: Value) -> None:
        """Record that `node` only passes a value through."""
        self._values[node] = value

    def value(self, node: str) -> Value:
        """What `node` stands for; it must have been bound."""
        return self._values[node]

    def tensor(self, node: str) -> str:
        """The layer that `node` stands for; ModelError where it is a constant."""
        value = self._values[node]
        if not isinstance(value, str):
            raise ModelError(
                f"node '{node}' does not depend on the query; name another --output_node"
            )
        return value

    def shape(self, layer: str) -> Shape:
        """The output shape of a layer, for one image."""
        return self._layers[layer].shape

    def add(self, layer: Layer) -> str:
        """Append a layer; returns its name."""
        if layer.name in self._layers:
            raise ModelError(f"two layers are named '{layer.name}'; rename one in the model")
        self._layers[layer.name] = layer
        self._owner[layer.name] = layer.name
        return layer.name

    def unused(self, name: str) -> str:
        """`name`, or it with a number behind where a layer has that name."""
        free, count = name, 1
        while free in self._layers:
            count += 1
            free = f"{name}_{count}"
        return free

    def is_used_once(self, layer: str) -> bool:
        """Whether one node alone takes the value of a layer."""
        return self._uses.get(self._owner[layer], 1) == 1

    def origin(self, layer: str) -> str:
        """The node that a layer stands for, the last of those merged into it."""
        return self._owner[layer]

    def layer(self, name: str) -> Layer:
        """A layer by name."""
        return self._layers[name]

    def replace(self, layer: Layer) -> str:
        """Put a layer in the place of the one with its name; returns the name."""
        self._layers[layer.name] = layer
        return layer.name

    def network(self, output: str) -> Network:
        """The layers that `output` depends on, with it last."""
        needed = {output}
        for layer in reversed(self._layers.values()):
            if layer.name in needed:
                needed.update(layer.inputs)
        kept = [layer for layer in self._layers.values() if layer.name in needed]
        if kept[0].name != next(iter(self._layers)):
            raise ModelError(
                f"output node '{output}' does not depend on the query; name another --output_node"
            )
        return Network(tuple(kept))

    def scaled(self, node: str, source: str, factor: Constant) -> str:
        """source * factor, for any factor that broadcasts to the shape of one image."""
        values = self._factors(node, source, factor)
        layer = self._mergeable(source) if values.ndim == 1 else None
        if isinstance(layer, Conv2D):
            merged: Layer = replace(layer, kernel=layer.kernel * values, bias=layer.bias * values)
        elif isinstance(layer, Dense):
            merged = replace(layer, weight=layer.weight * values, bias=layer.bias * values)
        else:
            return self._scale_layer(node, source, values)
        self._layers[source] = merged
        return source

    def negated(self, node: str, source: str) -> str:
        """-source, for a source that has no other use in the node that asks."""
        if isinstance(self._mergeable(source), Conv2D | Dense):
            return self.scaled(node, source, np.array(-1.0))
        shape = self.shape(source)
        return self.add(Negative(name=self.unused(node), inputs=(source,), shape=shape))

    def shifted(self, node: str, source: str, offset: Constant) -> str:
        """source + offset, for any offset that broadcasts to the shape of one image."""
        shape = self.shape(source)
        values = np.asarray(offset, dtype=np.float64)
        while values.ndim > len(shape) and values.shape[0] == 1:
            values = values[0]
        try:
            fits = np.broadcast_shapes(values.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise ModelError(
                f"node '{node}' adds a constant of shape {np.shape(offset)} to {shape}; it must "
                "have the shape of one image, or one value a channel"
            )
        layer = self._mergeable(source)
        if (
            isinstance(layer, Conv2D | Dense)
            and values.size in {1, shape[-1]}
            and (values.size == 1 or values.shape[-1] == shape[-1])
        ):
            self._layers[source] = replace(layer, bias=layer.bias + values.reshape(-1))
            return source
        return self.add(Bias(name=node, inputs=(source,), shape=shape, value=values))

    def _mergeable(self, source: str) -> Layer | None:
        """The layer, if only one node uses it; what no node stands for was made for one use."""
        return self._layers[source] if self.is_used_once(source) else None

    def _factors(self, node: str, source: str, factor: Constant) -> Constant:
        """Per channel (C,), or of the shape of one image where it has a factor per element."""
        shape = self.shape(source)
        values = np.asarray(factor, dtype=np.float64)
        if values.size == 1:
            return np.broadcast_to(values.reshape(-1), shape[-1:])
        while values.ndim > len(shape) and values.shape[0] == 1:
            values = values[0]
        try:
            whole = np.broadcast_to(values, shape)
        except ValueError:
            raise ModelError(
                f"node '{node}' multiplies {shape} per image by a constant of shape "
                f"{np.shape(factor)}; give it the shape of one image, or one value a channel"
            ) from None
        return values.reshape(-1) if values.size == values.shape[-1] == shape[-1] else whole

    def _scale_layer(self, node: str, source: str, values: Constant) -> str:
        """A layer of its own: 1x1 depthwise over images, a diagonal matrix over vectors."""
        shape = self.shape(source)
        zeros = np.zeros(values.size)
        if len(shape) == 1:
            weight = np.diag(values)
            return self.add(Dense(node, (source,), shape, weight=weight, bias=zeros))
        kernel = np.array(values).reshape(1, 1, 1, -1)
        image = (int(np.prod(shape)) // values.size, 1, values.size)
        if len(shape) == 3 and values.ndim == 1:
            image = (shape[0], shape[1], shape[2])
        flat = self._as_shape(f"{node}/image", source, image)
        scaled = self.unused(node)
        self.add(Conv2D(scaled, (flat,), image, kernel=kernel, bias=zeros, groups=values.size))
        return self._as_shape(f"{node}/shape", scaled, shape)

    def _as_shape(self, name: str, source: str, shape: Shape) -> str:
        if self.shape(source) == shape:
            return source
        return self.add(Reshape(name=self.unused(name), inputs=(source,), shape=shape))
