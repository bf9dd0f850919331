"""Graphs over encrypted tensors, node by node: on CKKS ciphertexts, or written down as layers.

A value is an array, known here, or an encrypted tensor with all axes of the graph's tensor; where
the batch lies in the slots, its axis has size 1 and stands for the batch. What cannot be done so
is a BatchMovedError; the same graph then runs with a ciphertext for every number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError, ModelError
from capc.graph.tensorflow.folding import FOLDS
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import data_inputs
from capc.graph.tensorflow.operations import OPERATIONS, PASSED_THROUGH
from capc.he_transformer.ngraph_bridge.engines import Engine
from capc.he_transformer.ngraph_bridge.node_rules import (
    ARITHMETIC,
    FUNCTIONS,
    NON_POLYNOMIAL,
    is_known,
    numbered,
    plus,
)
from capc.he_transformer.ngraph_bridge.places import MOVES, BatchMovedError, moved_places
from capc.he_transformer.ngraph_bridge.reading import operation_network
from capc.he_transformer.ngraph_bridge.subgraph import Subgraph

Array = NDArray[Any]
Value = Any  # an array, or a tensor of the engine
T = TypeVar("T")
Watch = Callable[[str, Any], None]

_IMAGE_OPERATIONS = {
    "AvgPool",
    "Conv2D",
    "DepthwiseConv2dNative",
    "FusedBatchNorm",
    "FusedBatchNormV2",
    "FusedBatchNormV3",
    "MaxPool",
}
_BEYOND = {"MaxPool"}  # of them, what is no polynomial
_ELEMENTWISE = {
    "Abs", "Elu", "Erf", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Sign", "Softplus",
    "Softsign", "Tanh",
} & {*OPERATIONS}  # fmt: skip


class ArithmeticGraph(Generic[T]):
    """A subgraph as a program of its secrets; `batch` above 1 is what lies in the slots."""

    def __init__(
        self, graph: Subgraph, batch: int, engine: Engine[T], *, watch: Watch | None = None
    ) -> None:
        self._graph = graph
        self.batch = batch
        self.engine = engine
        self._watch = watch
        self._order = _sorted(graph)

    def __call__(self, inputs: Mapping[str, T]) -> T:
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
            if self._watch is not None and not is_known(result):
                self._watch(node.op, result)
        output: T = values[self._graph.output]
        if is_known(output):
            raise ModelError(f"node '{self._graph.output}' does not depend on encrypted data")
        return output

    def shape(self, value: Value) -> tuple[int, ...]:
        """The graph's shape of a value, with the batch."""
        shape: tuple[int, ...] = tuple(value.shape)
        return shape if is_known(value) or self.batch == 1 else (self.batch, *shape[1:])

    def encrypted(self, node: Any, value: Value) -> Any:
        """The encrypted operand of a node."""
        if is_known(value):
            raise ModelError(f"node '{node.name}' ({node.op}) must take encrypted data there")
        return value

    def refuse_batch(self, node: Any) -> BatchMovedError:
        """To raise where a node mixes images that lie in the slots."""
        return BatchMovedError(
            f"node '{node.name}' ({node.op}) mixes the images of a batch that is packed"
        )

    def _value(self, node: Any, given: Sequence[Value]) -> Value:
        if node.op in PASSED_THROUGH and given:
            return given[0]
        if all(is_known(value) for value in given):
            return _constant(node, given)
        return self._secret_value(node, given)

    def _secret_value(self, node: Any, given: Sequence[Value]) -> Value:
        if node.op == "Shape":
            return np.array(self.shape(given[0]))
        for known, evaluate in (
            (MOVES, self._moved),
            (_IMAGE_OPERATIONS, self._images),
            (_ELEMENTWISE, self._elementwise),
        ):
            if node.op in known:
                return evaluate(node, given)
        if node.op in ARITHMETIC:
            return ARITHMETIC[node.op](self, node, given)
        if node.op in FUNCTIONS:
            return self.engine.apply(node, self.encrypted(node, given[0]), FUNCTIONS[node.op])
        raise ModelError(
            f"node '{node.name}' is of type {node.op}, which is not supported on encrypted data; "
            f"supported are {SUPPORTED}"
        )

    def matched(self, node: Any, tensor: Any, value: Array) -> tuple[Any, Array, bool]:
        """Both broadcast to one shape; whether the array differs from image to image."""
        full = self.shape(tensor)
        try:
            shape = np.broadcast_shapes(full, value.shape)
        except ValueError as error:
            raise ModelError(f"node '{node.name}' ({node.op}): {error}") from None
        array = np.asarray(value, dtype=np.float64)
        if self.batch == 1:
            return self.spread(tensor, shape), array, False
        if len(shape) > len(full) or shape[0] != self.batch:
            raise self.refuse_batch(node)
        differs = array.ndim == len(full) and array.shape[0] == self.batch
        if differs:
            array = np.broadcast_to(array, shape)[:, None]
        return self.spread(tensor, (1, *shape[1:])), array, differs

    def together(self, node: Any, first: Any, second: Any) -> tuple[Any, Any]:
        """Two encrypted values broadcast to one shape."""
        one, other = (tuple(value.shape) for value in (first, second))
        if self.batch > 1 and len(one) != len(other):
            raise self.refuse_batch(node)
        try:
            shape = np.broadcast_shapes(one, other)
        except ValueError as error:
            raise ModelError(f"node '{node.name}' ({node.op}): {error}") from None
        return self.spread(first, shape), self.spread(second, shape)

    def spread(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Broadcast; every copy is a value of its own."""
        if tuple(tensor.shape) == shape:
            return tensor
        return tensor.picked([], np.broadcast_to(numbered(tensor.shape), shape))

    def _moved(self, node: Any, given: Sequence[Value]) -> Any:
        tensors: list[Any] = [value for value in given if not is_known(value)]
        operands = [value if is_known(value) else tuple(value.shape) for value in given]
        if any(not is_known(value) for value in given[1:]) and node.op not in {"Pack", "ConcatV2"}:
            raise ModelError(f"node '{node.name}' ({node.op}) takes an encrypted shape or place")
        found = moved_places(node, operands, self.batch)
        result = tensors[0].picked(tensors[1:], found.order)
        if found.constants is None:
            return result
        return plus(self, node, result, found.constants)

    def _elementwise(self, node: Any, given: Sequence[Value]) -> Any:
        tensor = self.encrypted(node, given[0])
        network, _ = operation_network(node, 0, (tensor.size,), {})
        flat = tensor.picked([], np.arange(tensor.size))
        result: Any = self.engine.through(node, flat, network)
        return result.picked([], numbered(tensor.shape))

    def _images(self, node: Any, given: Sequence[Value]) -> Any:
        """An operation on images (batch, H, W, C), one after the other where none is packed."""
        tensor = self.encrypted(node, given[0])
        others = {index: value for index, value in enumerate(given) if index}
        if any(not is_known(value) for value in others.values()):
            raise ModelError(
                f"node '{node.name}' ({node.op}) takes encrypted weights; only its images may be"
            )
        shape = tuple(tensor.shape)
        network, result = operation_network(node, 0, shape[1:], others)
        rows: list[Any] = [
            self.engine.through(node, tensor.picked([], row), network) for row in numbered(shape)
        ]
        order = np.arange(len(rows) * rows[0].size).reshape(shape[0], *result)
        return rows[0].picked(rows[1:], order)


def is_polynomial_graph(graph: Subgraph) -> bool:
    """Whether CKKS alone can evaluate every node that depends on encrypted data."""
    secret = set(graph.secrets)
    for name in _sorted(graph):
        node = graph.nodes[name]
        if node.op != "Shape" and secret.intersection(data_inputs(node)):
            secret.add(name)
            allowed = {*MOVES, *ARITHMETIC, *PASSED_THROUGH, *_IMAGE_OPERATIONS}
            if node.op not in allowed - _BEYOND - NON_POLYNOMIAL:
                return False
            if node.op == "RealDiv" and data_inputs(node)[1] in secret:
                return False
    return True


def _constant(node: Any, given: Sequence[Array]) -> Array:
    """The value of a node that does not depend on encrypted data."""
    if node.op == "Const":
        return np.asarray(load_tensorflow().make_ndarray(node.attr["value"].tensor))
    if node.op in FOLDS:
        try:
            return np.asarray(FOLDS[node.op](node, given))
        except (ValueError, IndexError, TypeError) as error:
            raise ModelError(f"node '{node.name}' ({node.op}) cannot be folded: {error}") from None
    raise ModelError(
        f"node '{node.name}' is of type {node.op}, which is not supported on constants; compute it "
        "before, and give its value"
    )


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


SUPPORTED = ", ".join(
    sorted({*MOVES, *ARITHMETIC, *_IMAGE_OPERATIONS, *_ELEMENTWISE, *PASSED_THROUGH, "Const"})
)
