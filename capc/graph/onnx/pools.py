"""Pools and reductions as layers."""

from __future__ import annotations

from collections.abc import Sequence

from capc.graph.kernels import Pair, Shape, Window
from capc.graph.layers import AvgPool, MaxPool, Pad
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.operands import (
    Padding,
    axes_of,
    image_of,
    numbers_of,
    padding_of,
    pair_of,
    refused,
    sides_of,
    tensor_at,
)
from capc.graph.onnx.reader import Reader, Tensor, Value
from capc.graph.tensorflow.reductions import over_axes

_NOTHING = ((0, 0), (0, 0))


def pool(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """MaxPool, without its indices, and AveragePool."""
    source = image_of(reader, node, tensor_at(node, values))
    if pair_of(node, "dilations", source) != (1, 1):
        raise refused(node, "has dilations; supported are windows of neighbours")
    shape = reader.builder.shape(source.layer)
    size, strides = pair_of(node, "kernel_shape", source), pair_of(node, "strides", source)
    padding = padding_of(reader, node, source, size)
    beyond = (0, 0)
    if node.attributes.get("ceil_mode"):
        beyond = _beyond(node, shape, Window(size, strides, padding))
    if node.op == "AveragePool" and node.attributes["count_include_pad"] and padding != _NOTHING:
        source, padding = _padded(reader, node, source, padding), _NOTHING
    (top, bottom), (left, right) = padding
    padding = (top, bottom + beyond[0]), (left, right + beyond[1])
    sides = sides_of(reader, node, source, Window(size, strides, padding))
    kind = MaxPool if node.op == "MaxPool" else AvgPool
    made = kind(
        name=node.name,
        inputs=(source.layer,),
        shape=(*sides, shape[2]),
        window=size,
        strides=strides,
        padding=padding,
    )
    return reader.added(made, source.layout)


def global_pool(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """GlobalAveragePool and GlobalMaxPool."""
    source = image_of(reader, node, tensor_at(node, values))
    height, width, channels = reader.builder.shape(source.layer)
    kind = MaxPool if node.op == "GlobalMaxPool" else AvgPool
    made = kind(
        name=node.name,
        inputs=(source.layer,),
        shape=(1, 1, channels),
        window=(height, width),
        strides=(1, 1),
    )
    return reader.added(made, source.layout)


def reduced(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """ReduceMean, ReduceSum, ReduceMax and ReduceMin over axes of one image."""
    source = tensor_at(node, values)
    numbers = numbers_of(node, values, "axes", 1)
    if not numbers:
        if node.attributes.get("noop_with_empty_axes"):
            return source
        raise refused(node, "is over all axes, the batch too; name the axes of one image")
    axes = axes_of(reader, node, source, numbers)
    keep, rank = bool(node.attributes["keepdims"]), len(reader.shape(source))
    if not keep and rank - len(set(axes)) > 1:
        source = reader.plain(source)
    lying = [reader.axis(source, axis) for axis in axes]
    if keep:
        layer = over_axes(reader.builder, node, source.layer, lying, keep=True)
        return Tensor(layer, source.layout)
    layer = over_axes(reader.builder, node, source.layer, lying, keep=False)
    left = tuple(size for axis, size in enumerate(reader.shape(source)) if axis not in axes)
    return Tensor(reader.reshaped(layer, left))


def _padded(reader: Reader, node: Node, source: Tensor, padding: Padding) -> Tensor:
    """Zeros around an image, which count as pixels."""
    height, width, channels = reader.builder.shape(source.layer)
    shape = (height + sum(padding[0]), width + sum(padding[1]), channels)
    name = reader.builder.unused(f"{node.name}/padded")
    return reader.added(Pad(name, (source.layer,), shape, padding=padding), source.layout)


def _beyond(node: Node, shape: Shape, window: Window) -> Pair:
    """How far the last windows reach below and to the right where sizes are rounded up.

    A window that would start behind the image is left out, as PyTorch does.
    """
    found = []
    for side, size, stride, (before, after) in zip(
        shape, window.size, window.strides, window.padding, strict=False
    ):
        room = side + before + after - size
        steps = -(-room // stride)
        if steps * stride >= side + before:
            steps -= 1
        reach = steps * stride - room
        if reach < 0 and room // stride != steps:
            raise refused(node, "rounds its size up with more padding than its windows use")
        found.append(max(reach, 0))
    return found[0], found[1]
