"""Mean, sum, maximum and minimum over any axes of one image, as pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import AvgPool, MaxPool, Reshape, Transpose
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.movements import without_batch
from capc.graph.tensorflow.operands import constant_at, tensor_at
from capc.graph.tensorflow.pairs import negative


def reduced(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Mean, Sum, Max and Min over the axes of a constant, the batch axis counted.

    In a graph that takes one image, that axis has one element: it stays or goes with it.
    """
    source, keep = tensor_at(node, values), bool(node.attr["keep_dims"].b)
    rank = len(builder.shape(source)) + 1
    axes = [int(axis) % rank - 1 for axis in np.ravel(constant_at(node, values))]
    if -1 not in axes or builder.batch != 1:
        return over_axes(builder, node, source, axes, keep=keep)
    result = over_axes(builder, node, source, [axis for axis in axes if axis != -1], keep=keep)
    return result if keep else without_batch(builder, node.name, result)


def over_axes(builder: Builder, node: Any, source: str, of: Sequence[int], *, keep: bool) -> str:
    """`node.op` over axes of one image: they become the height that one window covers."""
    given = builder.shape(source)
    named = set(of)
    axes = sorted(named)
    kept = [axis for axis in range(len(given)) if axis not in named]
    shape = tuple(given[axis] for axis in kept)
    if keep:
        shape = tuple(1 if axis in named else size for axis, size in enumerate(given))
    if -1 in named or not shape:
        reason = (
            "it mixes the images of a batch, and a query is one image; reduce the axes after it"
            if -1 in named
            else "it must keep an axis of an image; reduce fewer axes, or with keepdims=True"
        )
        raise ModelError(
            f"node '{node.name}' ({node.op}) is over axes {[axis + 1 for axis in axes]} of "
            f"{('batch', *given)}: {reason}"
        )
    if not axes:
        return source
    operation = node.op.removeprefix("Reduce")
    if operation == "Min":
        source = negative(builder, node, source)
    pooled = _pooled(builder, node, source, axes, kept)
    if operation == "Min":
        pooled = negative(builder, node, pooled)
    result = builder.add(Reshape(builder.unused(node.name), (pooled,), shape))
    if operation != "Sum":
        return result
    count = math.prod(given[axis] for axis in axes)
    return builder.scaled(builder.unused(f"{node.name}/count"), result, np.array(float(count)))


def _pooled(builder: Builder, node: Any, source: str, axes: list[int], kept: list[int]) -> str:
    given = builder.shape(source)
    window = given[0], given[1] if len(given) > 1 else 1
    if (axes, kept) != ([0, 1], [2]):
        order = (*axes, *kept)
        if order != tuple(range(len(given))):
            shape = tuple(given[axis] for axis in order)
            name = builder.unused(f"{node.name}/order")
            source = builder.add(Transpose(name, (source,), shape, permutation=order))
        window = (math.prod(given[axis] for axis in axes), 1)
        rest = math.prod(given[axis] for axis in kept)
        name = builder.unused(f"{node.name}/rows")
        source = builder.add(Reshape(name, (source,), (*window, rest)))
    kind = AvgPool if node.op.removeprefix("Reduce") in {"Mean", "Sum"} else MaxPool
    shape = (1, 1, builder.shape(source)[2])
    name = builder.unused(f"{node.name}/pool")
    return builder.add(kind(name, (source,), shape, window=window, strides=(1, 1)))
