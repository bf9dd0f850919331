"""The network under construction, with what each value of an ONNX graph stands for.

ONNX has channels first, layers have them last. A value is therefore a layer and a layout: how the
axes of the value lie in the layer. Convolutions, pools and what is element-wise work on the layer
as it lies; a transpose often changes the layout alone. What needs the order of ONNX gets it by a
Transpose layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.layers import Layer, Reshape, Shape, Transpose
from capc.graph.onnx.nodes import Node
from capc.graph.tensorflow.builder import Builder

Constant = NDArray[Any]


class Layout(Enum):
    """How the axes of one image's value lie in its layer."""

    PLAIN = "as they are"
    IMAGE = "(C, H, W) as (H, W, C)"
    LINE = "(C, L) as (L, 1, C)"


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the query."""

    layer: str
    layout: Layout = Layout.PLAIN


Value = Tensor | Constant | None  # None is an input that is left out


class Reader:
    """Layers by a Builder, and the shapes of values as ONNX counts them, without the batch axis.

    `batch` is the number of images that the graph takes at a time, None where that is open. The
    graph is read as it stands for one image.
    """

    def __init__(self, builder: Builder, batch: int | None) -> None:
        self.builder = builder
        self.batch = batch
        self._turned: dict[tuple[str, Layout, bool], Tensor] = {}

    def shape(self, tensor: Tensor) -> Shape:
        """The shape of a value for one image."""
        shape = self.builder.shape(tensor.layer)
        if tensor.layout is Layout.IMAGE:
            return shape[2], shape[0], shape[1]
        if tensor.layout is Layout.LINE:
            return shape[2], shape[0]
        return shape

    def axis(self, tensor: Tensor, axis: int) -> int:
        """Where an axis of one image's value lies in the layer."""
        return {Layout.PLAIN: axis, Layout.IMAGE: (axis - 1) % 3, Layout.LINE: 2 - 2 * axis}[
            tensor.layout
        ]

    def channels_last(self, tensor: Tensor) -> Tensor:
        """The value in a layer (H, W, C) or (L, 1, C); it must have two or three axes."""
        if tensor.layout is not Layout.PLAIN:
            return tensor
        shape = self.shape(tensor)
        layout = Layout.LINE if len(shape) == 2 else Layout.IMAGE
        if (tensor.layer, layout, True) not in self._turned:
            layer = self.reshaped(tensor.layer, (*shape, 1)[:3])
            layer = self._transposed(tensor.layer, layer, (1, 2, 0))
            self._turned[tensor.layer, layout, True] = Tensor(layer, layout)
        return self._turned[tensor.layer, layout, True]

    def plain(self, tensor: Tensor) -> Tensor:
        """The value in a layer with its axes as ONNX has them."""
        if tensor.layout is Layout.PLAIN:
            return tensor
        key = tensor.layer, tensor.layout, False
        if key not in self._turned:
            layer = self._transposed(tensor.layer, tensor.layer, (2, 0, 1))
            self._turned[key] = Tensor(self.reshaped(layer, self.shape(tensor)))
        return self._turned[key]

    def alike(self, node: Node, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Values of as many axes in one layout: channels last where one of them has that."""
        ranks = {len(self.shape(tensor)) for tensor in tensors}
        if len(ranks) > 1:
            shapes = [self.shape(tensor) for tensor in tensors]
            raise ModelError(
                f"node '{node.name}' ({node.op}) joins {shapes} per image: their axes would be "
                "those of other images; give the values as many axes each"
            )
        if any(tensor.layout is not Layout.PLAIN for tensor in tensors):
            return [self.channels_last(tensor) for tensor in tensors]
        return list(tensors)

    def arranged(self, node: Node, constant: Constant, tensor: Tensor) -> Constant:
        """A constant that is to broadcast against a value, as float64 and as the layer lies."""
        values = np.asarray(constant, dtype=np.float64)
        if values.size == 1:
            return values.reshape(())
        rank = len(self.shape(tensor)) + 1
        while values.ndim > rank and values.shape[0] == 1:
            values = values[0]
        values = values.reshape((1,) * (rank - values.ndim) + values.shape)
        if values.ndim != rank or not np.array_equal(
            values, np.broadcast_to(values[:1], values.shape)
        ):
            raise ModelError(
                f"node '{node.name}' ({node.op}) has a constant of shape {constant.shape} for "
                f"{('batch', *self.shape(tensor))}: it must be the same for each image of a batch"
            )
        lying: Constant = of_layout(values[:1], tensor.layout)[0]
        return lying

    def reshaped(self, layer: str, shape: Shape) -> str:
        """The layer under another shape; itself where it has that."""
        if self.builder.shape(layer) == shape:
            return layer
        return self.builder.add(Reshape(self.builder.unused(f"{layer}/shape"), (layer,), shape))

    def added(self, layer: Layer, layout: Layout = Layout.PLAIN) -> Tensor:
        """Append a layer."""
        return Tensor(self.builder.add(layer), layout)

    def _transposed(self, origin: str, layer: str, order: tuple[int, int, int]) -> str:
        """A Transpose, or a Reshape where only axes of size 1 change places."""
        given = self.builder.shape(layer)
        shape = tuple(given[axis] for axis in order)
        moved = [axis for axis in order if given[axis] != 1]
        if moved == sorted(moved):
            return self.reshaped(layer, shape)
        name = self.builder.unused(f"{origin}/turned")
        return self.builder.add(Transpose(name, (layer,), shape, permutation=order))


def of_layout(values: Constant, layout: Layout) -> Constant:
    """Arrays (n, *shape) of a value, (n, *shape) of the layer that it lies in."""
    if layout is Layout.IMAGE:
        return values.transpose(0, 2, 3, 1)
    if layout is Layout.LINE:
        return values.transpose(0, 2, 1)[:, :, np.newaxis]
    return values
