"""The part of a session's graph that one result needs, as NodeDefs, what is fed in as constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import data_inputs
from capc.graph.tensorflow.operations import PASSED_THROUGH
from capc.graph.tensorflow.sources import FrozenGraph

FINISHES = ("Softmax", "LogSoftmax", "Sigmoid", "Exp")
_VARIABLES = {"VariableV2", "Variable", "VarHandleOp"}


@dataclass(frozen=True)
class Subgraph:
    """NodeDefs by name, the node wanted, and the secret nodes that it depends on.

    `finish` names what stood after `output`, in the order in which it is applied.
    """

    nodes: Mapping[str, Any]
    output: str
    secrets: tuple[str, ...]
    finish: tuple[str, ...]

    def frozen(self) -> FrozenGraph:
        """For the importer of classifiers; there must be one secret."""
        return FrozenGraph(dict(self.nodes), self.secrets[0], self.output)

    def with_constants(self, values: Mapping[str, NDArray[Any]]) -> Subgraph:
        """The same with some of its secrets known."""
        nodes = dict(self.nodes)
        for name, value in values.items():
            nodes[name] = constant_node(name, value)
        secrets = tuple(name for name in self.secrets if name not in values)
        return Subgraph(nodes, self.output, secrets, self.finish)


def secret_ancestors(tensor: Any, secrets: set[str]) -> set[str]:
    """The names among `secrets` of the operations that a tensor depends on."""
    found: set[str] = set()
    seen: set[str] = set()
    stack = [tensor.op]
    while stack:
        operation = stack.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        if operation.name in secrets:
            found.add(operation.name)
        else:
            stack.extend(given.op for given in operation.inputs)
    return found


def extract(
    session: Any, tensor: Any, secrets: set[str], feeds: Mapping[str, NDArray[Any]]
) -> Subgraph:
    """The subgraph of one result tensor; variables take their value in the session.

    ModelError where it takes an unfed placeholder.
    """
    tf = load_tensorflow()
    if tensor.value_index != 0:
        raise ModelError(f"'{tensor.name}' is not the first output of its node; ask for that one")
    name = tensor.op.name
    nodes = {node.name: node for node in session.graph.as_graph_def().node}
    if any(node.op in _VARIABLES for node in _reachable(nodes, name, set()).values()):
        definition = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, session.graph.as_graph_def(), [name]
        )
        nodes = {node.name: node for node in definition.node}
    for fed, value in feeds.items():
        if fed in nodes and fed not in secrets:
            nodes[fed] = constant_node(fed, value)
    used = tuple(sorted(secret_ancestors(tensor, secrets)))
    output, finish = name, []
    while nodes[output].op in {*FINISHES, *PASSED_THROUGH} and output not in secrets:
        if nodes[output].op in FINISHES:
            finish.append(nodes[output].op)
        output = data_inputs(nodes[output])[0]
    reachable = _reachable(nodes, output, set(used))
    for node in reachable.values():
        if node.op == "Placeholder" and node.name not in secrets:
            raise ModelError(f"placeholder '{node.name}' is not fed: give it in feed_dict")
    return Subgraph(reachable, output, used, tuple(reversed(finish)))


def constant_node(name: str, value: NDArray[Any]) -> Any:
    """A Const of that name and value; float64 is made float32, as placeholders mostly are."""
    tf = load_tensorflow()
    array = np.asarray(value)
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    proto = tf.make_tensor_proto(array.astype(np.float32) if array.dtype.kind == "f" else array)
    node.attr["value"].tensor.CopyFrom(proto)
    node.attr["dtype"].type = proto.dtype
    return node


def placeholder_shape(tensor: Any) -> list[int | None]:
    """The static shape of a placeholder; ModelError where not even its rank is known."""
    if tensor.shape.rank is None:
        raise ModelError(f"placeholder '{tensor.op.name}' has an unknown shape: give it one")
    return [None if size is None else int(size) for size in tensor.shape.as_list()]


def _reachable(nodes: Mapping[str, Any], output: str, ends: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stack = [output]
    while stack:
        name = stack.pop()
        if name in found:
            continue
        if name not in nodes:
            raise ModelError(f"node '{name}' is not a first output; it is not supported here")
        found[name] = nodes[name]
        if name not in ends:
            stack.extend(data_inputs(nodes[name]))
    return {name: nodes[name] for name in nodes if name in found}
