"""What an ONNX node's inputs and attributes say, checked; every refusal names the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.kernels import Pair, Window, same_padding
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.reader import Constant, Layout, Reader, Tensor, Value

Padding = tuple[Pair, Pair]
# One value for each output; None for one that no layer stands for.
Convert = Callable[[Reader, Node, Sequence[Value]], Tensor | Sequence[Tensor | None]]


@dataclass(frozen=True)
class Operation:
    """How an operation becomes layers, and the attributes that `convert` reads or may ignore."""

    convert: Convert
    attributes: frozenset[str] = frozenset()


def operation(convert: Convert, *attributes: str) -> Operation:
    """An entry of the table of operations."""
    return Operation(convert, frozenset(attributes))


def refused(node: Node, what: str) -> ModelError:
    """A refusal of a node: `what` says what it does, and the way out."""
    return ModelError(f"node '{node.name}' ({node.op}) {what}")


def tensor_at(node: Node, values: Sequence[Value], place: int = 0) -> Tensor:
    """The value at one input that depends on the query; ModelError where it is a constant."""
    value = values[place] if place < len(values) else None
    if not isinstance(value, Tensor):
        raise refused(
            node,
            f"has a constant at input {place}, which must depend on the query; exchange its "
            "inputs, or name another --output_node",
        )
    return value


def optional_constant(node: Node, values: Sequence[Value], place: int) -> Constant | None:
    """The constant at one input; None where it is left out; ModelError for another value."""
    value = values[place] if place < len(values) else None
    if isinstance(value, Tensor):
        raise refused(
            node,
            f"has a value that depends on the query at input {place}, which must be a constant; "
            "take the layer out",
        )
    return value


def constant_at(node: Node, values: Sequence[Value], place: int = 1) -> Constant:
    """The constant at one input; ModelError where it is left out, or depends on the query."""
    value = optional_constant(node, values, place)
    if value is None:
        raise refused(node, f"lacks its input {place}; export the model again")
    return value


def numbers_of(node: Node, values: Sequence[Value], name: str, place: int) -> list[int] | None:
    """Whole numbers that are an attribute in early versions and an input in later ones, or None."""
    if name in node.attributes:
        return [int(number) for number in np.ravel(node.attributes[name])]
    given = optional_constant(node, values, place)
    return None if given is None else [int(number) for number in np.ravel(given)]


def axes_of(reader: Reader, node: Node, tensor: Tensor, axes: Sequence[int]) -> list[int]:
    """Axes counted with the batch, as axes of one image. Raises ModelError for the batch axis."""
    rank = len(reader.shape(tensor)) + 1
    if any(not -rank <= axis < rank for axis in axes):
        raise refused(node, f"names the axes {list(axes)} of {rank}; export the model again")
    found = [axis % rank - 1 for axis in axes]
    if -1 in found:
        raise refused(node, "works on the batch axis; work on the axes of one image alone")
    return found


def image_of(reader: Reader, node: Node, tensor: Tensor) -> Tensor:
    """The value with channels last, of two axes (C, L) or three (C, H, W); else ModelError."""
    shape = reader.shape(tensor)
    if len(shape) not in {2, 3}:
        raise refused(
            node,
            f"needs (channels, length) or (channels, height, width) per image, got {shape}: "
            "reshape before it",
        )
    return reader.channels_last(tensor)


def pair_of(node: Node, name: str, tensor: Tensor) -> Pair:
    """Height and width of an attribute; 1 where it is absent, and for the width of a line."""
    sizes = [int(size) for size in node.attributes.get(name, ())]
    axes = 1 if tensor.layout is Layout.LINE else 2
    sizes = sizes or [1] * axes
    if len(sizes) != axes or min(sizes) < 1:
        raise refused(node, f"has {name} {sizes}; allowed are {axes} whole numbers from 1")
    return sizes[0], (*sizes, 1)[1]


def padding_of(
    reader: Reader, node: Node, tensor: Tensor, size: Pair, dilations: Pair = (1, 1)
) -> Padding:
    """((top, bottom), (left, right)) of explicit pads or of auto_pad."""
    kind = node.attributes.get("auto_pad", "NOTSET")
    pads = [int(pixels) for pixels in node.attributes.get("pads", ())]
    if kind in {"SAME_UPPER", "SAME_LOWER"}:
        shape, strides = reader.builder.shape(tensor.layer), pair_of(node, "strides", tensor)
        rows, columns = same_padding(shape, size, strides, dilations)
        if kind == "SAME_LOWER":
            rows, columns = (rows[1], rows[0]), (columns[1], columns[0])
        return rows, columns
    if kind == "VALID":
        return (0, 0), (0, 0)
    axes = 1 if tensor.layout is Layout.LINE else 2
    pads = pads or [0] * (2 * axes)
    if kind != "NOTSET" or len(pads) != 2 * axes or min(pads) < 0:
        raise refused(
            node,
            f"has auto_pad {kind} and pads {pads}; allowed are NOTSET, VALID, SAME_UPPER and "
            f"SAME_LOWER, and {2 * axes} whole numbers from 0",
        )
    if axes == 1:
        return (pads[0], pads[1]), (0, 0)
    return (pads[0], pads[2]), (pads[1], pads[3])


def sides_of(reader: Reader, node: Node, tensor: Tensor, window: Window) -> Pair:
    """(H_out, W_out) of windows over a value; ModelError where not one fits."""
    try:
        return window.outputs(reader.builder.shape(tensor.layer))
    except ModelError as error:
        raise refused(
            node, f"has no room: {error}; use larger images, a smaller window or padding"
        ) from None


def single(node: Node, value: Constant, what: str) -> float:
    """The one number of a constant; ModelError where there are several."""
    if value.size != 1:
        raise refused(node, f"has {value.size} numbers for its {what}; allowed is one")
    return float(value.reshape(-1)[0])


def element_wise(convert: Any) -> Convert:
    """What works on numbers at one place each, by the function that TensorFlow's operation has."""

    def converted(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
        tensors = [value for value in values if isinstance(value, Tensor)]
        alike = iter(reader.alike(node, tensors))
        first = reader.alike(node, tensors)[0]
        given = [
            next(alike).layer if isinstance(value, Tensor) else reader.arranged(node, value, first)
            for value in values
            if value is not None
        ]
        return Tensor(convert(reader.builder, node, given), first.layout)

    return converted
