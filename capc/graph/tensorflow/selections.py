"""Operations that choose, repeat or broadcast slices of one image, as Gather layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Gather, Reshape, Shape
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.folding import BATCH, slice_index
from capc.graph.tensorflow.movements import as_shape
from capc.graph.tensorflow.operands import constant_at, tensor_at

_PLACE = "_place_of_output"  # no attribute of TensorFlow's
_SPLITS = {"Split", "SplitV", "Unpack"}


def taken(builder: Builder, name: str, source: str, axis: int, indices: Iterable[int]) -> str:
    """Slices `indices` along `axis` of one image; the source itself where that changes nothing."""
    shape = builder.shape(source)
    chosen = tuple(int(index) for index in indices)
    if chosen == tuple(range(shape[axis])):
        return source
    return builder.add(
        Gather(
            name=name,
            inputs=(source,),
            shape=(*shape[:axis], len(chosen), *shape[axis + 1 :]),
            axis=axis,
            indices=chosen,
        )
    )


def broadcast(builder: Builder, node: Any, source: str, shape: Shape) -> str:
    """The source with axes of size 1 repeated, so that it has `shape`."""
    given = builder.shape(source)
    fits = len(given) == len(shape)
    if not fits or any(size not in {1, wide} for size, wide in zip(given, shape, strict=True)):
        raise ModelError(
            f"node '{node.name}' ({node.op}) broadcasts {given} per image to {shape}; "
            "only axes of size 1 can be repeated: give the two values equal shapes"
        )
    for axis, wide in enumerate(shape):
        if given[axis] != wide:
            name = builder.unused(f"{node.name}/broadcast")
            source = taken(builder, name, source, axis, [0] * wide)
    return source


def together(builder: Builder, node: Any, first: str, second: str) -> tuple[str, str]:
    """Two values broadcast to one shape."""
    shapes = builder.shape(first), builder.shape(second)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ModelError(
            f"node '{node.name}' ({node.op}) joins {shapes[0]} and {shapes[1]} per image, which "
            "do not broadcast to one shape; give them equal shapes"
        ) from None
    return broadcast(builder, node, first, shape), broadcast(builder, node, second, shape)


def broadcast_to(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """BroadcastTo, which may not repeat the batch."""
    wanted = [int(size) for size in np.ravel(constant_at(node, values))]
    if wanted[:1] not in ([BATCH], [1]):
        raise ModelError(
            f"node '{node.name}' (BroadcastTo) repeats the batch; "
            "work on the axes of one image alone"
        )
    return broadcast(builder, node, tensor_at(node, values), tuple(wanted[1:]))


def strided_slice(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """StridedSlice: x[:, a:b:c, ..., k] and the like, the batch axis whole."""
    source = tensor_at(node, values)
    places = [constant_at(node, values, place) for place in (1, 2, 3)]
    return _indexed(builder, node, source, slice_index(node, *places))


def slice_operation(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Slice: a start and a size for each axis."""
    starts, sizes = (np.ravel(constant_at(node, values, place)).tolist() for place in (1, 2))
    index = [
        slice(start, None if size in {-1, BATCH} else start + size)
        for start, size in zip(starts, sizes, strict=True)
    ]
    return _indexed(builder, node, tensor_at(node, values), index)


def reverse(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """ReverseV2 along axes of one image."""
    source = tensor_at(node, values)
    rank = len(builder.shape(source)) + 1
    reversed_axes = {int(axis) % rank for axis in np.ravel(constant_at(node, values))}
    index = [slice(None, None, -1 if axis in reversed_axes else 1) for axis in range(rank)]
    return _indexed(builder, node, source, index)


def tile(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Tile along axes of one image."""
    source = tensor_at(node, values)
    multiples = [int(times) for times in np.ravel(constant_at(node, values))]
    if len(multiples) != len(builder.shape(source)) + 1 or multiples[0] != 1 or min(multiples) < 1:
        raise ModelError(
            f"node '{node.name}' (Tile) repeats by {multiples}: not the batch axis; "
            "work on the axes of one image alone"
        )
    for axis, times in enumerate(multiples[1:]):
        indices = list(range(builder.shape(source)[axis])) * times
        source = taken(builder, builder.unused(f"{node.name}/tile"), source, axis, indices)
    return source


def gather(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """GatherV2 by constant indices along one axis of one image."""
    source = tensor_at(node, values)
    indices, axis = constant_at(node, values), int(constant_at(node, values, 2))
    shape = builder.shape(source)
    axis = axis % (len(shape) + 1) - 1
    if axis < 0 or node.attr["batch_dims"].i:
        raise ModelError(
            f"node '{node.name}' (GatherV2) chooses along the batch axis; "
            "work on the axes of one image alone"
        )
    flat = np.ravel(indices)
    if flat.size == 0 or flat.min() < 0 or flat.max() >= shape[axis]:
        raise ModelError(
            f"node '{node.name}' (GatherV2) takes indices outside {shape}; "
            "correct the indices and export the model again"
        )
    result = taken(builder, node.name, source, axis, flat.tolist())
    if indices.ndim == 1:
        return result
    final = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    return as_shape(builder, node, result, final)


def with_split_outputs(nodes: dict[str, Any]) -> dict[str, Any]:
    """The nodes, with one more for each output of a split but the first, named `split:k`."""
    result = dict(nodes)
    for node in nodes.values():
        for given in node.input:
            name, _, place = given.partition(":")
            if not place.isdigit() or place == "0" or given in result:
                continue
            split = nodes.get(name)
            if split is not None and split.op in _SPLITS:
                copy = type(split)()
                copy.CopyFrom(split)
                copy.name = given
                copy.attr[_PLACE].i = int(place)
                result[given] = copy
    return result


def of_whole_split(node: Any) -> Any:
    """A copy of a node; where it stands for one output of a split, of that split."""
    copy = type(node)()
    copy.CopyFrom(node)
    if _PLACE in node.attr:
        copy.name = node.name.partition(":")[0]
        del copy.attr[_PLACE]
    return copy


def split(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """One output of Split, SplitV or Unpack along an axis of one image."""
    values_place = 1 if node.op == "Split" else 0
    source = tensor_at(node, values, values_place)
    shape = builder.shape(source)
    if node.op == "Unpack":
        axis = int(node.attr["axis"].i)
    else:
        axis = int(constant_at(node, values, 0 if node.op == "Split" else 2))
    axis = axis % (len(shape) + 1) - 1
    if axis < 0:
        raise ModelError(
            f"node '{node.name}' ({node.op}) splits the batch; work on the axes of one image alone"
        )
    place = int(node.attr[_PLACE].i)
    if node.op == "SplitV":
        sizes = [int(size) for size in np.ravel(constant_at(node, values, 1))]
        sizes = [size if size >= 0 else shape[axis] - sum(sizes) - 1 for size in sizes]
        start, size = sum(sizes[:place]), sizes[place]
    else:
        parts = shape[axis] if node.op == "Unpack" else int(node.attr["num_split"].i)
        size = shape[axis] // parts
        start = place * size
    result = taken(builder, node.name, source, axis, range(start, start + size))
    if node.op != "Unpack":
        return result
    return as_shape(builder, node, result, (*shape[:axis], *shape[axis + 1 :]))


def _indexed(builder: Builder, node: Any, source: str, index: Sequence[Any]) -> str:
    """NumPy's basic indexing of (batch, *shape), the batch axis whole."""
    shape = builder.shape(source)
    whole = [entry for entry in index if entry is not None and entry is not Ellipsis]
    missing = [slice(None)] * (len(shape) + 1 - len(whole))
    cut = index.index(Ellipsis) if Ellipsis in index else len(index)
    full = [*index[:cut], *missing, *index[cut + 1 :]]
    batch = full[0]
    bare = builder.batch == 1 and isinstance(batch, int)  # the one image, without its batch axis
    if bare:
        batch = slice(None)
    if not isinstance(batch, slice) or batch.start not in {None, 0} or batch.step not in {None, 1}:
        raise ModelError(
            f"node '{node.name}' ({node.op}) cuts the batch axis; "
            "work on the axes of one image alone"
        )
    if batch.stop not in {None, BATCH}:
        raise ModelError(
            f"node '{node.name}' ({node.op}) cuts the batch axis; "
            "work on the axes of one image alone"
        )
    final: list[int] = []
    axis = 0
    for entry in full[1:]:
        if entry is None:
            final.append(1)
            continue
        chosen = np.atleast_1d(np.arange(shape[axis])[entry]).tolist()
        if not chosen:
            raise ModelError(
                f"node '{node.name}' ({node.op}) leaves nothing of {shape} per image; "
                "correct the slice, or the model's input size"
            )
        source = taken(builder, builder.unused(f"{node.name}/slice"), source, axis, chosen)
        if isinstance(entry, slice):
            final.append(len(chosen))
        axis += 1
    if not bare:
        return as_shape(builder, node, source, tuple(final))
    name = builder.add(Reshape(builder.unused(node.name), (source,), tuple(final)))
    builder.bare.add(name)
    return name
