"""Element-wise operations of two values, at least one of which depends on the query, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Add, BoundedRelu, Concat, MaxPool, Negative, Relu, Reshape, Square
from capc.graph.tensorflow.builder import Builder, Constant, Value
from capc.graph.tensorflow.operands import constant_at, tensor_at
from capc.graph.tensorflow.selections import together


def add(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Add, AddV2 and AddN."""
    total = values[0]
    for value in values[1:]:
        first, second = (value, total) if not isinstance(total, str) else (total, value)
        if not isinstance(first, str):
            raise ModelError(
                f"node '{node.name}' ({node.op}) does not depend on the query; "
                "name another --output_node"
            )
        if isinstance(second, str):
            total = _sum(builder, node, first, second)
        else:
            total = builder.shifted(builder.unused(node.name), first, second)
    return str(total)


def subtract(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Sub."""
    first, second = values
    if not isinstance(second, str):
        return builder.shifted(node.name, tensor_at(node, values), -second)
    negated = builder.negated(f"{node.name}/negated", second)
    if not isinstance(first, str):
        return builder.shifted(node.name, negated, first)
    return _sum(builder, node, first, negated)


def multiply(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Mul by a constant, of a value by itself, and of two: ((x + y)^2 - (x - y)^2) / 4."""
    first, second = values
    if not isinstance(first, str):
        return builder.scaled(node.name, tensor_at(node, values, 1), constant_at(node, values, 0))
    if not isinstance(second, str):
        return builder.scaled(node.name, first, second)
    if first == second:
        return square(builder, node, values)
    first, second = together(builder, node, first, second)
    squares = []
    for name, term in (("sum", second), ("difference", negative(builder, node, second))):
        both = _sum(builder, node, first, term, f"{node.name}/{name}")
        squared = builder.unused(f"{node.name}/{name}_squared")
        squares.append(builder.add(Square(squared, (both,), builder.shape(both))))
    minus = negative(builder, node, squares[1])
    four = _sum(builder, node, squares[0], minus, f"{node.name}/times_4")
    return builder.scaled(builder.unused(node.name), four, np.array(0.25))


def square(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Square, and x * x."""
    source = tensor_at(node, values)
    return builder.add(Square(name=node.name, inputs=(source,), shape=builder.shape(source)))


def maximum(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Maximum with a constant, by ReLU, or of two values, as a pool over both."""
    first, second = values
    if isinstance(first, str) and isinstance(second, str):
        return _larger(builder, node, first, second)
    source, bound = _with_bound(node, values)
    capped = builder.capped.get(source)
    if capped is not None and bound.size == 1 and builder.is_used_once(source):
        return _clipped(builder, node, capped[0], float(bound.reshape(-1)[0]), capped[1])
    if not np.any(bound) and isinstance(builder.layer(source), Relu | BoundedRelu):
        return source
    return _above(builder, node, source, bound)


def minimum(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Minimum with a constant, by ReLU, or of two values: -max(-x, -y)."""
    first, second = values
    if isinstance(first, str) and isinstance(second, str):
        first, second = together(builder, node, first, second)
        pair = [negative(builder, node, value) for value in (first, second)]
        return negative(builder, node, _larger(builder, node, *pair))
    source, bound = _with_bound(node, values)
    layer = builder.layer(source)
    cap = float(bound.reshape(-1)[0]) if bound.size == 1 else 0.0
    if isinstance(layer, Relu) and cap > 0:
        return builder.add(BoundedRelu(node.name, layer.inputs, layer.shape, cap=cap))
    below = _above(builder, node, negative(builder, node, source), -bound)
    result = negative(builder, node, below)
    if bound.size == 1:
        builder.capped[result] = (source, cap)
    return result


def absolute(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """Abs: max(x, -x)."""
    source = tensor_at(node, values)
    return _larger(builder, node, source, negative(builder, node, source))


def negative(builder: Builder, node: Any, source: str) -> str:
    """-x in a layer of its own: the source is used beside it, and stays what it is."""
    name = builder.unused(f"{node.name}/negative")
    return builder.add(Negative(name, (source,), builder.shape(source)))


def _with_bound(node: Any, values: Sequence[Value]) -> tuple[str, Constant]:
    place = 0 if isinstance(values[0], str) else 1
    return tensor_at(node, values, place), constant_at(node, values, 1 - place)


def _clipped(builder: Builder, node: Any, source: str, low: float, high: float) -> str:
    """max(low, min(x, high)): one bounded ReLU between two offsets."""
    if low >= high:
        raise ModelError(
            f"node '{node.name}' ({node.op}) clips to [{low:g}, {high:g}]; "
            "the lower end must be below the upper"
        )
    layer = builder.layer(source)
    if isinstance(layer, Relu) and low <= 0:
        return builder.add(BoundedRelu(node.name, layer.inputs, layer.shape, cap=high))
    return _offset(builder, node, source, np.array(low), high - low)


def _above(builder: Builder, node: Any, source: str, bound: Constant) -> str:
    """max(x, bound)."""
    return _offset(builder, node, source, bound, None)


def _offset(builder: Builder, node: Any, source: str, low: Constant, cap: float | None) -> str:
    """low + Relu(x - low), or its bounded form; a node that has other users keeps its own value."""
    shifted = source
    if np.any(low):
        shifted = builder.shifted(f"{node.name}/shifted", source, -low)
    name, shape = builder.unused(f"{node.name}/relu"), builder.shape(source)
    kind = Relu(name, (shifted,), shape)
    active = builder.add(kind if cap is None else BoundedRelu(name, (shifted,), shape, cap=cap))
    if not np.any(low):
        return active
    return builder.shifted(builder.unused(f"{node.name}/back"), active, low)


def _sum(builder: Builder, node: Any, first: str, second: str, name: str = "") -> str:
    first, second = together(builder, node, first, second)
    shape = builder.shape(first)
    return builder.add(Add(builder.unused(name or node.name), (first, second), shape))


def _larger(builder: Builder, node: Any, first: str, second: str) -> str:
    """The larger of two values: a pool over two rows."""
    first, second = together(builder, node, first, second)
    shape = builder.shape(first)
    size = int(np.prod(shape))
    rows = []
    for source in (first, second):
        name = builder.unused(f"{node.name}/row")
        rows.append(builder.add(Reshape(name, (source,), (1, size, 1))))
    both = builder.unused(f"{node.name}/rows")
    builder.add(Concat(both, tuple(rows), (2, size, 1), axis=0))
    pooled = builder.unused(f"{node.name}/larger")
    builder.add(MaxPool(pooled, (both,), (1, size, 1), window=(2, 1), strides=(1, 1)))
    return builder.add(Reshape(builder.unused(f"{node.name}/shape"), (pooled,), shape))
