"""Every refusal of a graph names the node, says why, and says what to do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import import Body, conv, dense, tf, weights, write_graph

from capc.errors import ModelError, RangeError
from capc.graph.ring_choice import to_ring
from capc.graph.tensorflow.importer import import_network, network_of
from capc.graph.tensorflow.refusals import WAYS_OUT
from capc.graph.tensorflow.sources import read_graph


def renamed(values: Any) -> Any:
    return tf.identity(values, name="output/BiasAdd")


CASES: dict[str, tuple[Body, str, str, str]] = {
    "loop": (
        lambda x: dense(tf.while_loop(lambda v: True, lambda v: [v * 0.5], [x], name="again")[0]),
        "again",
        "is of type StatelessWhile|is of type While|Enter",
        "no branch or loop is left",
    ),
    "branch": (
        lambda x: dense(tf.cond(tf.constant(True), lambda: x, lambda: -x, name="choice")),
        "choice",
        "control flow does not run encrypted",
        "freeze the model for inference",
    ),
    "labels": (
        lambda x: dense(tf.cast(tf.argmax(conv(x), axis=3, name="label"), tf.float32)),
        "label",
        "is of type ArgMax",
        "name the logits before it with --output_node",
    ),
    "softmax inside": (
        lambda x: dense(tf.nn.softmax(conv(x), name="weights")),
        "weights",
        "is of type Softmax, which is not supported",
        "only at the end it is dropped",
    ),
    "resized": (
        lambda x: dense(tf.raw_ops.ResizeBilinear(images=x, size=[7, 7], name="larger")),
        "larger",
        "is of type ResizeBilinear",
        "before they enter the model",
    ),
    "channels first": (
        lambda x: dense(tf.nn.max_pool2d(x, 2, 1, "VALID", data_format="NCHW", name="first")),
        "first",
        "has data_format NCHW",
        "data_format='channels_last'",
    ),
    "dense of an image": (
        lambda x: renamed(tf.raw_ops.BatchMatMulV2(x=x, y=weights(1, 2, 3), name="product")),
        "product",
        "does not fit|is of type BatchMatMulV2",
        "flatten before it|replace it in the model",
    ),
    "divided by zero": (
        lambda x: dense(tf.divide(x, np.zeros(2, np.float32), name="quotient")),
        "quotient",
        "divides by zero",
        "correct the constant",
    ),
    "divided by the query": (
        lambda x: dense(tf.divide(np.float32(1), x, name="inverse")),
        "inverse",
        "must be a constant",
        "take the layer out",
    ),
    "transposed": (
        lambda x: dense(tf.reshape(tf.transpose(x, [3, 1, 2, 0], name="turned"), [-1, 30])),
        "turned",
        "moves the batch axis",
        "permute the axes after it alone",
    ),
    "repeated batch": (
        lambda x: dense(tf.tile(x, [2, 1, 1, 1], name="twice")),
        "twice",
        r"repeats by \[2, 1, 1, 1\]",
        "work on the axes of one image alone",
    ),
    "chosen": (
        lambda x: dense(tf.where(conv(x) > 0.0, conv(x), 0.5, name="chosen")),
        "chosen",
        "of type SelectV2",
        "write max.* as ReLU",
    ),
    "softmax spelled out": (
        lambda x: renamed(tf.exp(tf.reduce_mean(conv(x), [1, 2]), name="powers")),
        "powers",
        "of type Exp",
        "name the logits before it with --output_node",
    ),
    "summed away": (
        lambda x: renamed(tf.reduce_sum(x, [1, 2, 3], name="all")),
        "all",
        "must keep an axis of an image",
        "keepdims=True",
    ),
    "rounded": (
        lambda x: dense(tf.cast(tf.cast(x, tf.int32, name="whole"), tf.float32)),
        "whole",
        "rounds a value",
        "floating point",
    ),
    "slope": (
        lambda x: dense(tf.nn.leaky_relu(x, 1.5, name="leaky")),
        "leaky",
        "has alpha 1.5",
        "train with such a slope",
    ),
    "not logits": (
        lambda x: renamed(conv(x)),
        "output/BiasAdd",
        "logits have one axis",
        "--output_node",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_node_reason_and_way_out(tmp_path: Path, name: str) -> None:
    body, node, reason, way_out = CASES[name]
    path = tmp_path / "graph.pb"
    write_graph(path, body)
    with pytest.raises(ModelError, match=rf"node '{node}.*({reason}).*({way_out})") as refusal:
        import_network(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("pool", [False, True])
def test_a_window_that_does_not_fit_names_its_node(tmp_path: Path, pool: bool) -> None:
    """TensorFlow refuses to build one, so the attribute is changed afterwards."""

    def body(x: Any) -> Any:
        small = tf.nn.relu(x)
        if pool:
            return dense(tf.nn.max_pool2d(small, 2, 1, "SAME", name="window"))
        return dense(conv(small, size=7, name="window"))

    path = tmp_path / "graph.pb"
    write_graph(path, body)
    graph = read_graph(path, "input", "output/BiasAdd")
    graph.nodes["window"].attr["padding"].s = b"VALID"
    if pool:
        graph.nodes["window"].attr["ksize"].list.i[1:3] = [7, 7]
    with pytest.raises(ModelError, match=r"node 'window' .*does not fit.*use larger images"):
        network_of(graph)


def test_an_input_of_whole_numbers_is_refused(tmp_path: Path) -> None:
    """Queries are pixels in [0, 1]: a model that takes bytes would label something else."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.uint8, (None, 2, 3, 2), name="input")
        dense(tf.cast(x, tf.float32))
    path = tmp_path / "bytes.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match=r"'input' takes uint8.*export the model with a float32"):
        import_network(path)


@pytest.mark.parametrize("kind", sorted(WAYS_OUT))
def test_each_way_out_is_for_an_operation_of_tensorflow(kind: str) -> None:
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    assert op_def_registry.get(kind) is not None or kind in {"Multinomial", "Variable"}


def scaled(factor: np.float32, x: Any) -> Any:
    """A classifier whose first layer is multiplied by a factor that no later one can undo."""
    return dense(tf.nn.relu6(conv(x) * factor))


def test_weights_that_are_no_numbers_and_too_wide_ranges(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    for factor, error, message in (
        (np.nan, ModelError, r"layer '.*not a finite number.*train again"),
        (1e14, RangeError, r"layer '.*needs \d+ bits.*calibrate on public examples"),
    ):
        write_graph(path, partial(scaled, np.float32(factor)))
        with pytest.raises(error, match=message):
            to_ring(import_network(path), (0.0, 1.0), 36.0)
