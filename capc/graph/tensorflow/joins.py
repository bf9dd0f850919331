"""Values side by side, and margins around them, as layers: joins, stacks and pads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Concat, Pad, Shape
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.movements import as_shape
from capc.graph.tensorflow.operands import constant_at, tensor_at
from capc.graph.tensorflow.selections import taken


def concat(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """ConcatV2 along an axis of one image; constants may stand among the values."""
    axis = int(constant_at(node, values, len(values) - 1))
    rank = 1 + max(len(builder.shape(value)) for value in values if isinstance(value, str))
    return _joined(builder, node, values[:-1], axis + rank if axis < 0 else axis)


def pack(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Pack (tf.stack) along a new axis of one image; constants may stand among the values."""
    source = next(value for value in values if isinstance(value, str))
    rank = len(builder.shape(source)) + 2
    axis = int(node.attr["axis"].i)
    axis = axis + rank if axis < 0 else axis
    if axis < 1:
        raise ModelError(
            f"node '{node.name}' (Pack) puts a new axis before the batch; put it after it"
        )
    parts: list[Value] = []
    for value in values:
        if isinstance(value, str):
            given = builder.shape(value)
            shape = (*given[: axis - 1], 1, *given[axis - 1 :])
            parts.append(as_shape(builder, node, value, shape))
        else:
            parts.append(np.expand_dims(value, axis))
    return _joined(builder, node, parts, axis)


def _joined(builder: Builder, node: Any, values: Sequence[Value], axis: int) -> str:
    """Values side by side. A constant is zeros that pad its neighbour, and an offset."""
    for value in values:
        if not isinstance(value, str) and value.shape[:1] != (1,):
            raise ModelError(
                f"node '{node.name}' ({node.op}) joins a constant of shape {value.shape}, which "
                "may differ between the images of a batch; use one constant for all"
            )
    shapes = [_size_of(builder, value) for value in values]
    rests = {(*shape[: axis - 1], *shape[axis:]) for shape in shapes}
    if not 1 <= axis <= len(shapes[0]) or len(rests) != 1:
        raise ModelError(
            f"node '{node.name}' ({node.op}) joins {shapes} along axis {axis}; the other axes must "
            "be equal, and the batch may not be joined"
        )
    ends = np.cumsum([shape[axis - 1] for shape in shapes]).tolist()
    shape = (*shapes[0][: axis - 1], ends[-1], *shapes[0][axis:])
    offset = np.zeros(shape)
    for value, given, end in zip(values, shapes, ends, strict=True):
        if not isinstance(value, str):
            place = (slice(None),) * (axis - 1) + (slice(end - given[axis - 1], end),)
            offset[place] = value[0]
    sources = _with_room(builder, node, values, axis)
    joined = sources[0]
    if len(sources) > 1:
        name = builder.unused(node.name)
        joined = builder.add(Concat(name, tuple(sources), shape, axis=axis - 1))
    constants = any(not isinstance(value, str) for value in values)
    return builder.shifted(builder.unused(node.name), joined, offset) if constants else joined


def _size_of(builder: Builder, value: Value) -> Shape:
    """The shape of one image; a constant's first axis is the batch."""
    return builder.shape(value) if isinstance(value, str) else value.shape[1:]


def _with_room(builder: Builder, node: Any, values: Sequence[Value], axis: int) -> list[str]:
    """The values that depend on the query, padded with zeros where constants stand beside them."""
    rooms: list[tuple[str, int, int]] = []
    before = 0
    for value in values:
        size = _size_of(builder, value)[axis - 1]
        if isinstance(value, str):
            rooms.append((value, before, 0))
            before = 0
        elif rooms:
            source, first, last = rooms[-1]
            rooms[-1] = source, first, last + size
        else:
            before += size
    rank = len(builder.shape(rooms[0][0]))
    result = []
    for source, first, last in rooms:
        margins = [(0, 0)] * rank
        margins[axis - 1] = first, last
        result.append(_with_zeros(builder, node, source, margins))
    return result


def pad(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Pad and PadV2 of any axes of one image, with zeros or another constant."""
    source, margins = tensor_at(node, values), _margins(builder, node, values)
    value = float(constant_at(node, values, 2).reshape(-1)[0]) if len(values) > 2 else 0.0
    if not value:
        return _with_zeros(builder, node, source, margins)
    padded = _with_zeros(builder, node, source, margins)
    inside = np.zeros(builder.shape(source))
    return builder.shifted(
        builder.unused(node.name), padded, np.pad(inside, margins, constant_values=value)
    )


def mirror_pad(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """MirrorPad: values of the image itself, with its edge once more (SYMMETRIC) or not."""
    source, margins = tensor_at(node, values), _margins(builder, node, values)
    mode = node.attr["mode"].s.decode().lower()
    for axis, (before, after) in enumerate(margins):
        size = builder.shape(source)[axis]
        indices = np.pad(np.arange(size), (before, after), mode=mode)
        source = taken(builder, builder.unused(node.name), source, axis, indices)
    return source


def _margins(builder: Builder, node: Any, values: Sequence[Value]) -> list[tuple[int, int]]:
    """What is added before and after each axis of one image."""
    pixels = constant_at(node, values).tolist()
    rank = len(builder.shape(tensor_at(node, values)))
    if len(pixels) != rank + 1 or any(pixels[0]) or np.min(pixels) < 0:
        raise ModelError(f"node '{node.name}' ({node.op}) pads the batch by {pixels}; pad an image")
    return [(before, after) for before, after in pixels[1:]]


def _with_zeros(
    builder: Builder, node: Any, source: str, margins: Sequence[tuple[int, int]]
) -> str:
    shape = builder.shape(source)
    if len(shape) == 3 and not any(margins[2]):
        return _padded(builder, builder.unused(node.name), source, margins[0], margins[1])
    for axis, added in enumerate(margins):
        if not any(added):
            continue
        before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        image = as_shape(builder, node, source, (before, shape[axis], after))
        padded = _padded(builder, builder.unused(node.name), image, (0, 0), added)
        shape = (*shape[:axis], shape[axis] + sum(added), *shape[axis + 1 :])
        source = as_shape(builder, node, padded, shape)
    return source


def _padded(
    builder: Builder, name: str, source: str, rows: Sequence[int], columns: Sequence[int]
) -> str:
    height, width, channels = builder.shape(source)
    shape = (height + sum(rows), width + sum(columns), channels)
    padding = (rows[0], rows[1]), (columns[0], columns[1])
    return builder.add(Pad(name=name, inputs=(source,), shape=shape, padding=padding))
