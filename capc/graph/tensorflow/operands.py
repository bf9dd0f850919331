"""What a graph node's inputs and attributes say, checked; every refusal names the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.kernels import Window, same_padding
from capc.graph.layers import Shape
from capc.graph.tensorflow.builder import Builder, Constant, Value

Padding = tuple[tuple[int, int], tuple[int, int]]
Convert = Callable[[Builder, Any, Sequence[Value]], str]


def tensor_at(node: Any, values: Sequence[Value], place: int = 0) -> str:
    """The layer at one input; ModelError where it is a constant."""
    value = values[place]
    if not isinstance(value, str):
        raise ModelError(
            f"node '{node.name}' ({node.op}): input {place} must depend on the query; exchange its "
            "inputs, or name another --input_node"
        )
    return value


def constant_at(node: Any, values: Sequence[Value], place: int = 1) -> Constant:
    """The constant at one input; ModelError where it depends on the query."""
    value = values[place]
    if isinstance(value, str):
        raise ModelError(
            f"node '{node.name}' ({node.op}): input {place} must be a constant; freeze the model's "
            "variables, or take the layer out"
        )
    return value


def check_nhwc(node: Any) -> None:
    """Raise ModelError for channels first."""
    layout = node.attr["data_format"].s.decode() or "NHWC"
    if layout != "NHWC":
        raise ModelError(
            f"node '{node.name}' ({node.op}) has data_format {layout}; supported is NHWC, "
            "channels last: build the model with data_format='channels_last'"
        )


def per_channel(node: Any, values: Constant, shape: Shape) -> Constant:
    """One float64 value a channel, so that it broadcasts over an image of `shape`.

    What works on each number alone has a meaning for channels first, too.
    """
    floats = values.astype(np.float64)
    if node.attr["data_format"].s.decode() == "NCHW":
        return floats.reshape(-1, *[1] * (len(shape) - 1))
    return floats


def image_shape(builder: Builder, node: Any, source: str) -> Shape:
    """The shape (H, W, C) of a layer; ModelError where it has other axes."""
    shape = builder.shape(source)
    if len(shape) != 3:
        raise ModelError(
            f"node '{node.name}' ({node.op}) needs (height, width, channels) per image, got "
            f"{shape}: reshape to three axes before it"
        )
    return shape


def pair_of(node: Any, name: str) -> tuple[int, int]:
    """Height and width of an attribute that lists all four axes; (1, 1) where it is absent."""
    sizes = [int(size) for size in node.attr[name].list.i] or [1, 1, 1, 1]
    if len(sizes) != 4 or sizes[0] != 1 or sizes[3] != 1 or min(sizes) < 1:
        raise ModelError(
            f"node '{node.name}' ({node.op}) has {name} {sizes}; allowed are whole numbers from 1 "
            "for height and width, and 1 for batch and channels"
        )
    return sizes[1], sizes[2]


def padding_of(
    node: Any, shape: Shape, size: tuple[int, int], dilations: tuple[int, int] = (1, 1)
) -> Padding:
    """((top, bottom), (left, right)) of SAME, VALID or EXPLICIT padding."""
    kind = node.attr["padding"].s.decode()
    if kind == "SAME":
        return same_padding(shape, size, pair_of(node, "strides"), dilations)
    if kind == "VALID":
        return (0, 0), (0, 0)
    explicit = [int(pixels) for pixels in node.attr["explicit_paddings"].list.i]
    if kind != "EXPLICIT" or len(explicit) != 8 or any(explicit[:2] + explicit[6:]):
        raise ModelError(
            f"node '{node.name}' ({node.op}) has padding {kind} {explicit}; supported are SAME, "
            "VALID, and zeros around height and width"
        )
    return (explicit[2], explicit[3]), (explicit[4], explicit[5])


def sides_of(
    node: Any,
    shape: Shape,
    size: tuple[int, int],
    padding: Padding,
    dilations: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """(H_out, W_out) of the node's windows over (H, W, C); ModelError where not one fits."""
    try:
        return Window(size, pair_of(node, "strides"), padding, dilations).outputs(shape)
    except ModelError as error:
        raise ModelError(
            f"node '{node.name}' ({node.op}): {error}; use larger images, a smaller window or SAME "
            "padding"
        ) from None


def margins_of(node: Any, pixels: Constant) -> Padding:
    """((top, bottom), (left, right)) from a 2 x 2 constant."""
    if np.shape(pixels) != (2, 2) or np.min(pixels) < 0:
        raise ModelError(
            f"node '{node.name}' ({node.op}) has the margins {np.asarray(pixels).tolist()}; "
            "supported are two numbers of at least 0 for height and for width"
        )
    (top, bottom), (left, right) = np.asarray(pixels).tolist()
    return (top, bottom), (left, right)
