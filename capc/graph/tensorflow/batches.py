"""The size of the batch as a number in the graph: read as the batch axis, whatever it is.

A placeholder's first axis may be a constant N; shapes and constants are then built from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.tensorflow.builder import Builder, Constant, Value
from capc.graph.tensorflow.folding import BATCH

_ELEMENTWISE = {
    *("Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "Pow"),
    *("Greater", "GreaterEqual", "Less", "LessEqual"),
}


def per_image(builder: Builder, node: Any, values: Sequence[Value], batch: int) -> list[Value]:
    """The values of a node whose graph takes `batch` images, as if their number were open.

    Raises ModelError where a constant is another for each of the images.
    """
    result = list(values)
    source = next((value for value in values if isinstance(value, str)), None)
    if source is None:
        return result
    if node.op in _ELEMENTWISE:
        return [_of_one_image(builder, node, value, source, batch) for value in values]
    if node.op in {"Reshape", "BroadcastTo"} and not isinstance(values[1], str):
        result[1] = _shape(np.ravel(values[1]), int(np.prod(builder.shape(source))), batch)
    elif node.op == "Slice" and not any(isinstance(value, str) for value in values[1:]):
        start, size = (np.array(value) for value in values[1:3])
        if size.size and start[0] == 0 and size[0] == batch:
            size[0] = BATCH
            result[2] = size
    elif node.op == "StridedSlice" and not any(isinstance(value, str) for value in values[1:]):
        ends = np.array(values[2])
        masks = [node.attr[f"{kind}_mask"].i for kind in ("ellipsis", "new_axis", "shrink_axis")]
        if ends.size and ends[0] >= batch and not any(mask & 1 for mask in masks):
            ends[0] = BATCH
            result[2] = ends
    return result


def _shape(wanted: Constant, total: int, batch: int) -> Constant:
    """A shape for the whole batch as one per image: BATCH in front, or -k for k rows an image."""
    if not wanted.size or wanted[0] < 1 or wanted[0] % batch:
        return wanted
    rest = wanted[1:]
    rows = int(wanted[0]) // batch
    if rows > 1 and rows * int(np.prod(rest)) != total:
        return wanted
    return np.array([-rows, *rest])


def _of_one_image(builder: Builder, node: Any, value: Value, source: str, batch: int) -> Value:
    if isinstance(value, str) or batch == 1:
        return value
    if value.ndim != len(builder.shape(source)) + 1 or value.shape[0] != batch:
        return value
    if not np.array_equal(value, np.broadcast_to(value[:1], value.shape)):
        raise ModelError(
            f"node '{node.name}' ({node.op}) has another constant for each of the {batch} images "
            "of a batch; use one constant for all, and export the model again"
        )
    return value[:1]
