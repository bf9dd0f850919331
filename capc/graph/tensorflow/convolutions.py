"""Conv2D in all its forms as layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Conv2D, Pad
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.operands import (
    check_nhwc,
    constant_at,
    image_shape,
    margins_of,
    padding_of,
    pair_of,
    sides_of,
    tensor_at,
)


def _convolution(builder: Builder, node: Any, values: Sequence[Value], *, depthwise: bool) -> str:
    check_nhwc(node)
    source, kernel = tensor_at(node, values), constant_at(node, values)
    shape = image_shape(builder, node, source)
    rows, columns, depth, filters = kernel.shape
    if depthwise:
        kernel = kernel.reshape(rows, columns, 1, depth * filters)
        groups, fits = depth, depth == shape[2]
    else:
        groups, fits = shape[2] // depth, shape[2] % depth == 0
        fits = fits and filters % max(groups, 1) == 0
    if not fits:
        raise ModelError(
            f"node '{node.name}' ({node.op}): a kernel of {(rows, columns, depth, filters)} does "
            f"not fit an image of {shape}; the channels of the two must agree: check the "
            "model's input size"
        )
    strides, dilations = pair_of(node, "strides"), pair_of(node, "dilations")
    if source in builder.spread:
        dilations = _spread_dilations(builder, node, source, strides, dilations)
    padding = padding_of(node, shape, (rows, columns), dilations)
    sides = sides_of(node, shape, (rows, columns), padding, dilations)
    filters = kernel.shape[3]
    return builder.add(
        Conv2D(
            name=node.name,
            inputs=(source,),
            shape=(*sides, filters),
            kernel=kernel.astype(np.float64),
            bias=np.zeros(filters),
            strides=strides,
            padding=padding,
            dilations=dilations,
            groups=groups,
        )
    )


def _spread_dilations(
    builder: Builder,
    node: Any,
    source: str,
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> tuple[int, int]:
    """The dilation of a plain convolution between SpaceToBatchND and BatchToSpaceND."""
    if strides != (1, 1) or dilations != (1, 1) or node.attr["padding"].s != b"VALID":
        raise ModelError(
            f"node '{node.name}' ({node.op}) stands after SpaceToBatchND: supported there is a "
            "VALID convolution with stride 1 and dilation 1, as a dilated Keras layer gives"
        )
    builder.spread[node.name] = builder.spread[source]
    return builder.spread[source]


def space_to_batch(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Keras's dilated convolution: pixels d apart become images of their own."""
    source = tensor_at(node, values)
    height, width, channels = image_shape(builder, node, source)
    block = [int(size) for size in constant_at(node, values)]
    padding = margins_of(node, constant_at(node, values, 2))
    sides = height + sum(padding[0]), width + sum(padding[1])
    if len(block) != 2 or min(block) < 1 or sides[0] % block[0] or sides[1] % block[1]:
        raise ModelError(
            f"node '{node.name}' (SpaceToBatchND) cuts {sides} by {block}; use a convolution with "
            "dilations in its place"
        )
    shape = (*sides, channels)
    pad = builder.add(Pad(name=node.name, inputs=(source,), shape=shape, padding=padding))
    builder.spread[pad] = (block[0], block[1])
    return pad


def batch_to_space(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Back from `_space_to_batch`; rows and columns cropped are padding not added before."""
    source = tensor_at(node, values)
    layer = builder.layer(source)
    block = tuple(int(size) for size in constant_at(node, values))
    if not isinstance(layer, Conv2D) or builder.spread.get(source) != block:
        raise ModelError(
            f"node '{node.name}' (BatchToSpaceND) has no SpaceToBatchND before it; use a "
            "convolution with dilations in their place"
        )
    (top, bottom), (left, right) = margins_of(node, constant_at(node, values, 2))
    before = builder.layer(layer.inputs[0])
    (above, below), (west, east) = before.padding if isinstance(before, Pad) else ((0, 0), (0, 0))
    padding = (above - top, below - bottom), (west - left, east - right)
    if min(*padding[0], *padding[1]) < 0:
        raise ModelError(
            f"node '{node.name}' (BatchToSpaceND) crops more than was padded; use a convolution "
            "with dilations in its place"
        )
    height, width, filters = layer.shape
    shape = (height - top - bottom, width - left - right, filters)
    del builder.spread[source]
    return builder.replace(replace(layer, inputs=before.inputs, padding=padding, shape=shape))


def conv2d(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Conv2D, grouped where the kernel has fewer channels than the image."""
    return _convolution(builder, node, values, depthwise=False)


def depthwise_conv2d(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """DepthwiseConv2dNative."""
    return _convolution(builder, node, values, depthwise=True)
