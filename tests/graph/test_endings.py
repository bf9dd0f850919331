"""What may stand after the logits: moves of the same numbers, and functions that keep the order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import import Body, conv, dense, tf, weights, write_graph

from capc.errors import ModelError
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Network
from capc.graph.tensorflow.importer import (
    classifier_of,
    import_network,
    network_of,
    network_of_keras,
)
from capc.graph.tensorflow.loader import load_keras
from capc.graph.tensorflow.logits import tensorflow_logits
from capc.graph.tensorflow.sources import read_graph

keras = load_keras()
L = keras.layers


def pooled(x: Any, classes: int = 10) -> Any:
    """Logits of shape (1, 1, classes) an image, as fully convolutional networks have them."""
    return tf.nn.avg_pool2d(conv(x, classes), (5, 6), 1, "VALID")


def end(values: Any) -> Any:
    return tf.identity(values, name="end")


# The end, and how many classes are read there.
ENDS: dict[str, tuple[Body, int]] = {
    "softmax then reshape": (lambda x: tf.reshape(tf.nn.softmax(dense(x, 10)), [-1, 10]), 10),
    "one by one": (pooled, 10),
    "softmax of one by one": (lambda x: tf.nn.softmax(pooled(x)), 10),
    "slim": (lambda x: tf.reshape(tf.nn.softmax(tf.squeeze(pooled(x), [1, 2])), [-1, 10]), 10),
    "softmax, then squeezed": (lambda x: tf.squeeze(tf.nn.softmax(pooled(x)), [1, 2]), 10),
    "log softmax, expanded": (lambda x: tf.expand_dims(tf.nn.log_softmax(dense(x, 4)), 1), 4),
    "one row": (lambda x: tf.reshape(dense(x, 10), [-1, 1, 10]), 10),
    "one column": (lambda x: tf.reshape(dense(x, 10), [-1, 10, 1]), 10),
    "axes of size one turned": (lambda x: tf.transpose(pooled(x), [0, 3, 1, 2]), 10),
    "softmax over the first axis": (lambda x: tf.nn.softmax(dense(x, 10)[..., None], axis=1), 10),
    "softmax, then sliced": (lambda x: tf.nn.softmax(pooled(x))[:, 0, 0, :], 10),
    "softmax, then averaged": (lambda x: tf.reduce_mean(tf.nn.softmax(pooled(x)), [1, 2]), 10),
    "softmax of sigmoids": (lambda x: tf.nn.softmax(tf.nn.sigmoid(dense(x, 3))), 3),
    "log of a softmax": (lambda x: tf.math.log(tf.nn.softmax(dense(x, 4))), 4),
    "log of a softmax and a little": (
        lambda x: tf.math.log(1e-7 + tf.nn.softmax(dense(x, 4))),
        4,
    ),
    "log of a clipped softmax": (
        lambda x: tf.math.log(tf.clip_by_value(tf.nn.softmax(dense(x, 4)), 1e-7, 1 - 1e-7)),
        4,
    ),
    "log, squeezed": (lambda x: tf.squeeze(tf.math.log(tf.nn.softmax(pooled(x))), [1, 2]), 10),
    "percent": (lambda x: 100.0 * tf.nn.softmax(dense(x, 4)) / 2.0 - 1.0, 4),
    "single logit": (lambda x: dense(x, 1), 2),
    "squeezed logit": (lambda x: tf.squeeze(dense(x, 1), [1]), 2),
    "squeezed without axes": (lambda x: tf.squeeze(dense(x, 1)), 2),
    "sliced logit": (lambda x: dense(x, 1)[:, 0], 2),
    "reshaped to nothing": (lambda x: tf.reshape(dense(x, 1), [-1]), 2),
    "sigmoid, then squeezed": (lambda x: tf.squeeze(tf.nn.sigmoid(dense(x, 1)), [-1]), 2),
    "squeezed, then sigmoid": (lambda x: tf.nn.sigmoid(tf.squeeze(pooled(x, 1), [1, 2, 3])), 2),
}


@pytest.mark.parametrize("name", ENDS)
def test_classes_are_read(tmp_path: Path, name: str) -> None:
    body, classes = ENDS[name]
    path = tmp_path / "graph.pb"
    run = write_graph(path, lambda x: end(body(x)))
    network = import_network(path, "input", "end")
    assert network.output.shape == (classes,)
    images = np.random.default_rng(3).normal(0, 1, (5, 5, 6, 2)).astype(np.float32)
    logits = evaluate_float(network, images)
    np.testing.assert_allclose(
        tensorflow_logits(path, "input", "end", images), logits, rtol=1e-4, atol=1e-4
    )
    outputs = run(images).reshape(5, -1)
    if outputs.shape[1] == 1:
        half = 0.5 if "sigmoid" in name else 0.0
        assert np.array_equal(logits.argmax(1), outputs[:, 0] > half)
    else:
        assert np.array_equal(logits.argmax(1), outputs.argmax(1))


REFUSED: dict[str, tuple[Body, str]] = {
    "softmax over pixels": (
        lambda x: tf.nn.softmax(dense(x, 10)[..., None], name="ones"),
        r"node 'ones' \(Softmax\) is over 1 of \(10, 1\)",
    ),
    "softmax over halves": (
        lambda x: tf.reshape(tf.nn.softmax(tf.reshape(dense(x, 10), [-1, 2, 5]), name="halves"),
                             [-1, 10]),
        r"node 'halves' \(Softmax\) is over 5 of \(2, 5\)",
    ),
    "softmax of one value": (
        lambda x: tf.nn.softmax(dense(x, 1), name="one"),
        r"node 'one' \(Softmax\) is over 1 of \(1,\)",
    ),
    "one of two classes": (
        lambda x: tf.nn.softmax(dense(x, 2), name="both")[:, 1],
        r"node 'both' \(Softmax\) is over 2 of \(2,\) per image, of which the output has 1",
    ),
    "softmax of each pixel": (
        lambda x: tf.reduce_mean(tf.nn.softmax(conv(x, 10), name="each"), [1, 2]),
        r"node 'each' \(Softmax\) is over 10 of \(5, 6, 10\)",
    ),
    "several sigmoids": (
        lambda x: tf.nn.sigmoid(dense(x, 14), name="findings"),
        r"node 'findings' \(Sigmoid\).* 14 .*several labels.*softmax.*--output_node output/BiasAdd",
    ),
    "sigmoids, then reshaped": (
        lambda x: tf.reshape(tf.nn.sigmoid(dense(x, 14), name="findings"), [-1, 1, 14]),
        r"node 'findings' \(Sigmoid\).*several labels",
    ),
    "sigmoids, put together": (
        lambda x: tf.concat(
            [tf.nn.sigmoid(tf.matmul(tf.reshape(x, [-1, 60]), weights(60, 1))) for _ in range(3)], 1
        ),
        r"\(Sigmoid\).*several labels",
    ),
    "one less a softmax": (lambda x: 1.0 - tf.nn.softmax(dense(x, 4)), "Softmax.*only at the end"),
    "softmax with a high bound": (
        lambda x: tf.maximum(tf.nn.softmax(dense(x, 4)), 0.3),
        "Softmax.*only at the end",
    ),
    "log of what is no probability": (lambda x: tf.math.log(dense(x, 4)), "Log.*of a softmax"),
    "two axes": (lambda x: tf.reshape(dense(x, 10), [-1, 2, 5]), "logits have one axis"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_another_end_is_refused_by_name(tmp_path: Path, name: str) -> None:
    body, message = REFUSED[name]
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: end(body(x)))
    with pytest.raises(ModelError, match=message) as refusal:
        import_network(path, "input", "end")
    assert "--output_node" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_layers_themselves_keep_what_stands_at_the_end(tmp_path: Path) -> None:
    """Who wants values, no label, must not find a softmax dropped."""
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: end(tf.reshape(tf.nn.softmax(dense(x, 10)), [-1, 1, 10])))
    with pytest.raises(ModelError, match="Softmax, which is not supported"):
        network_of(read_graph(path, "input", "end"))
    write_graph(path, lambda x: end(pooled(x)))
    with pytest.raises(ModelError, match="logits have one axis"):
        network_of(read_graph(path, "input", "end"))


def test_a_number_without_an_axis_is_refused_inside(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: end(dense(x, 1)[:, 0] * np.float32(2)))
    with pytest.raises(ModelError, match=r"node 'mul' \(Mul\) takes one number per image"):
        import_network(path, "input", "end")


@pytest.mark.parametrize("kind", ["softmax", "binary", "channels"])
def test_keras_classifiers(kind: str) -> None:
    images = keras.Input((6, 6, 1))
    x = L.Conv2D(4, 3, activation="relu")(images)
    if kind == "softmax":
        x = L.Reshape((1, 1, 10))(L.Activation("softmax")(L.Dense(10)(L.Flatten()(x))))
    elif kind == "binary":
        x = L.Reshape(())(L.Dense(1, activation="sigmoid")(L.Flatten()(x)))
    else:
        x = L.Softmax(axis=1)(L.Permute((3, 1, 2))(L.Conv2D(10, 4)(x)))
    network = network_of_keras(keras.Model(images, x), "model")
    assert network.output.shape == (2 if kind == "binary" else 10,)


def labels_of(path: Path, body: Body) -> tuple[Any, Network]:
    """What a graph computes, and its layers where several labels are asked for."""
    run = write_graph(path, lambda x: end(body(x)))
    graph = replace(read_graph(path, "input", "end"), multi_label=True)
    return run, classifier_of(graph)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: tf.nn.sigmoid(dense(x, 5)),
        lambda x: tf.reshape(tf.nn.sigmoid(dense(x, 5)), [-1, 1, 5]),
        lambda x: dense(x, 5),
    ],
    ids=["sigmoids", "reshaped", "logits"],
)
def test_labels_are_read_where_they_are_asked_for(tmp_path: Path, body: Body) -> None:
    run, network = labels_of(tmp_path / "graph.pb", body)
    images = np.random.default_rng(3).normal(0, 1, (5, 5, 6, 2)).astype(np.float32)
    outputs = run(images).reshape(5, 5)
    half = 0.5 if outputs.min() >= 0 else 0.0
    assert network.output.shape == (5,)
    assert np.array_equal(evaluate_float(network, images) > 0, outputs > half)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda x: tf.nn.softmax(dense(x, 4)), "Softmax.*one label.*leave out --task"),
        (lambda x: tf.nn.sigmoid(dense(x, 1)), "1 output: one label is a class of two"),
        (REFUSED["sigmoids, put together"][0], "put the logits together first"),
    ],
    ids=["softmax", "one output", "put together"],
)
def test_no_labels_are_read_from_another_end(tmp_path: Path, body: Body, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        labels_of(tmp_path / "graph.pb", body)
