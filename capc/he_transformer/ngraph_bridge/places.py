"""Operations that only move numbers, followed place by place, the batch axis too.

Where the batch lies in the slots, a tensor has size 1 along its first axis, which stands for the
batch. An operation may be run so only if it does the same to every image and leaves the batch
axis first; that is checked on the places themselves, for the true size of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.tensorflow.folding import FOLDS

Array = NDArray[Any]

_ZERO = -1  # the place of a zero; constants[k] has the place -2 - k


class BatchMovedError(ModelError):
    """An operation mixes images or moves the batch axis, and the batch lies in the slots."""


@dataclass(frozen=True, eq=False)
class Moved:
    """`order` of the result's shape: a place in the encrypted operands side by side, -1 for none.

    `constants` broadcasts to the shape with the batch and is added; None where all are zero.
    """

    order: Array
    constants: Float64 | None


def moved_places(node: Any, given: Sequence[Array | tuple[int, ...]], batch: int) -> Moved:
    """What a node of MOVES does to operands: arrays, or the shapes of encrypted ones.

    `batch` above 1 lies in the slots. BatchMovedError where it cannot; ModelError, naming the
    node, where TensorFlow's operation would fail too or is not followed here.
    """
    total = sum(_size(value) for value in given if isinstance(value, tuple))
    places: list[Array] = []
    table: list[Array] = []
    start = known = 0
    for index, value in enumerate(given):
        if isinstance(value, tuple):
            places.append(_rows(value, start, total, batch))
            start += _size(value)
        elif _is_data(node, index, len(given)):
            places.append(-2 - known - np.arange(value.size).reshape(value.shape))
            table.append(np.asarray(value, dtype=np.float64).ravel())
            known += value.size
        else:
            places.append(value)
    if node.op == "PadV2" and np.any(given[2]):
        table.append(np.asarray(given[2], dtype=np.float64).ravel())
        places[2] = np.array(-2 - known)
    try:
        codes = MOVES[node.op](node, places)
    except (ValueError, IndexError, TypeError) as error:
        raise ModelError(f"node '{node.name}' ({node.op}) cannot be followed: {error}") from None
    constants = _constants(codes, table)
    if batch == 1:
        return Moved(np.maximum(codes, _ZERO), constants)
    return Moved(_of_one_image(node, codes, total, batch), constants)


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _rows(shape: tuple[int, ...], start: int, total: int, batch: int) -> Array:
    own = start + np.arange(_size(shape)).reshape(shape)
    if batch == 1:
        return own
    rows = np.arange(batch).reshape(batch, *[1] * (len(shape) - 1))
    return np.asarray(rows * total + own)


def _is_data(node: Any, index: int, count: int) -> bool:
    """Whether an operand is moved, and not a shape, an axis or the like."""
    return node.op == "Pack" or (node.op == "ConcatV2" and index < count - 1) or index == 0


def _constants(codes: Array, table: Sequence[Array]) -> Float64 | None:
    if not table or not np.any(codes < _ZERO):
        return None
    known = np.concatenate(table)
    return np.where(codes < _ZERO, known[np.maximum(-2 - codes, 0)], 0.0)


def _of_one_image(node: Any, codes: Array, total: int, batch: int) -> Array:
    """The order for every image, if it is one; BatchMovedError if not."""
    if codes.ndim >= 1 and codes.shape[0] == batch:
        secret = codes >= 0
        rows = np.arange(batch).reshape(batch, *[1] * (codes.ndim - 1))
        order = np.where(secret, codes - rows * total, _ZERO)
        inside = bool(np.all(order < total)) and bool(np.all(order >= _ZERO))
        if inside and np.array_equal(secret, order >= 0) and np.all(order == order[:1]):
            return order[:1]
    raise BatchMovedError(
        f"node '{node.name}' ({node.op}) moves or mixes the images of a batch that is packed"
    )


def _sliced(node: Any, given: Sequence[Array]) -> Array:
    places, begins, sizes = given
    return places[
        tuple(
            slice(begin, None if size < 0 else begin + size)
            for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)
        )
    ]


def _padded(node: Any, given: Sequence[Array]) -> Array:
    filling = int(given[2]) if len(given) > 2 and given[2] < _ZERO else _ZERO
    return np.pad(given[0], given[1].tolist(), constant_values=filling)


def _gathered(node: Any, given: Sequence[Array]) -> Array:
    if node.attr["batch_dims"].i:
        raise ValueError("batch_dims is not supported")
    return FOLDS["GatherV2"](node, given)


def _reversed(node: Any, given: Sequence[Array]) -> Array:
    return np.flip(given[0], tuple(np.ravel(given[1]).tolist()))


MOVES: dict[str, Callable[[Any, Sequence[Array]], Array]] = {
    **{
        name: FOLDS[name]
        for name in (
            "Reshape",
            "Squeeze",
            "ExpandDims",
            "Transpose",
            "ConcatV2",
            "Pack",
            "StridedSlice",
        )
    },
    "GatherV2": _gathered,
    "Slice": _sliced,
    "Pad": _padded,
    "PadV2": _padded,
    "ReverseV2": _reversed,
    "Tile": lambda node, given: np.tile(given[0], given[1].tolist()),
    "BroadcastTo": lambda node, given: np.broadcast_to(given[0], given[1].tolist()),
}
