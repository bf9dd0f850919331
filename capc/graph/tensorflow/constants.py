"""What does not depend on the query, computed by TensorFlow itself when the graph is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.tensorflow.builder import Constant
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import data_inputs
from capc.graph.tensorflow.operations import PASSED_THROUGH
from capc.graph.tensorflow.refusals import CONTROL_FLOW
from capc.graph.tensorflow.saved_models import first_line
from capc.graph.tensorflow.selections import of_whole_split

Nodes = Mapping[str, Any]


@dataclass(frozen=True)
class Constants:
    """Values by node, and the nodes that only led to them."""

    values: Mapping[str, Constant]
    inner: frozenset[str]


def folded(nodes: Nodes, order: Iterable[str], input_name: str, output_name: str) -> Constants:
    """The constants among `order`, sorted nodes, that others than constants take.

    Raises ModelError, with the node, where TensorFlow cannot compute one.
    """
    order = list(order)
    known = _known(nodes, order, input_name)
    needed = {output_name} & known
    for name in reversed(order):
        passed = name in known and name in needed and nodes[name].op in PASSED_THROUGH
        if name not in known or passed:
            needed.update(given for given in _inputs(nodes, name, input_name) if given in known)
    wanted = [
        name
        for name in order
        if name in needed and nodes[name].op not in {"Const", *PASSED_THROUGH}
    ]
    return Constants(_values(nodes, wanted), frozenset(known - needed))


def _inputs(nodes: Nodes, name: str, input_name: str) -> list[str]:
    return [] if name == input_name else data_inputs(nodes[name])


def _known(nodes: Nodes, order: Iterable[str], input_name: str) -> set[str]:
    """The constants, and the nodes without a state that take constants alone."""
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    known: set[str] = set()
    for name in order:
        node = nodes[name]
        definition = op_def_registry.get(node.op)
        if name == input_name or definition is None or definition.is_stateful:
            continue
        inputs = data_inputs(node)
        if node.op == "Const" or (
            inputs and node.op not in CONTROL_FLOW and known.issuperset(inputs)
        ):
            known.add(name)
    return known


def _values(nodes: Nodes, wanted: list[str]) -> dict[str, Constant]:
    if not wanted:
        return {}
    tf = load_tensorflow()
    definition = tf.compat.v1.GraphDef()
    definition.versions.producer = tf.version.GRAPH_DEF_VERSION
    definition.node.extend(_definitions(nodes, wanted))
    with tf.Graph().as_default() as graph:
        name = wanted[0]
        try:
            tf.import_graph_def(definition, name="")
            with tf.compat.v1.Session(graph=graph) as session:
                try:
                    found = session.run([_tensor(name) for name in wanted])
                except tf.errors.OpError:  # which of them it is, it does not always say
                    for name in wanted:
                        session.run(_tensor(name))
                    raise
        except (ValueError, tf.errors.OpError) as error:
            raise ModelError(
                f"node '{name}' ({nodes[name].op}) cannot be folded: {first_line(error)}; correct "
                "the constants and export the model again"
            ) from error
    return {name: np.asarray(value) for name, value in zip(wanted, found, strict=True)}


def _definitions(nodes: Nodes, wanted: list[str]) -> list[Any]:
    """The nodes that the wanted ones depend on, themselves too, without control inputs."""
    found: dict[str, Any] = {}
    waiting = list(wanted)
    while waiting:
        node = of_whole_split(nodes[waiting.pop()])
        if node.name in found:
            continue
        inputs = data_inputs(node)
        del node.input[:]
        node.input.extend(inputs)
        found[node.name] = node
        waiting.extend(inputs)
    return list(found.values())


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
