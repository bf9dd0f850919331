"""Graphs whose batch size is a constant: read as those whose batch size is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import import Body, conv, dense, tf, weights

from capc.errors import ModelError
from capc.graph.float_reference import evaluate_float
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_keras
from capc.graph.tensorflow.logits import tensorflow_logits

keras = load_keras()
L = keras.layers
SHAPE = (5, 6, 2)


def last(values: Any, width: int = 3) -> Any:
    return tf.matmul(values, weights(int(values.shape[-1]), width), name="output/BiasAdd")


def sized(x: Any) -> int:
    return int(x.shape[0])


def write(path: Path, body: Body, batch: int | None) -> None:
    with tf.Graph().as_default() as graph:
        body(tf.compat.v1.placeholder(tf.float32, (batch, *SHAPE), name="input"))
    path.write_bytes(graph.as_graph_def().SerializeToString())


def agrees(path: Path) -> None:
    network = import_network(path)
    images = np.random.default_rng(4).normal(0, 1, (6, *network.input.shape)).astype(np.float32)
    names = "import/input:0", "import/output/BiasAdd:0"
    expected = tensorflow_logits(path, *names, images)
    np.testing.assert_allclose(evaluate_float(network, images), expected, rtol=1e-4, atol=1e-4)


def rows(x: Any) -> Any:
    """A dense layer on every pixel: images merged into the batch, and back."""
    merged = tf.matmul(tf.reshape(x, [sized(x) * 30, 2]), weights(2, 4))
    return tf.reshape(merged, [sized(x), 120])


# Bodies for a placeholder whose first axis is known.
FIXED: dict[str, Body] = {
    "reshape": lambda x: last(tf.reshape(conv(x), [sized(x), 60])),
    "reshape and the rest": lambda x: last(tf.reshape(conv(x), [sized(x), -1])),
    "reshape twice": lambda x: last(
        tf.reshape(tf.nn.relu(tf.reshape(conv(x), [sized(x), 10, 6])), [sized(x), 60])
    ),
    "packed shape": lambda x: last(tf.reshape(x, tf.stack([tf.constant(sized(x)), 60]))),
    "joined shape": lambda x: last(tf.reshape(x, tf.concat([[tf.constant(sized(x))], [60]], 0))),
    "rows": lambda x: last(rows(x)),
    "constant a batch": lambda x: dense(x + np.tile(weights(1, 5, 6, 2), (sized(x), 1, 1, 1))),
    "tiled": lambda x: dense(conv(x) * tf.tile(weights(1, 5, 6, 2), [sized(x), 1, 1, 1])),
    "filled": lambda x: dense(tf.maximum(x, tf.fill([sized(x), 5, 6, 2], 0.25))),
    "broadcast constant": lambda x: dense(x - tf.broadcast_to(weights(6, 2), x.shape)),
    "broadcast": lambda x: dense(tf.broadcast_to(x[:, :1], [sized(x), 5, 6, 2])),
    "slice": lambda x: dense(tf.slice(x, [0, 1, 0, 0], [sized(x), 3, 6, 2])),
    "strided slice": lambda x: dense(x[0 : sized(x), 1:4]),
    "bias a batch": lambda x: tf.add(
        tf.matmul(tf.reshape(x, [sized(x), 60]), weights(60, 3)),
        np.ones((sized(x), 3), np.float32) * 2,
        name="output/BiasAdd",
    ),
}


@pytest.mark.parametrize("batch", [1, 4, 60])
@pytest.mark.parametrize("name", FIXED)
def test_a_constant_batch_size(tmp_path: Path, name: str, batch: int) -> None:
    path = tmp_path / "graph.pb"
    write(path, FIXED[name], batch)
    agrees(path)


# A graph of one image may reduce its batch axis: it has one element.
OF_ONE: dict[str, Body] = {
    "mean": lambda x: last(tf.reshape(tf.reduce_mean(conv(x), 0), [1, 60])),
    "kept": lambda x: dense(tf.reduce_max(conv(x), 0, keepdims=True)),
    "counted from the end": lambda x: last(tf.reshape(tf.reduce_sum(conv(x), -4), [1, 60])),
    "with others": lambda x: last(tf.expand_dims(tf.reduce_min(conv(x), [0, 1, 2]), 0)),
}


@pytest.mark.parametrize("name", OF_ONE)
def test_one_image_reduced_over_its_batch_axis(tmp_path: Path, name: str) -> None:
    path = tmp_path / "graph.pb"
    write(path, OF_ONE[name], 1)
    agrees(path)
    write(path, OF_ONE[name], 2)
    with pytest.raises(ModelError, match="mixes the images of a batch"):
        import_network(path)


def size(x: Any) -> Any:
    return tf.shape(x)[0]


# The same with the batch size asked for.
OPEN: dict[str, Body] = {
    "tiled": lambda x: dense(conv(x) * tf.tile(weights(1, 5, 6, 2), [size(x), 1, 1, 1])),
    "filled": lambda x: dense(x + tf.fill(tf.stack([size(x), 5, 6, 2]), 0.5)),
    "broadcast": lambda x: dense(x + tf.broadcast_to(weights(6, 2), tf.shape(x))),
    "sliced": lambda x: dense(tf.slice(x, [0, 1, 0, 0], tf.stack([size(x), 3, 6, 2]))),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_batch_size_that_is_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / "graph.pb"
    write(path, OPEN[name], None)
    agrees(path)


REFUSED: dict[str, tuple[Body, str]] = {
    "each image its own": (
        lambda x: dense(tf.add(x, weights(4, 5, 6, 2), name="own")),
        r"node 'own' \(AddV2\) has another constant for each of the 4 images",
    ),
    "another number": (lambda x: dense(tf.reshape(x, [5, 48], name="cut")), r"node 'cut'"),
    "mean of a batch": (
        lambda x: dense(x - tf.reduce_mean(x, 0, keepdims=True, name="mean")),
        r"node 'mean' \(Mean\) is over axes \[0\].*mixes the images of a batch",
    ),
    "half of the batch": (lambda x: dense(x[:2]), "cuts the batch axis"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_mixes_images_is_refused(tmp_path: Path, name: str) -> None:
    body, message = REFUSED[name]
    write(tmp_path / "graph.pb", body, 4)
    with pytest.raises(ModelError, match=message) as refusal:
        import_network(tmp_path / "graph.pb")
    assert "\n" not in str(refusal.value)


def fixed_keras(batch: int) -> Any:
    images = keras.Input(batch_shape=(batch, 6, 6, 1))
    x = L.Flatten()(L.Conv2D(3, 3, strides=2, activation="relu")(images))
    return keras.Model(images, L.Reshape((1, 4))(L.Dense(4)(x)))


@pytest.mark.parametrize("kind", ["model.keras", "model.h5", "saved"])
def test_files_with_a_fixed_batch(tmp_path: Path, kind: str) -> None:
    model = fixed_keras(8)
    if kind == "saved":
        signature = tf.TensorSpec((8, 6, 6, 1), tf.float32)
        serve = tf.function(model).get_concrete_function(signature)
        tf.saved_model.save(model, str(tmp_path / kind), signatures=serve)
    else:
        model.save(tmp_path / kind)
    agrees(tmp_path / kind)
