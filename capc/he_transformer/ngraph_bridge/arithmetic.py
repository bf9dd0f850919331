"""Arithmetic graphs over several encrypted tensors, node by node, on CKKS ciphertexts.

A value is an array, known here, or a CipherTensor with all axes of the graph's tensor; where the
batch lies in the slots, its axis has size 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.ckks.slots import plus_slots, times_slots
from capc.ckks.tensor import CipherTensor
from capc.errors import ConfigError, ModelError
from capc.graph.tensorflow.folding import FOLDS
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.operations import PASSED_THROUGH
from capc.graph.tensorflow.sources import data_inputs
from capc.he_transformer.ngraph_bridge.subgraph import Subgraph

Array = NDArray[Any]
Value = Array | CipherTensor
Local = Callable[[CipherTensor, Callable[[Array], Array]], CipherTensor]
Watch = Callable[[str, CipherTensor], None]


class ArithmeticGraph:
    """A subgraph as a program of its secrets; `batch` is how many images lie in the slots.

    `local` computes what is no polynomial, where this process holds the secret key; without it
    such nodes are a ModelError that lists what is supported.
    """

    def __init__(
        self, graph: Subgraph, batch: int, *, local: Local | None = None, watch: Watch | None = None
    ) -> None:
        self._graph = graph
        self._batch = batch
        self._local = local
        self.watch = watch
        self._order = _sorted(graph)

    def __call__(self, inputs: Mapping[str, CipherTensor]) -> CipherTensor:
        """The output for inputs by node name; ConfigError names the node that lacks a level."""
        values: dict[str, Value] = dict(inputs)
        for name in self._order:
            node = self._graph.nodes[name]
            given = [values[source] for source in data_inputs(node)]
            try:
                values[name] = self._value(node, given)
            except ConfigError as error:
                raise ConfigError(f"node '{name}' ({node.op}): {error}") from None
            result = values[name]
            if self.watch is not None and isinstance(result, CipherTensor):
                self.watch(node.op, result)
        output = values[self._graph.output]
        if not isinstance(output, CipherTensor):
            raise ModelError(f"node '{self._graph.output}' does not depend on encrypted data")
        return output

    def _value(self, node: Any, given: Sequence[Value]) -> Value:
        if node.op in PASSED_THROUGH and given:
            return given[0]
        constant = _constant(node, given)
        if constant is not None:
            return constant
        if node.op in MOVES:
            return self._moved(node, given)
        if node.op in ARITHMETIC:
            return ARITHMETIC[node.op](self, node, given)
        if node.op in NON_POLYNOMIAL and self._local is not None:
            tensor = self.cipher(node, given[0])
            return self._local(tensor, NON_POLYNOMIAL[node.op](node, given[1:]))
        supported = ", ".join(sorted({*MOVES, *ARITHMETIC, *PASSED_THROUGH, "Const"}))
        why = "is no polynomial" if node.op in NON_POLYNOMIAL else "is not supported"
        raise ModelError(
            f"node '{node.name}' is of type {node.op}, which {why} on encrypted data; supported "
            f"are {supported}"
        )

    def cipher(self, node: Any, value: Value) -> CipherTensor:
        """The encrypted operand of a node."""
        if not isinstance(value, CipherTensor):
            raise ModelError(f"node '{node.name}' ({node.op}) must take encrypted data there")
        return value

    def plus(self, node: Any, first: Value, second: Value) -> CipherTensor:
        """first + second, of which one at least is encrypted."""
        if not isinstance(first, CipherTensor):
            first, second = second, first
        tensor = self.cipher(node, first)
        if isinstance(second, CipherTensor):
            shape = np.broadcast_shapes(tensor.shape, second.shape)
            return _spread(tensor, shape).plus(_spread(second, shape))
        if self._differs_by_slot(tensor, second):
            return plus_slots(_spread_to(tensor, second), self._by_slot(second))
        tensor = _spread_to(tensor, second)
        return tensor.plus_constant(np.asarray(second, dtype=np.float64))

    def times(self, node: Any, first: Value, second: Value) -> CipherTensor:
        """first * second, of which one at least is encrypted."""
        if not isinstance(first, CipherTensor):
            first, second = second, first
        tensor = self.cipher(node, first)
        if tensor is second:
            return tensor.squared()
        if isinstance(second, CipherTensor):
            shape = np.broadcast_shapes(tensor.shape, second.shape)
            return _spread(tensor, shape).times(_spread(second, shape))
        if self._differs_by_slot(tensor, second):
            return times_slots(_spread_to(tensor, second), self._by_slot(second))
        factors = np.asarray(second, dtype=np.float64)
        if factors.size == 1 and abs(float(factors.ravel()[0])) == 1.0:
            tensor = _spread_to(tensor, second)
            return tensor if factors.ravel()[0] > 0 else tensor.negated()
        return _spread_to(tensor, second).times_constant(factors)

    def _differs_by_slot(self, tensor: CipherTensor, value: Array) -> bool:
        return self._batch > 1 and value.ndim == len(tensor.shape) and value.shape[0] == self._batch

    def _by_slot(self, value: Array) -> Array:
        """(batch, ...) as (batch, 1, ...): the batch axis of the tensor has size 1."""
        return np.asarray(value, dtype=np.float64)[:, None]

    def _moved(self, node: Any, given: Sequence[Value]) -> CipherTensor:
        """Every operation that only moves numbers, done once on their places."""
        tensors = [value for value in given if isinstance(value, CipherTensor)]
        if node.op in {"ConcatV2", "Pack"} and len(tensors) < len(given) - (node.op == "ConcatV2"):
            raise ModelError(f"node '{node.name}' ({node.op}) joins plain and encrypted data")
        places, start = [], 0
        for value in given:
            if isinstance(value, CipherTensor):
                places.append(np.arange(start, start + value.size).reshape(value.shape))
                start += value.size
            else:
                places.append(self._without_batch(node, value))
        try:
            order = MOVES[node.op](node, places)
        except (ValueError, IndexError, TypeError) as error:
            raise ModelError(
                f"node '{node.name}' ({node.op}) cannot be followed: {error}"
            ) from None

        def move(*arrays: Array) -> Array:
            flat = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
            picked = flat[:, np.maximum(order.ravel(), 0)]
            return np.asarray(picked * (order.ravel() >= 0).astype(picked.dtype)).reshape(
                len(flat), *order.shape
            )

        return CipherTensor.joined(move, tensors)

    def _without_batch(self, node: Any, value: Array) -> Array:
        """A shape that names the batch, where the batch lies in the slots."""
        if node.op == "Reshape" and self._batch > 1 and value.size and value[0] == self._batch:
            return np.concatenate([[1], value[1:]])
        return value


def _constant(node: Any, given: Sequence[Value]) -> Array | None:
    """The value of a node that does not depend on encrypted data, else None."""
    if node.op == "Const":
        return np.asarray(load_tensorflow().make_ndarray(node.attr["value"].tensor))
    if node.op == "Shape" and isinstance(given[0], CipherTensor):
        return np.array(given[0].shape)
    arrays = [value for value in given if not isinstance(value, CipherTensor)]
    return FOLDS[node.op](node, arrays) if len(arrays) == len(given) and node.op in FOLDS else None


def _sorted(graph: Subgraph) -> list[str]:
    order: list[str] = []
    done = set(graph.secrets)
    stack = [graph.output]
    open_nodes: set[str] = set()
    while stack:
        name = stack[-1]
        waiting = (
            [] if name in done else [s for s in data_inputs(graph.nodes[name]) if s not in done]
        )
        if name in done or not waiting:
            stack.pop()
            if name not in done:
                done.add(name)
                order.append(name)
            continue
        if name in open_nodes:
            raise ModelError(f"node '{name}' depends on itself: loops do not run here")
        open_nodes.add(name)
        stack.extend(waiting)
    return order


def _spread(tensor: CipherTensor, shape: tuple[int, ...]) -> CipherTensor:
    """Broadcast; every copy is a ciphertext of its own."""
    if tensor.shape == shape:
        return tensor
    padded = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    return tensor.moved(
        lambda array: np.broadcast_to(array.reshape(len(array), *padded), (len(array), *shape))
    )


def _spread_to(tensor: CipherTensor, value: Array) -> CipherTensor:
    shape = np.shape(value)
    if len(shape) == len(tensor.shape) and tensor.shape[:1] == (1,):
        shape = (1, *shape[1:]) if shape else shape
    return _spread(tensor, np.broadcast_shapes(tensor.shape, shape))


def _subtract(graph: ArithmeticGraph, node: Any, given: Sequence[Value]) -> CipherTensor:
    first, second = given
    minus = second.negated() if isinstance(second, CipherTensor) else -np.asarray(second)
    return graph.plus(node, first, minus)


def _add_all(graph: ArithmeticGraph, node: Any, given: Sequence[Value]) -> CipherTensor:
    total = given[0]
    for value in given[1:]:
        total = graph.plus(node, total, value)
    return graph.cipher(node, total)


def _divide(graph: ArithmeticGraph, node: Any, given: Sequence[Value]) -> CipherTensor:
    tensor, divisor = graph.cipher(node, given[0]), given[1]
    if isinstance(divisor, CipherTensor) or not np.all(divisor):
        raise ModelError(f"node '{node.name}' ({node.op}) divides by encrypted data or by zero")
    return graph.times(node, tensor, 1.0 / np.asarray(divisor, dtype=np.float64))


def _power(graph: ArithmeticGraph, node: Any, given: Sequence[Value]) -> CipherTensor:
    exponent = given[1]
    if isinstance(exponent, CipherTensor) or np.size(exponent) != 1:
        raise ModelError(f"node '{node.name}' (Pow): the exponent must be one known number")
    count = float(np.ravel(exponent)[0])
    if count != int(count) or not 1 <= count <= 64:
        raise ModelError(f"node '{node.name}' (Pow): the exponent {count} is no whole number >= 1")
    base, result = graph.cipher(node, given[0]), None
    for bit in bin(int(count))[:1:-1]:
        if bit == "1":
            result = base if result is None else result.times(base)
        count = count // 2
        base = base.squared() if count >= 1 else base
    return graph.cipher(node, base if result is None else result)


def _matmul(graph: ArithmeticGraph, node: Any, given: Sequence[Value]) -> CipherTensor:
    flags = (("transpose_a", "adj_x"), ("transpose_b", "adj_y"))
    operands = []
    for value, names in zip(given, flags, strict=True):
        if len(value.shape) != 2:
            raise ModelError(f"node '{node.name}' ({node.op}) takes matrices; got {value.shape}")
        turned = any(node.attr[name].b for name in names)
        operands.append(_transposed(value) if turned else value)
    first, second = operands
    if first.shape[1] != second.shape[0]:
        raise ModelError(
            f"node '{node.name}' ({node.op}): {first.shape} times {second.shape} does not fit"
        )
    if isinstance(first, CipherTensor) and isinstance(second, CipherTensor):
        return _encrypted_product(first, second)
    if isinstance(first, CipherTensor):
        return first.linear(lambda x, w: x @ w, np.asarray(second, dtype=np.float64))
    return graph.cipher(node, second).linear(
        lambda x, w: w @ x, np.asarray(first, dtype=np.float64)
    )


def _encrypted_product(first: CipherTensor, second: CipherTensor) -> CipherTensor:
    rows, inner = first.shape
    columns = second.shape[1]
    shape = (rows, inner, columns)
    left = first.moved(lambda a: np.broadcast_to(a[..., None], (len(a), *shape)))
    right = second.moved(lambda a: np.broadcast_to(a[:, None], (len(a), *shape)))
    return left.times(right).summed(lambda x, w: x.sum(axis=2) * w, np.ones(1))


def _transposed(value: Value) -> Value:
    if isinstance(value, CipherTensor):
        return value.moved(lambda array: array.swapaxes(1, 2))
    return value.T


def _reduce(graph: ArithmeticGraph, node: Any, given: Sequence[Value]) -> CipherTensor:
    """Sum and Mean over axes other than a batch in the slots."""
    tensor, axes = graph.cipher(node, given[0]), given[1]
    rank = len(tensor.shape)
    places = tuple(sorted({int(axis) % rank + 1 for axis in np.ravel(np.asarray(axes))}))
    if graph._batch > 1 and 1 in places:
        raise ModelError(f"node '{node.name}' ({node.op}) runs over the batch, which is packed")
    keep = bool(node.attr["keep_dims"].b)

    def apply(values: Array, weights: Array) -> Array:
        return np.asarray(values.sum(axis=places, keepdims=keep) * weights)

    if node.op == "Sum":
        return tensor.summed(apply, np.ones(1))
    count = int(np.prod([tensor.shape[axis - 1] for axis in places]))
    return tensor.linear(apply, np.full(1, 1.0 / count))


def _sliced(node: Any, given: Sequence[Array]) -> Array:
    places, begins, sizes = given
    return places[
        tuple(
            slice(begin, None if size < 0 else begin + size)
            for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)
        )
    ]


def _padded(node: Any, given: Sequence[Array]) -> Array:
    if len(given) > 2 and np.any(given[2]):
        raise ValueError("it pads with something else than zero")
    return np.pad(given[0], given[1].tolist(), constant_values=-1)


MOVES: dict[str, Callable[[Any, Sequence[Array]], Array]] = {
    **{
        name: FOLDS[name]
        for name in ("Reshape", "Squeeze", "ExpandDims", "Transpose", "ConcatV2", "Pack")
        if name in FOLDS
    },
    "StridedSlice": FOLDS["StridedSlice"],
    "GatherV2": FOLDS["GatherV2"],
    "Slice": _sliced,
    "Pad": _padded,
    "PadV2": _padded,
    "ReverseV2": lambda node, given: np.flip(given[0], tuple(np.ravel(given[1]).tolist())),
    "Tile": lambda node, given: np.tile(given[0], given[1].tolist()),
    "BroadcastTo": lambda node, given: np.broadcast_to(given[0], given[1].tolist()),
}

ARITHMETIC: dict[str, Callable[[ArithmeticGraph, Any, Sequence[Value]], CipherTensor]] = {
    "Add": lambda graph, node, given: graph.plus(node, given[0], given[1]),
    "AddV2": lambda graph, node, given: graph.plus(node, given[0], given[1]),
    "BiasAdd": lambda graph, node, given: graph.plus(node, given[0], given[1]),
    "AddN": _add_all,
    "Sub": _subtract,
    "Mul": lambda graph, node, given: graph.times(node, given[0], given[1]),
    "Neg": lambda graph, node, given: graph.cipher(node, given[0]).negated(),
    "Square": lambda graph, node, given: graph.cipher(node, given[0]).squared(),
    "Pow": _power,
    "RealDiv": _divide,
    "MatMul": _matmul,
    "Sum": _reduce,
    "Mean": _reduce,
}

NON_POLYNOMIAL: dict[str, Callable[[Any, Sequence[Value]], Callable[[Array], Array]]] = {
    "Relu": lambda node, rest: lambda x: np.maximum(x, 0.0),
    "Relu6": lambda node, rest: lambda x: np.clip(x, 0.0, 6.0),
    "Exp": lambda node, rest: np.exp,
    "Sigmoid": lambda node, rest: lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": lambda node, rest: np.tanh,
    "Minimum": lambda node, rest: lambda x: np.minimum(x, np.asarray(rest[0])),
    "Maximum": lambda node, rest: lambda x: np.maximum(x, np.asarray(rest[0])),
    "Max": lambda node, rest: (
        lambda x: x.max(
            axis=tuple(int(axis) % (x.ndim - 1) + 1 for axis in np.ravel(np.asarray(rest[0]))),
            keepdims=bool(node.attr["keep_dims"].b),
        )
    ),
}
