"""What each arithmetic node does to values, one of which at least is encrypted.

A value is an array, known here, or a tensor with the methods of capc.ckks.tensor.CipherTensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.layers import Input, MaxPool, Network, Relu
from capc.he_transformer.ngraph_bridge.places import BatchMovedError

Array = NDArray[Any]
Value = Any


class Evaluation(Protocol):
    """What the rules need of capc.he_transformer.ngraph_bridge.arithmetic.ArithmeticGraph."""

    batch: int
    engine: Any

    def shape(self, value: Value) -> tuple[int, ...]:
        """The graph's shape of a value, with the batch."""

    def encrypted(self, node: Any, value: Value) -> Any:
        """The encrypted operand of a node."""

    def refuse_batch(self, node: Any) -> BatchMovedError:
        """To raise where a node mixes images that lie in the slots."""

    def matched(self, node: Any, tensor: Any, value: Array) -> tuple[Any, Array, bool]:
        """Both broadcast to one shape; whether the array differs from image to image."""

    def together(self, node: Any, first: Any, second: Any) -> tuple[Any, Any]:
        """Two encrypted values broadcast to one shape."""


def is_known(value: Value) -> bool:
    """Whether a value is an array."""
    return isinstance(value, np.ndarray | np.generic)


def numbered(shape: Sequence[int]) -> Array:
    """Every place's number, in row-major order."""
    return np.arange(math.prod(shape)).reshape(tuple(shape))


def plus(graph: Evaluation, node: Any, first: Value, second: Value) -> Any:
    """first + second, of which one at least is encrypted."""
    if is_known(first):
        first, second = second, first
    tensor = graph.encrypted(node, first)
    if not is_known(second):
        one, other = graph.together(node, tensor, second)
        return one.plus(other)
    tensor, values, differs = graph.matched(node, tensor, second)
    return graph.engine.plus_rows(node, tensor, values) if differs else tensor.plus_constant(values)


def times(graph: Evaluation, node: Any, first: Value, second: Value) -> Any:
    """first * second, of which one at least is encrypted."""
    if is_known(first):
        first, second = second, first
    tensor = graph.encrypted(node, first)
    if tensor is second:
        return tensor.squared()
    if not is_known(second):
        one, other = graph.together(node, tensor, second)
        return one.times(other)
    tensor, factors, differs = graph.matched(node, tensor, second)
    if differs:
        return graph.engine.times_rows(node, tensor, factors)
    if factors.size == 1 and abs(float(factors.ravel()[0])) == 1.0:
        return tensor if factors.ravel()[0] > 0 else tensor.negated()
    return tensor.times_constant(factors)


def _minus(value: Value) -> Value:
    return -np.asarray(value) if is_known(value) else value.negated()


def _bias_add(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    if node.attr["data_format"].s.startswith(b"NC") and len(graph.shape(given[0])) > 2:
        raise ModelError(f"node '{node.name}' ({node.op}) has channels first; put them last")
    return plus(graph, node, given[0], given[1])


def _add_all(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    total = given[0]
    for value in given[1:]:
        known = is_known(total) and is_known(value)
        total = total + value if known else plus(graph, node, total, value)
    return graph.encrypted(node, total)


def _divide(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    divisor = given[1]
    if not is_known(divisor):
        inverse = graph.engine.apply(node, divisor, lambda x: 1.0 / x)
        return times(graph, node, given[0], inverse)
    if not np.all(divisor):
        raise ModelError(f"node '{node.name}' ({node.op}) divides by zero")
    return times(graph, node, given[0], 1.0 / np.asarray(divisor, dtype=np.float64))


def _power(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    exponent = given[1]
    if not is_known(exponent) or not exponent.size or np.any(exponent != exponent.ravel()[0]):
        raise ModelError(f"node '{node.name}' (Pow): the exponent must be one known number")
    base, result = graph.encrypted(node, given[0]), None
    if exponent.ndim > len(graph.shape(base)) or exponent.size > 1:
        base, _, _ = graph.matched(node, base, exponent)
    count = float(np.ravel(exponent)[0])
    if count != int(count) or not 1 <= count <= 64:
        raise ModelError(f"node '{node.name}' (Pow): the exponent {count} is no whole number >= 1")
    for bit in bin(int(count))[:1:-1]:
        if bit == "1":
            result = base if result is None else result.times(base)
        count = count // 2
        base = base.squared() if count >= 1 else base
    return base if result is None else result


def _matmul(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    flags = (("transpose_a", "adj_x"), ("transpose_b", "adj_y"))
    operands = []
    for value, names in zip(given, flags, strict=True):
        if len(value.shape) != 2:
            shape = graph.shape(value)
            raise ModelError(f"node '{node.name}' ({node.op}) takes matrices; got {shape}")
        turned = any(node.attr[name].b for name in names)
        if turned and graph.batch > 1 and not is_known(value):
            raise graph.refuse_batch(node)
        operands.append(_transposed(value) if turned else value)
    first, second = operands
    if graph.batch > 1 and not is_known(second):
        raise graph.refuse_batch(node)
    if first.shape[1] != second.shape[0]:
        raise ModelError(
            f"node '{node.name}' ({node.op}): {first.shape} times {second.shape} does not fit"
        )
    if not is_known(first) and not is_known(second):
        return _encrypted_product(first, second)
    if not is_known(first):
        return first.linear(lambda x, w: x @ w, np.asarray(second, dtype=np.float64))
    return second.linear(lambda x, w: w @ x, np.asarray(first, dtype=np.float64))


def _encrypted_product(first: Any, second: Any) -> Any:
    rows, inner = first.shape
    columns = second.shape[1]
    shape = (rows, inner, columns)
    left = first.picked([], np.broadcast_to(numbered(first.shape)[..., None], shape))
    right = second.picked([], np.broadcast_to(numbered(second.shape)[None], shape))
    return left.times(right).summed(lambda x, w: x.sum(axis=2) * w, np.ones(1))


def _transposed(value: Value) -> Value:
    return value.T if is_known(value) else value.picked([], numbered(value.shape).T)


def _axes(graph: Evaluation, node: Any, given: Sequence[Value]) -> tuple[int, ...]:
    """The axes of a reduction, sorted; not the batch where it is packed."""
    rank = len(graph.shape(given[0]))
    axes = tuple(sorted({int(axis) % rank for axis in np.ravel(given[1])})) if rank else ()
    if graph.batch > 1 and 0 in axes:
        raise graph.refuse_batch(node)
    return axes


def _reduce(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    """Sum and Mean."""
    tensor, axes = graph.encrypted(node, given[0]), _axes(graph, node, given)
    places = tuple(axis + 1 for axis in axes)
    keep = bool(node.attr["keep_dims"].b)

    def apply(values: Array, weights: Array) -> Array:
        return np.asarray(values.sum(axis=places, keepdims=keep) * weights)

    if node.op == "Sum":
        return tensor.summed(apply, np.ones(1))
    count = math.prod(tensor.shape[axis] for axis in axes)
    return tensor.linear(apply, np.full(1, 1.0 / count))


def _extreme(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    """Max and Min over axes: one window over rows."""
    tensor, axes = graph.encrypted(node, given[0]), _axes(graph, node, given)
    shape = tuple(tensor.shape)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    rows = math.prod(shape[axis] for axis in axes)
    order = numbered(shape).transpose((*axes, *kept)).reshape(rows, -1)
    width = order.shape[1]
    window = MaxPool(node.name, ("x",), (1, width, 1), window=(rows, 1), strides=(1, 1))
    network = Network((Input("x", (), (rows, width, 1)), window))
    turned = tensor.picked([], order[..., None])
    turned = turned.negated() if node.op == "Min" else turned
    result = graph.engine.through(node, turned, network)
    result = result.negated() if node.op == "Min" else result
    keep = bool(node.attr["keep_dims"].b)
    left = [1 if axis in axes else n for axis, n in enumerate(shape) if keep or axis not in axes]
    return result.picked([], numbered(left))


def _limit(graph: Evaluation, node: Any, given: Sequence[Value]) -> Any:
    """Maximum: y + Relu(x - y). Minimum: -Maximum(-x, -y)."""
    first, second = given
    if node.op == "Minimum":
        first, second = _minus(first), _minus(second)
    if is_known(first):
        first, second = second, first
    difference = plus(graph, node, first, _minus(second))
    network = Network(
        (Input("x", (), (difference.size,)), Relu("relu", ("x",), (difference.size,)))
    )
    above = graph.engine.through(node, difference.picked([], np.arange(difference.size)), network)
    result = plus(graph, node, above.picked([], numbered(difference.shape)), second)
    return result.negated() if node.op == "Minimum" else result


ARITHMETIC: dict[str, Callable[[Evaluation, Any, Sequence[Value]], Any]] = {
    "Add": lambda graph, node, given: plus(graph, node, given[0], given[1]),
    "AddV2": lambda graph, node, given: plus(graph, node, given[0], given[1]),
    "BiasAdd": _bias_add,
    "AddN": _add_all,
    "Sub": lambda graph, node, given: plus(graph, node, given[0], _minus(given[1])),
    "Mul": lambda graph, node, given: times(graph, node, given[0], given[1]),
    "Neg": lambda graph, node, given: graph.encrypted(node, given[0]).negated(),
    "Square": lambda graph, node, given: graph.encrypted(node, given[0]).squared(),
    "Pow": _power,
    "RealDiv": _divide,
    "MatMul": _matmul,
    "Sum": _reduce,
    "Mean": _reduce,
    "Max": _extreme,
    "Min": _extreme,
    "Maximum": _limit,
    "Minimum": _limit,
}
NON_POLYNOMIAL = {"Max", "Min", "Maximum", "Minimum"}


def _softmax(x: Array) -> Array:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "Exp": np.exp,
    "Log": np.log,
    "LogSoftmax": lambda x: np.log(_softmax(x)),
    "Reciprocal": lambda x: 1.0 / x,
    "Rsqrt": lambda x: 1.0 / np.sqrt(x),
    "Softmax": _softmax,
    "Sqrt": np.sqrt,
}
"""What runs only where this process holds the key, and at the end of a client's graph."""
