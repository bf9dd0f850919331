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
_OF_ONE_VALUE = {
    *("Abs", "Cast", "Elu", "LeakyRelu", "Neg", "Relu", "Relu6", "Selu", "Sigmoid", "Sign"),
    *("Softplus", "Square", "Tanh"),
}
MOVES_THE_BATCH = {"ExpandDims", "Reshape"}  # away and back, in a graph that takes one image


def lacks_batch(builder: Builder, node: Any, values: Sequence[Value]) -> bool:
    """Whether a node takes an image whose batch axis, of size 1, is gone.

    Raises ModelError where the node's axes would then be counted otherwise.
    """
    tensors = [value for value in values if isinstance(value, str)]
    bare = [value in builder.bare for value in tensors]
    if not any(bare):
        return False
    if all(bare) and node.op in {*_ELEMENTWISE, *_OF_ONE_VALUE, *MOVES_THE_BATCH}:
        return True
    raise ModelError(
        f"node '{node.name}' ({node.op}) takes an image without its batch axis, where only "
        "element-wise functions and reshapes are supported; keep the axis: squeeze the axes after "
        "it by their numbers"
    )


def per_image(builder: Builder, node: Any, values: Sequence[Value], batch: int) -> list[Value]:
    """The values of a node whose graph takes `batch` images, as if their number were open.

    Raises ModelError where a constant is another for each of the images.
    """
    result = list(values)
    source = next((value for value in values if isinstance(value, str)), None)
    if source is None:
        return result
    if node.op in {*_ELEMENTWISE, "ConcatV2", "Pack"}:
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
    """A shape for the whole batch as one per image: as a multiple of BATCH in front."""
    if not wanted.size or wanted[0] < 1 or wanted[0] % batch:
        return wanted
    rest = wanted[1:]
    rows = int(wanted[0]) // batch
    is_matrix = wanted.size == 2 or batch > 1  # of one image, other shapes lose the batch axis
    if rows > 1 and (rows * int(np.prod(rest)) != total or not is_matrix):
        return wanted
    return np.array([rows * BATCH, *rest])


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
