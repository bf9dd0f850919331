"""Shapes that hold the open batch size, folded in NumPy; other constants are TensorFlow's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Constant = NDArray[Any]
Fold = Callable[[Any, Sequence[Constant]], Constant]

# The batch axis in a folded shape: a number that no graph holds, so that -1 in a slice stays "all
# but the last". Multiples of it are batches of several rows an image.
BATCH = -1_000_003

_BEGIN, _END, _ELLIPSIS, _NEW, _SHRINK = range(5)


def _axis_of(node: Any, name: str = "axis") -> int:
    return int(node.attr[name].i)


def _concat(node: Any, inputs: Sequence[Constant]) -> Constant:
    return np.concatenate(inputs[:-1], axis=int(inputs[-1]))


def _squeeze(node: Any, inputs: Sequence[Constant]) -> Constant:
    axes = tuple(int(axis) for axis in node.attr["squeeze_dims"].list.i)
    return np.squeeze(inputs[0], axis=axes or None)


def _reduced(operation: Callable[..., Any]) -> Fold:
    def fold(node: Any, inputs: Sequence[Constant]) -> Constant:
        axes = tuple(int(axis) for axis in np.ravel(inputs[1]))
        return np.asarray(operation(inputs[0], axis=axes, keepdims=node.attr["keep_dims"].b))

    return fold


def _sizes(wanted: Constant) -> list[int]:
    """A shape whose batch axis is open, as that of a constant which all images share."""
    return [1 if size == BATCH else int(size) for size in wanted.tolist()]


def _broadcast(node: Any, inputs: Sequence[Constant]) -> Constant:
    return np.broadcast_to(inputs[0], _sizes(inputs[1]))


def slice_index(node: Any, begins: Constant, ends: Constant, strides: Constant) -> list[Any]:
    """StridedSlice as NumPy's basic index: begin:end:stride, with TensorFlow's five bit masks."""
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    masks = [int(node.attr[name].i) for name in names]
    index: list[Any] = []
    for place, (begin, end, stride) in enumerate(
        zip(begins.tolist(), ends.tolist(), strides.tolist(), strict=True)
    ):
        chosen = [bool(mask >> place & 1) for mask in masks]
        if chosen[_ELLIPSIS]:
            index.append(Ellipsis)
        elif chosen[_NEW]:
            index.append(np.newaxis)
        elif chosen[_SHRINK]:
            index.append(begin)
        else:
            start = None if chosen[_BEGIN] else begin
            stop = None if chosen[_END] else end
            index.append(slice(start, stop, stride))
    return index


def _strided_slice(node: Any, inputs: Sequence[Constant]) -> Constant:
    values, *places = inputs
    return np.asarray(values[tuple(slice_index(node, *places))])


def _elementwise(operation: Callable[..., Any]) -> Fold:
    return lambda node, inputs: np.asarray(operation(*inputs))


def _divide(x: Constant, y: Constant) -> Constant:
    return np.asarray(x / y if x.dtype.kind == "f" else x // y)


FOLDS: dict[str, Fold] = {
    "Add": _elementwise(np.add),
    "AddV2": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "RealDiv": _elementwise(_divide),
    "Neg": _elementwise(np.negative),
    "Sqrt": _elementwise(np.sqrt),
    "Rsqrt": _elementwise(lambda x: 1 / np.sqrt(x)),
    "Square": _elementwise(np.square),
    "Maximum": _elementwise(np.maximum),
    "Minimum": _elementwise(np.minimum),
    "Cast": lambda node, inputs: inputs[0],
    "Pack": lambda node, inputs: np.stack(inputs, axis=_axis_of(node)),
    "ConcatV2": _concat,
    "Reshape": lambda node, inputs: inputs[0].reshape(inputs[1].tolist()),
    "Squeeze": _squeeze,
    "ExpandDims": lambda node, inputs: np.expand_dims(inputs[0], int(inputs[1])),
    "Transpose": lambda node, inputs: inputs[0].transpose(inputs[1].tolist()),
    "GatherV2": lambda node, inputs: np.take(inputs[0], inputs[1], axis=int(inputs[2])),
    "Fill": lambda node, inputs: np.full(_sizes(inputs[0]), inputs[1]),
    "Tile": lambda node, inputs: np.tile(inputs[0], _sizes(inputs[1])),
    "BroadcastTo": _broadcast,
    "Range": lambda node, inputs: np.arange(*(value.item() for value in inputs)),
    "Prod": _reduced(np.prod),
    "Sum": _reduced(np.sum),
    "Mean": _reduced(np.mean),
    "Shape": lambda node, inputs: np.array(inputs[0].shape),
    "StridedSlice": _strided_slice,
}
