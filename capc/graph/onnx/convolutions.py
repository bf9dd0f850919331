"""Convolutions and products with weights as layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from capc.graph.kernels import Window
from capc.graph.layers import Conv2D, Dense
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.operands import (
    constant_at,
    image_of,
    optional_constant,
    padding_of,
    pair_of,
    refused,
    sides_of,
    tensor_at,
)
from capc.graph.onnx.reader import Constant, Layout, Reader, Tensor, Value


def conv(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Conv over (C, L) or (C, H, W), in any number of groups."""
    source = image_of(reader, node, tensor_at(node, values))
    weights = constant_at(node, values).astype(np.float64)
    shape, groups = reader.builder.shape(source.layer), int(node.attributes["group"])
    axes = 1 if source.layout is Layout.LINE else 2
    fits = weights.ndim == axes + 2 and groups > 0 and weights.shape[0] % groups == 0
    if not fits or weights.shape[1] * groups != shape[2]:
        raise refused(
            node,
            f"has weights of {weights.shape} in {groups} groups, which do not fit "
            f"{reader.shape(source)} per image: check the model's input size",
        )
    kernel_shape = node.attributes.get("kernel_shape", weights.shape[2:])
    if tuple(kernel_shape) != weights.shape[2:]:
        raise refused(
            node,
            f"has kernel_shape {list(kernel_shape)} and weights of {weights.shape}; export the "
            "model again",
        )
    kernel = weights.reshape(*weights.shape, *([1] if axes == 1 else [])).transpose(2, 3, 1, 0)
    size = kernel.shape[0], kernel.shape[1]
    dilations = pair_of(node, "dilations", source)
    strides = pair_of(node, "strides", source)
    padding = padding_of(reader, node, source, size, dilations)
    sides = sides_of(reader, node, source, Window(size, strides, padding, dilations))
    filters = kernel.shape[3]
    layer = Conv2D(
        name=node.name,
        inputs=(source.layer,),
        shape=(*sides, filters),
        kernel=kernel,
        bias=_bias(node, optional_constant(node, values, 2), filters),
        strides=strides,
        padding=padding,
        dilations=dilations,
        groups=groups,
    )
    return reader.added(layer, source.layout)


def gemm(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Gemm: alpha * x @ B + beta * C."""
    if node.attributes["transA"]:
        raise refused(
            node,
            "transposes the batch (transA); multiply images by a weight matrix from the left, as a "
            "linear layer does",
        )
    weight = constant_at(node, values).astype(np.float64) * node.attributes["alpha"]
    if node.attributes["transB"]:
        weight = np.swapaxes(weight, -1, -2)
    source = reader.plain(tensor_at(node, values))
    shape = reader.shape(source)
    if len(shape) != 1 or weight.ndim != 2 or weight.shape[0] != shape[0]:
        raise refused(
            node,
            f"multiplies {shape} per image by {weight.shape}, which does not fit; a linear layer "
            "takes one axis per image: flatten before it",
        )
    width = weight.shape[1]
    added = optional_constant(node, values, 2)
    bias = _bias(node, added, width) * node.attributes["beta"]
    return reader.added(Dense(node.name, (source.layer,), (width,), weight=weight, bias=bias))


def matmul(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """MatMul of the last axis by a weight matrix."""
    if not isinstance(values[0], Tensor) or isinstance(values[1], Tensor):
        raise refused(
            node,
            "multiplies from the left, or two values that depend on the query; supported is a "
            "value times a weight matrix, as a linear layer has it: attention does not run here",
        )
    source = reader.plain(values[0])
    weight = constant_at(node, values).astype(np.float64)
    shape = reader.shape(source)
    if weight.ndim != 2 or not shape or weight.shape[0] != shape[-1]:
        raise refused(node, f"multiplies {shape} per image by {weight.shape}, which does not fit")
    width = weight.shape[1]
    bias = np.zeros(width)
    if len(shape) == 1:
        return reader.added(Dense(node.name, (source.layer,), (width,), weight=weight, bias=bias))
    rows = math.prod(shape[:-1])
    image = reader.reshaped(source.layer, (rows, 1, shape[-1]))
    kernel = weight.reshape(1, 1, *weight.shape)
    name = reader.builder.unused(f"{node.name}/rows")
    reader.added(Conv2D(name, (image,), (rows, 1, width), kernel=kernel, bias=bias))
    return Tensor(reader.reshaped(name, (*shape[:-1], width)))


def linear_classifier(reader: Reader, node: Node, values: Sequence[Value]) -> list[Tensor | None]:
    """The scores of scikit-learn's linear models, one a class; the labels are no layer."""
    source = reader.plain(tensor_at(node, values))
    shape, transform = reader.shape(source), node.attributes["post_transform"]
    offsets = np.asarray(node.attributes.get("intercepts", ()), dtype=np.float64)
    weights = np.asarray(node.attributes["coefficients"], dtype=np.float64)
    labels = [len(node.attributes.get(f"classlabels_{kind}", ())) for kind in ("ints", "strings")]
    classes = max(labels)
    if transform != "NONE" or len(shape) != 1 or weights.size != classes * shape[0]:
        raise refused(
            node,
            f"has {weights.size} coefficients and {classes} classes for {shape} per image, and "
            f"post_transform {transform}; supported are one coefficient a class and input, at the "
            "end of a model",
        )
    bias = offsets if offsets.size else np.zeros(classes)
    weight = weights.reshape(classes, shape[0]).T
    dense = Dense(node.name, (source.layer,), (classes,), weight=weight, bias=bias)
    return [None, reader.added(dense)]


def scaler(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """scikit-learn's scalers: (x - offset) * scale."""
    source = tensor_at(node, values)
    offset, scale = (
        reader.arranged(node, np.asarray(node.attributes[name]), source)
        for name in ("offset", "scale")
    )
    shifted = reader.builder.shifted(f"{node.name}/offset", source.layer, -offset)
    return Tensor(reader.builder.scaled(node.name, shifted, scale), source.layout)


def batch_normalisation(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """BatchNormalization with constant statistics, of the first axis of one image."""
    if node.attributes.get("training_mode") or not node.attributes.get("spatial", 1):
        raise refused(
            node, "is in training mode, or is not one a channel: export the model for inference"
        )
    source = tensor_at(node, values)
    if len(reader.shape(source)) in {2, 3}:
        source = reader.channels_last(source)
    scale, shift, mean, variance = (
        constant_at(node, values, place).astype(np.float64) for place in range(1, 5)
    )
    factor = scale / np.sqrt(variance + node.attributes["epsilon"])
    scaled = reader.builder.scaled(f"{node.name}/scale", source.layer, factor)
    shifted = reader.builder.shifted(node.name, scaled, shift - mean * factor)
    return Tensor(shifted, source.layout)


def _bias(node: Node, given: Constant | None, width: int) -> Constant:
    """A bias (width,), of zeros where none is given."""
    if given is None:
        return np.zeros(width)
    try:
        return np.array(np.broadcast_to(given.astype(np.float64), (1, width)).reshape(width))
    except ValueError:
        raise refused(
            node, f"adds a constant of {given.shape} to {width} outputs; it must have one each"
        ) from None
