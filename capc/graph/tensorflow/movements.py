"""Operations that only move numbers, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Concat, Pad, Reshape, Shape, Transpose
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.folding import BATCH
from capc.graph.tensorflow.operands import constant_at, tensor_at


def reshape(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Reshape: any shape that keeps the batch axis, or merges rows into it for a Dense layer."""
    source = tensor_at(node, values)
    wanted = [int(size) for size in np.ravel(constant_at(node, values))]
    given = builder.shape(source)
    total = int(np.prod(given))
    rest = wanted[1:]
    if wanted and wanted[0] < BATCH and total == -wanted[0] * int(np.prod(rest)):
        rows = builder.add(Reshape(node.name, (source,), (-wanted[0], *rest)))
        builder.rows.add(rows)
        return rows
    if wanted and wanted[0] in {BATCH, 1} and rest.count(-1) <= 1:
        known = int(np.prod([size for size in rest if size != -1]))
        if -1 in rest and known > 0 and total % known == 0:
            rest[rest.index(-1)] = total // known
        if min(rest, default=1) > 0 and int(np.prod(rest)) == total:
            return builder.add(Reshape(name=node.name, inputs=(source,), shape=tuple(rest)))
    raise ModelError(
        f"node '{node.name}' (Reshape) gives {given} per image the shape {wanted}: it must keep "
        "the batch axis and the number of elements; flatten each image by itself"
    )


def expand_dims(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """ExpandDims."""
    source = tensor_at(node, values)
    shape = [0, *builder.shape(source)]
    axis = int(constant_at(node, values))
    axis = axis + len(shape) + 1 if axis < 0 else axis
    if not 1 <= axis <= len(shape):
        raise ModelError(
            f"node '{node.name}' (ExpandDims) changes the batch axis; put the new axis after it"
        )
    shape.insert(axis, 1)
    return builder.add(Reshape(name=node.name, inputs=(source,), shape=tuple(shape[1:])))


def squeeze(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Squeeze."""
    source = tensor_at(node, values)
    shape = [0, *builder.shape(source)]
    axes = {int(axis) % len(shape) for axis in node.attr["squeeze_dims"].list.i}
    axes = axes or {axis for axis in range(1, len(shape)) if shape[axis] == 1}
    if 0 in axes or any(shape[axis] != 1 for axis in axes):
        raise ModelError(
            f"node '{node.name}' (Squeeze) takes axes {sorted(axes)} from {tuple(shape[1:])} per "
            "image; only axes of size 1 after the batch can go: name them"
        )
    rest = tuple(size for axis, size in enumerate(shape) if axis and axis not in axes)
    return builder.add(Reshape(name=node.name, inputs=(source,), shape=rest))


def transpose(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Transpose of the axes of one image."""
    source = tensor_at(node, values)
    order = [int(axis) for axis in np.ravel(constant_at(node, values))]
    given = builder.shape(source)
    if order[:1] != [0] or sorted(order) != list(range(len(given) + 1)):
        raise ModelError(
            f"node '{node.name}' (Transpose) by {order} moves the batch axis; permute the axes "
            "after it alone"
        )
    permutation = tuple(axis - 1 for axis in order[1:])
    shape = tuple(given[axis] for axis in permutation)
    return builder.add(
        Transpose(name=node.name, inputs=(source,), shape=shape, permutation=permutation)
    )


def concat(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """ConcatV2 of values that all depend on the query."""
    sources = [tensor_at(node, values, place) for place in range(len(values) - 1)]
    shapes = [builder.shape(source) for source in sources]
    axis = int(constant_at(node, values, len(values) - 1))
    axis = axis + len(shapes[0]) + 1 if axis < 0 else axis
    rests = {(*shape[: axis - 1], *shape[axis:]) for shape in shapes}
    if not 1 <= axis <= len(shapes[0]) or len(rests) != 1:
        raise ModelError(
            f"node '{node.name}' (ConcatV2) joins {shapes} along axis {axis}; the other axes must "
            "be equal, and the batch may not be joined"
        )
    shape = list(shapes[0])
    shape[axis - 1] = sum(given[axis - 1] for given in shapes)
    return builder.add(
        Concat(name=node.name, inputs=tuple(sources), shape=tuple(shape), axis=axis - 1)
    )


def pad(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Pad and PadV2 of any axes of one image with zeros."""
    source = tensor_at(node, values)
    shape = builder.shape(source)
    pixels = constant_at(node, values).tolist()
    if len(values) > 2 and np.any(constant_at(node, values, 2)):
        raise ModelError(
            f"node '{node.name}' ({node.op}) pads with something else than zero; pad with zeros"
        )
    if len(pixels) != len(shape) + 1 or any(pixels[0]) or np.min(pixels) < 0:
        raise ModelError(f"node '{node.name}' ({node.op}) pads the batch by {pixels}; pad an image")
    if len(shape) == 3 and not any(pixels[3]):
        return _padded(builder, builder.unused(node.name), source, pixels[1], pixels[2])
    for axis, margins in enumerate(pixels[1:]):
        if not any(margins):
            continue
        before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        image = as_shape(builder, node, source, (before, shape[axis], after))
        padded = _padded(builder, builder.unused(node.name), image, (0, 0), margins)
        shape = (*shape[:axis], shape[axis] + sum(margins), *shape[axis + 1 :])
        source = as_shape(builder, node, padded, shape)
    return source


def as_shape(builder: Builder, node: Any, source: str, shape: Shape) -> str:
    """The source under another shape; itself where it has that."""
    if builder.shape(source) == shape:
        return source
    name = builder.unused(f"{node.name}/shape")
    return builder.add(Reshape(name=name, inputs=(source,), shape=shape))


def _padded(
    builder: Builder, name: str, source: str, rows: Sequence[int], columns: Sequence[int]
) -> str:
    height, width, channels = builder.shape(source)
    shape = (height + sum(rows), width + sum(columns), channels)
    padding = (rows[0], rows[1]), (columns[0], columns[1])
    return builder.add(Pad(name=name, inputs=(source,), shape=shape, padding=padding))
