"""Operations that only move numbers, as layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Reshape, Shape, Transpose
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.folding import BATCH
from capc.graph.tensorflow.operands import constant_at, tensor_at


def reshape(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Reshape: any shape that keeps the batch axis, or merges rows into it for a Dense layer.

    In a graph that takes one image, the batch axis may go.
    """
    source = tensor_at(node, values)
    wanted = [int(size) for size in np.ravel(constant_at(node, values))]
    given = builder.shape(source)
    total = int(np.prod(given))
    count = wanted[0] // BATCH if wanted and wanted[0] % BATCH == 0 else 0
    if count > 1 and total == count * int(np.prod(wanted[1:])):
        rows = builder.add(Reshape(node.name, (source,), (count, *wanted[1:])))
        builder.rows.add(rows)
        return rows
    if wanted and wanted[0] in {BATCH, -1, 1}:
        shape = _filled(wanted[1:], total)
        if shape is not None:
            return builder.add(Reshape(name=node.name, inputs=(source,), shape=shape))
    shape = _filled(wanted, total)
    if builder.batch == 1 and shape is not None:
        return _bare(builder, Reshape(name=node.name, inputs=(source,), shape=shape))
    shown = ["batch" if size == BATCH else size for size in wanted]
    raise ModelError(
        f"node '{node.name}' (Reshape) gives {given} per image the shape {shown}: it must keep "
        "the batch axis and the number of elements; flatten each image by itself"
    )


def _filled(wanted: Sequence[int], total: int) -> Shape | None:
    """A shape of so many elements, with its one -1 filled in; None where it does not fit."""
    sizes = list(wanted)
    known = int(np.prod([size for size in sizes if size != -1]))
    if sizes.count(-1) == 1 and known > 0 and total % known == 0:
        sizes[sizes.index(-1)] = total // known
    fits = min(sizes, default=1) > 0 and int(np.prod(sizes)) == total
    return tuple(sizes) if fits else None


def _row(builder: Builder, node: Any, source: str, axes: Iterable[int]) -> str:
    """A signal between SpaceToBatchND and BatchToSpaceND, whose one row is there already."""
    if source in builder.lines and list(axes) in ([1], [-3]):
        return source
    raise ModelError(
        f"node '{node.name}' ({node.op}) stands between SpaceToBatchND and BatchToSpaceND, where "
        "only a convolution is supported; use a convolution with dilations"
    )


def without_batch(builder: Builder, name: str, source: str) -> str:
    """The value without its batch axis, in a graph that takes one image."""
    shape = builder.shape(source)
    return _bare(builder, Reshape(builder.unused(f"{name}/one"), (source,), shape))


def _bare(builder: Builder, layer: Reshape) -> str:
    name = builder.add(layer)
    builder.bare.add(name)
    return name


def expand_dims(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """ExpandDims; it may give an image its batch axis back."""
    source = tensor_at(node, values)
    if source in builder.spread:
        return _row(builder, node, source, [int(constant_at(node, values))])
    given = builder.shape(source)
    bare = source in builder.bare
    rank = len(given) + (0 if bare else 1)
    axis = int(constant_at(node, values))
    axis = axis + rank + 1 if axis < 0 else axis
    if bare and axis == 0:
        return builder.add(Reshape(name=node.name, inputs=(source,), shape=given))
    place = axis if bare else axis - 1
    if not 0 <= place <= len(given):
        raise ModelError(
            f"node '{node.name}' (ExpandDims) changes the batch axis; put the new axis after it"
        )
    layer = Reshape(node.name, (source,), (*given[:place], 1, *given[place:]))
    return _bare(builder, layer) if bare else builder.add(layer)


def squeeze(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Squeeze; in a graph that takes one image, the batch axis may go."""
    source = tensor_at(node, values)
    if source in builder.spread:
        return _row(builder, node, source, node.attr["squeeze_dims"].list.i)
    shape = [builder.batch or 0, *builder.shape(source)]
    axes = {int(axis) % len(shape) for axis in node.attr["squeeze_dims"].list.i}
    axes = axes or {axis for axis in range(len(shape)) if shape[axis] == 1}
    if any(shape[axis] != 1 for axis in axes):
        raise ModelError(
            f"node '{node.name}' (Squeeze) takes axes {sorted(axes)} from {tuple(shape[1:])} per "
            "image; only axes of size 1 after the batch can go: name them"
        )
    rest = tuple(size for axis, size in enumerate(shape) if axis and axis not in axes)
    layer = Reshape(name=node.name, inputs=(source,), shape=rest)
    return _bare(builder, layer) if 0 in axes else builder.add(layer)


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


def as_shape(builder: Builder, node: Any, source: str, shape: Shape) -> str:
    """The source under another shape; itself where it has that."""
    if builder.shape(source) == shape:
        return source
    name = builder.unused(f"{node.name}/shape")
    return builder.add(Reshape(name=name, inputs=(source,), shape=shape))
