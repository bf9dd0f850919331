"""Operations that only move numbers, as layers, or as another layout of the same layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from capc.graph.layers import Concat, Pad, Shape, Transpose
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.operands import (
    axes_of,
    constant_at,
    numbers_of,
    optional_constant,
    refused,
    tensor_at,
)
from capc.graph.onnx.reader import Layout, Reader, Tensor, Value
from capc.graph.tensorflow.selections import broadcast, taken


def reshape(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Reshape of each image by itself."""
    source = tensor_at(node, values)
    given = (1, *reader.shape(source))
    wanted = [int(size) for size in np.ravel(constant_at(node, values))]
    if not node.attributes.get("allowzero"):
        wanted = [
            given[axis] if size == 0 and axis < len(given) else size
            for axis, size in enumerate(wanted)
        ]
    total, rest = math.prod(given), wanted[1:]
    known = math.prod(size for size in rest if size != -1)
    one_image = {1} if reader.batch is None else {1, reader.batch}
    if rest.count(-1) == 1 and wanted[0] in one_image and known > 0 and total % known == 0:
        rest[rest.index(-1)] = total // known
    keeps_batch = wanted[:1] == [-1] or wanted[0] in one_image
    if keeps_batch and min(rest, default=1) > 0 and math.prod(rest) == total:
        return _reshaped(reader, source, tuple(rest))
    raise refused(
        node,
        f"gives {reader.shape(source)} per image the shape {wanted}: it must keep the batch axis "
        "and the number of elements; flatten each image by itself",
    )


def flatten(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Flatten behind the batch axis, and behind axes of size 1."""
    source = tensor_at(node, values)
    shape = reader.shape(source)
    axis = int(node.attributes["axis"])
    axis = axis + len(shape) + 1 if axis < 0 else axis
    if axis < 1 or math.prod(shape[: axis - 1]) != 1:
        raise refused(
            node,
            f"merges axes of one image into the batch (axis {axis} of {('batch', *shape)}); "
            "flatten each image by itself, with axis 1",
        )
    return _reshaped(reader, source, (math.prod(shape),))


def squeeze(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Squeeze of axes of size 1."""
    source = tensor_at(node, values)
    shape = reader.shape(source)
    numbers = numbers_of(node, values, "axes", 1)
    axes = [axis for axis, size in enumerate(shape) if size == 1]
    if numbers is not None:
        axes = axes_of(reader, node, source, numbers)
    if any(shape[axis] != 1 for axis in axes):
        raise refused(node, f"takes axes {numbers} from {('batch', *shape)}: they must have size 1")
    rest = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return _reshaped(reader, source, rest)


def unsqueeze(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Unsqueeze: new axes of size 1 behind the batch axis."""
    source = tensor_at(node, values)
    numbers = numbers_of(node, values, "axes", 1) or []
    rest, rank = list(reader.shape(source)), len(reader.shape(source)) + 1 + len(numbers)
    axes = sorted(number % rank for number in numbers)
    if 0 in axes or len(set(axes)) != len(axes):
        raise refused(node, f"has new axes {numbers}: they must be behind the batch, once each")
    for axis in axes:
        rest.insert(axis - 1, 1)
    return _reshaped(reader, source, tuple(rest))


def transpose(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Transpose of the axes of one image: often another layout of the same layer."""
    source = tensor_at(node, values)
    shape = reader.shape(source)
    rank = len(shape) + 1
    order = [int(axis) for axis in node.attributes.get("perm", range(rank)[::-1])]
    if order[:1] != [0] or sorted(order) != list(range(rank)):
        raise refused(node, f"moves the batch axis by {order}; permute the axes after it alone")
    places = tuple(axis - 1 for axis in order[1:])
    if source.layout is Layout.PLAIN and places == (2, 0, 1):
        return Tensor(source.layer, Layout.IMAGE)
    if source.layout is Layout.IMAGE and places == (1, 2, 0):
        return Tensor(source.layer)
    if source.layout is Layout.LINE and places == (1, 0):
        return Tensor(reader.reshaped(source.layer, (shape[1], shape[0])))
    if source.layout is Layout.PLAIN and places == (1, 0):
        return Tensor(reader.reshaped(source.layer, (shape[0], 1, shape[1])), Layout.LINE)
    source = reader.plain(source)
    if places == tuple(range(len(shape))):
        return source
    turned = tuple(shape[axis] for axis in places)
    return reader.added(Transpose(node.name, (source.layer,), turned, permutation=places))


def concat(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Concat of values that all depend on the query, along an axis of one image."""
    tensors = [tensor_at(node, values, place) for place in range(len(values))]
    (axis,) = axes_of(reader, node, tensors[0], [int(node.attributes["axis"])])
    tensors = reader.alike(node, tensors)
    shapes = [reader.builder.shape(tensor.layer) for tensor in tensors]
    lying = reader.axis(tensors[0], axis)
    if len({(*shape[:lying], *shape[lying + 1 :]) for shape in shapes}) != 1:
        raise refused(
            node,
            f"joins {[reader.shape(tensor) for tensor in tensors]} along axis {axis + 1}; the "
            "other axes must be equal",
        )
    total = sum(shape[lying] for shape in shapes)
    shape = (*shapes[0][:lying], total, *shapes[0][lying + 1 :])
    layers = tuple(tensor.layer for tensor in tensors)
    return reader.added(Concat(node.name, layers, shape, axis=lying), tensors[0].layout)


def pad(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Pad with zeros, with edges or by reflection; numbers below zero cut."""
    source = tensor_at(node, values)
    rank = len(reader.shape(source)) + 1
    pixels = numbers_of(node, values, "pads", 1) or []
    filling = optional_constant(node, values, 2)
    filled = float(np.ravel(filling)[0]) if filling is not None and filling.size else 0.0
    filled = float(node.attributes.get("value", 0.0)) or filled
    mode = node.attributes["mode"]
    named = numbers_of(node, values, "axes", 3)
    places = list(range(rank)) if named is None else [axis % rank for axis in named]
    if len(pixels) != 2 * len(places):
        raise refused(node, f"has {len(pixels)} pads for {len(places)} axes; export it again")
    margins = {
        axis: (pixels[place], pixels[place + len(places)]) for place, axis in enumerate(places)
    }
    if any(margins.pop(0, (0, 0))):
        raise refused(node, "pads the batch; pad the axes of one image alone")
    if mode not in {"constant", "edge", "reflect", "wrap"} or (mode == "constant" and filled):
        raise refused(
            node, f"pads in mode {mode} with {filled:g}; supported are zeros, edge, reflect, wrap"
        )
    for axis, (before, after) in sorted(margins.items()):
        lying = reader.axis(source, axis - 1)
        size = reader.builder.shape(source.layer)[lying]
        kept = range(max(-before, 0), size - max(-after, 0))
        added = max(before, 0), max(after, 0)
        name = reader.builder.unused(f"{node.name}/cut")
        layer = taken(reader.builder, name, source.layer, lying, kept)
        if mode == "constant":
            layer = _with_zeros(reader, node, layer, lying, added)
        elif any(added):
            indices = np.pad(np.arange(len(kept)), added, mode=mode)
            name = reader.builder.unused(f"{node.name}/{mode}")
            layer = taken(reader.builder, name, layer, lying, indices)
        source = Tensor(layer, source.layout)
    return source


def expand(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Expand of axes of size 1 of one image."""
    source = tensor_at(node, values)
    given = (1, *reader.shape(source))
    wanted = [int(size) for size in np.ravel(constant_at(node, values))]
    wanted = [1] * (len(given) - len(wanted)) + wanted
    if len(wanted) != len(given) or wanted[0] not in {1, reader.batch}:
        raise refused(node, f"repeats the batch by {wanted}; work on the axes of one image alone")
    shape = np.broadcast_shapes(given[1:], tuple(wanted[1:]))
    return Tensor(broadcast(reader.builder, node, reader.plain(source).layer, shape))


def tile(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Tile along axes of one image."""
    source = tensor_at(node, values)
    times = [int(number) for number in np.ravel(constant_at(node, values))]
    if len(times) != len(reader.shape(source)) + 1 or times[0] != 1 or min(times) < 1:
        raise refused(node, f"repeats by {times}; work on the axes of one image alone")
    for axis, number in enumerate(times[1:]):
        indices = list(range(reader.shape(source)[axis])) * number
        source = chosen(reader, node, source, axis, indices)
    return source


def slice_operation(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Slice along axes of one image."""
    source = tensor_at(node, values)
    starts = numbers_of(node, values, "starts", 1) or []
    ends = numbers_of(node, values, "ends", 2) or []
    named = numbers_of(node, values, "axes", 3)
    steps = numbers_of(node, values, "steps", 4) or [1] * len(starts)
    places = list(range(len(starts))) if named is None else named
    rank = len(reader.shape(source)) + 1
    for start, end, place, step in zip(starts, ends, places, steps, strict=True):
        if place % rank == 0 and start == 0 and step == 1 and end >= (reader.batch or 1):
            continue  # the whole batch
        (axis,) = axes_of(reader, node, source, [place])
        size = reader.shape(source)[axis]
        source = chosen(reader, node, source, axis, range(size)[_slice(start, end, step, size)])
    return source


def gather(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Gather by constants along an axis of one image."""
    source, indices = tensor_at(node, values), constant_at(node, values)
    (axis,) = axes_of(reader, node, source, [int(node.attributes["axis"])])
    shape = reader.shape(source)
    flat = [int(index) % shape[axis] for index in np.ravel(indices)]
    if any(not -shape[axis] <= index < shape[axis] for index in np.ravel(indices)):
        raise refused(node, f"takes {np.ravel(indices).tolist()} of {shape[axis]} along an axis")
    result = chosen(reader, node, source, axis, flat)
    return _reshaped(reader, result, (*shape[:axis], *indices.shape, *shape[axis + 1 :]))


def split(reader: Reader, node: Node, values: Sequence[Value]) -> list[Tensor | None]:
    """Split along an axis of one image, in parts of the given sizes or in equal ones."""
    source = tensor_at(node, values)
    (axis,) = axes_of(reader, node, source, [int(node.attributes["axis"])])
    size, parts = reader.shape(source)[axis], len(node.outputs)
    sizes = numbers_of(node, values, "split", 1)
    if sizes is None:
        width = -(-size // parts)
        sizes = [min(width, size - width * part) for part in range(parts)]
    if sum(sizes) != size or len(sizes) != parts or min(sizes) < 1:
        raise refused(node, f"cuts {size} into {sizes}; export the model with a fixed image size")
    ends = np.cumsum(sizes).tolist()
    return [
        chosen(reader, node, source, axis, range(end - width, end))
        for width, end in zip(sizes, ends, strict=True)
    ]


def depth_to_space(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """DepthToSpace: blocks of channels as pixels."""
    source = reader.plain(tensor_at(node, values))
    shape, block = reader.shape(source), int(node.attributes["blocksize"])
    if len(shape) != 3 or block < 1 or shape[0] % block**2:
        raise refused(node, f"makes blocks of {block} of {shape} per image, which does not fit")
    depth, (height, width) = shape[0] // block**2, shape[1:]
    crd = node.attributes.get("mode", "DCR") == "CRD"
    cut = (depth, block, block, height, width) if crd else (block, block, depth, height, width)
    order = (0, 3, 1, 4, 2) if crd else (2, 3, 0, 4, 1)
    layer = reader.reshaped(source.layer, cut)
    name = reader.builder.unused(f"{node.name}/turned")
    turned = tuple(cut[axis] for axis in order)
    layer = reader.builder.add(Transpose(name, (layer,), turned, permutation=order))
    return Tensor(reader.reshaped(layer, (depth, height * block, width * block)))


def chosen(reader: Reader, node: Node, source: Tensor, axis: int, indices: Iterable[int]) -> Tensor:
    """The value at `indices` along an axis of one image; at least one."""
    wanted = list(indices)
    if not wanted:
        raise refused(
            node, f"leaves nothing of {reader.shape(source)} per image; correct the model's sizes"
        )
    name = reader.builder.unused(f"{node.name}/taken")
    layer = taken(reader.builder, name, source.layer, reader.axis(source, axis), wanted)
    return Tensor(layer, source.layout)


def _reshaped(reader: Reader, source: Tensor, shape: Shape) -> Tensor:
    """The value under another shape; in its layout where the shape is the same."""
    if reader.shape(source) == shape:
        return source
    return Tensor(reader.reshaped(reader.plain(source).layer, shape))


def _slice(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's slice as Python's: an end beyond the beginning of a downward one is none."""
    if step < 0 and end < -size:
        return slice(start, None, step)
    return slice(start, end, step)


def _with_zeros(reader: Reader, node: Node, layer: str, axis: int, margins: tuple[int, int]) -> str:
    """Zeros before and behind an axis of a layer."""
    if not any(margins):
        return layer
    shape = reader.builder.shape(layer)
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    padded = (*shape[:axis], shape[axis] + sum(margins), *shape[axis + 1 :])
    name = reader.builder.unused(f"{node.name}/padded")
    if len(shape) == 3 and axis < 2:
        padding = (margins, (0, 0)) if axis == 0 else ((0, 0), margins)
        return reader.builder.add(Pad(name, (layer,), padded, padding=padding))
    image = reader.reshaped(layer, (before, shape[axis], after))
    made = Pad(name, (image,), (before, padded[axis], after), padding=((0, 0), margins))
    return reader.reshaped(reader.builder.add(made), padded)
