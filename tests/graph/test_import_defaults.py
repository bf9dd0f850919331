"""Attributes that a file leaves out have the default of their operation, as in TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import LeakyRelu
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.inlining import inlined_nodes
from capc.graph.tensorflow.loader import load_tensorflow

tf: Any = load_tensorflow()
RANDOM = np.random.default_rng(11)


def weights(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def stripped(graph: Any) -> int:
    """Remove the attributes that have the default, as saving does; returns how many."""
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    removed = 0
    bodies = [function.node_def for function in graph.library.function]
    for node in (node for nodes in (graph.node, *bodies) for node in nodes):
        for attribute in op_def_registry.get(node.op).attr:
            given = node.attr.get(attribute.name, None)
            if attribute.HasField("default_value") and given == attribute.default_value:
                del node.attr[attribute.name]
                removed += 1
    return removed


def inner(x: Any) -> Any:
    leaky = tf.nn.leaky_relu(tf.nn.conv2d(x, weights(3, 3, 2, 4), 1, "SAME"))
    normal = tf.raw_ops.FusedBatchNormV3(
        x=leaky,
        scale=weights(4),
        offset=weights(4),
        mean=weights(4),
        variance=[1e-5, 1e-5, 1.0, 1.0],
        is_training=False,
    ).y
    pooled = tf.nn.max_pool2d(normal, 2, 2, "VALID")
    first, *_ = tf.unstack(tf.nn.leaky_relu(pooled, alpha=0.2), axis=1)
    flat = tf.reshape(first, [-1, 12])
    return tf.matmul(flat, weights(12, 3))


def graph_of(body: Any) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
    """A graph of `body` with input and output, images, and what TensorFlow computes of them."""
    images = RANDOM.normal(0, 1, (4, 5, 6, 2)).astype(np.float32)
    graph = tf.Graph()
    with graph.as_default():
        given = tf.compat.v1.placeholder(tf.float32, (None, 5, 6, 2), name="input")
        output = tf.identity(body(given), name="output")
    with tf.compat.v1.Session(graph=graph) as session:
        expected = session.run(output, {given: images})
    return graph.as_graph_def(), images, expected


@pytest.mark.parametrize("called", [False, True], ids=["graph", "function"])
def test_a_graph_without_its_default_attributes_is_the_same(tmp_path: Path, called: bool) -> None:
    body = tf.function(inner, autograph=False) if called else inner
    graph, images, expected = graph_of(body)
    assert stripped(graph) > 10
    (tmp_path / "model.pb").write_bytes(graph.SerializeToString())
    network = import_network(tmp_path / "model.pb", "input", "output")
    slopes = [layer.slope for layer in network.layers if isinstance(layer, LeakyRelu)]
    assert slopes == pytest.approx([0.2, 0.2])
    np.testing.assert_allclose(evaluate_float(network, images), expected, rtol=1e-4, atol=1e-4)


def test_every_operation_gets_every_default() -> None:
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    graph = tf.compat.v1.GraphDef()
    names = [name for name in dir(tf.raw_ops) if op_def_registry.get(name) is not None]
    for name in names:
        if name not in {"PartitionedCall", "StatefulPartitionedCall"}:
            graph.node.add(name=name, op=name)
    graph.node.add(name="unknown", op="NobodyKnowsIt")
    nodes = inlined_nodes(graph)
    checked = 0
    for node in graph.node[:-1]:
        for attribute in op_def_registry.get(node.op).attr:
            if attribute.HasField("default_value"):
                assert nodes[node.name].attr[attribute.name] == attribute.default_value
                checked += 1
    assert checked > 1000
    assert not nodes["unknown"].attr


def test_a_default_that_cannot_run_is_refused(tmp_path: Path) -> None:
    """FusedBatchNorm trains unless it is told otherwise."""

    def body(x: Any) -> Any:
        normal = tf.raw_ops.FusedBatchNorm(
            x=x, scale=weights(2), offset=weights(2), mean=[], variance=[]
        ).y
        return tf.matmul(tf.reshape(normal, [-1, 60]), weights(60, 3))

    graph, _, _ = graph_of(body)
    stripped(graph)
    (tmp_path / "model.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match="is in training mode"):
        import_network(tmp_path / "model.pb", "input", "output")
