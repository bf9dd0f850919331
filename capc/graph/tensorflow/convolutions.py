"""Conv2D in all its forms as layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Conv2D, Pad
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.movements import as_shape
from capc.graph.tensorflow.operands import (
    Padding,
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
    if source in builder.lines:
        builder.lines.add(node.name)
    return builder.spread[source]


def space_to_batch(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Keras's dilated convolution: pixels d apart become images of their own.

    A signal (steps, channels) is an image of one row.
    """
    source = tensor_at(node, values)
    block, padding = _block_and_margins(node, values)
    is_line = len(builder.shape(source)) == 2 and np.size(constant_at(node, values)) == 1
    if is_line:
        source = as_shape(builder, node, source, (1, *builder.shape(source)))
    height, width, channels = image_shape(builder, node, source)
    sides = height + sum(padding[0]), width + sum(padding[1])
    if min(block) < 1 or sides[0] % block[0] or sides[1] % block[1]:
        raise ModelError(
            f"node '{node.name}' (SpaceToBatchND) cuts {sides} by {list(block)}; use a "
            "convolution with dilations in its place"
        )
    shape = (*sides, channels)
    pad = builder.add(Pad(name=node.name, inputs=(source,), shape=shape, padding=padding))
    builder.spread[pad] = block
    if is_line:
        builder.lines.add(pad)
    return pad


def _block_and_margins(node: Any, values: Sequence[Value]) -> tuple[tuple[int, int], Padding]:
    """The sides of a block and what is added or cut around it; of a signal, in its only row."""
    sizes = [int(size) for size in np.ravel(constant_at(node, values))]
    pixels = constant_at(node, values, 2)
    if len(sizes) == 1:
        sizes, pixels = [1, *sizes], np.concatenate([[[0, 0]], pixels])
    if len(sizes) != 2:
        raise ModelError(
            f"node '{node.name}' ({node.op}) has blocks of {sizes}; supported are those of images "
            "and of signals: use a convolution with dilations in its place"
        )
    return (sizes[0], sizes[1]), margins_of(node, pixels)


def batch_to_space(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Back from `_space_to_batch`; rows and columns cropped are padding not added before."""
    source = tensor_at(node, values)
    layer = builder.layer(source)
    block, ((top, bottom), (left, right)) = _block_and_margins(node, values)
    if not isinstance(layer, Conv2D) or builder.spread.get(source) != block:
        raise ModelError(
            f"node '{node.name}' (BatchToSpaceND) has no SpaceToBatchND before it; use a "
            "convolution with dilations in their place"
        )
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
    whole = builder.replace(replace(layer, inputs=before.inputs, padding=padding, shape=shape))
    return as_shape(builder, node, whole, shape[1:]) if source in builder.lines else whole


def conv2d(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Conv2D, grouped where the kernel has fewer channels than the image."""
    return _convolution(builder, node, values, depthwise=False)


def depthwise_conv2d(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """DepthwiseConv2dNative."""
    return _convolution(builder, node, values, depthwise=True)
