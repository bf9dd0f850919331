"""Constants beside values, margins, stacks, channels first, one image without its batch axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import import Body, conv, dense, tf, weights, write_graph

from capc.errors import ModelError
from capc.fixed_point import FixedPoint
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Add, Concat, Network
from capc.graph.quantize import quantize, required_ring_bits
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_keras
from capc.graph.tensorflow.verification import import_verified
from capc.inference.reference import evaluate

keras = load_keras()
L = keras.layers
v1 = tf.compat.v1
SHAPE = (5, 6, 2)


def images_of(network: Network) -> Any:
    return np.random.default_rng(6).normal(0, 1, (3, *network.input.shape)).astype(np.float32)


def integers_follow(network: Network, images: Any, logits: Any) -> None:
    bits = required_ring_bits(network, 12, (-4.0, 4.0))
    integers = quantize(network, FixedPoint(bits, 12), (-4.0, 4.0))
    found = integers.model_logits(evaluate(integers, np.clip(images, -4, 4)))
    np.testing.assert_allclose(found, logits, atol=0.05 * np.abs(logits).max())


def repeated(x: Any, *shape: int) -> Any:
    """A constant once for every image of the batch."""
    return tf.tile(tf.constant(weights(1, *shape)), [tf.shape(x)[0], *[1] * len(shape)])


# Images (5, 6, 2) to what a dense layer takes.
BODIES: dict[str, Body] = {
    "constant behind": lambda x: tf.concat([conv(x), repeated(x, 5, 6, 3)], -1),
    "constant before": lambda x: tf.concat([repeated(x, 2, 6, 2), conv(x)], 1),
    "constants around": lambda x: tf.concat([repeated(x, 5, 1, 2), x, repeated(x, 5, 2, 2)], 2),
    "constant between": lambda x: tf.concat([x, repeated(x, 5, 6, 1), tf.nn.relu(x)], -1),
    "several of each": lambda x: tf.concat(
        [repeated(x, 5, 1, 2), x, repeated(x, 5, 1, 2), repeated(x, 5, 2, 2), conv(x), x], 2
    ),
    "constant beside a vector": lambda x: tf.concat([dense(x, 4)[:, :4], repeated(x, 3)], 1),
    "class token": lambda x: tf.concat([repeated(x, 1, 2), tf.reshape(x, [-1, 30, 2])], 1),
    "ones behind": lambda x: tf.concat([x, tf.ones_like(x)], -1),
    "stack": lambda x: tf.stack([x, tf.nn.relu(x)], axis=1),
    "stack at the end": lambda x: tf.stack([x, conv(x), x], axis=-1),
    "stack with a constant": lambda x: tf.stack([repeated(x, *SHAPE), x], axis=2),
    "padded with ones": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], constant_values=1.0),
    "padded channels": lambda x: tf.pad(conv(x), [[0, 0]] * 3 + [[1, 2]], constant_values=-0.5),
    "mirrored": lambda x: tf.pad(conv(x), [[0, 0], [2, 1], [0, 3], [1, 0]], "REFLECT"),
    "mirrored with the edge": lambda x: tf.pad(x, [[0, 0], [5, 1], [0, 3], [0, 2]], "SYMMETRIC"),
    "offset, channels first": lambda x: tf.nn.bias_add(x, weights(5), data_format="NCHW"),
    "normalised, channels first": lambda x: v1.nn.fused_batch_norm(
        tf.transpose(conv(x, 4), [0, 3, 1, 2]), *(weights(4) for _ in range(3)),
        weights(4) ** 2 + 1, is_training=False, data_format="NCHW",
    )[0],
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_values_are_tensorflows(tmp_path: Path, name: str) -> None:
    path = tmp_path / "graph.pb"
    run = write_graph(path, lambda x: tf.identity(dense_last(BODIES[name](x)), name="end"))
    network, _ = import_verified(path, "input", "end", (-1.0, 1.0))
    images = images_of(network)
    expected = run(images)
    np.testing.assert_allclose(evaluate_float(network, images), expected, rtol=1e-4, atol=1e-4)
    integers_follow(network, images, expected)


def dense_last(x: Any) -> Any:
    size = int(np.prod(x.shape[1:]))
    return tf.matmul(tf.reshape(x, [-1, size]), weights(size, 3))


def test_a_constant_beside_one_value_takes_no_join(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: dense(BODIES["constants around"](x)))
    network = import_network(path)
    assert not any(isinstance(layer, Concat | Add) for layer in network.layers)


@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
@pytest.mark.parametrize("rate", [2, 3])
def test_dilated_convolutions_of_signals(tmp_path: Path, padding: str, rate: int) -> None:
    signal = L.Input((11, 3))
    x = L.Conv1D(4, 3, padding=padding, dilation_rate=rate, activation="relu")(signal)
    model = keras.Model(signal, L.Dense(2)(L.Flatten()(L.Conv1D(2, 2, dilation_rate=2)(x))))
    path = tmp_path / "model.keras"
    model.save(path)
    network, _ = import_verified(path, "input", "output", (-1.0, 1.0))
    images = images_of(network)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(evaluate_float(network, images), expected, rtol=1e-4, atol=1e-4)


# A placeholder that takes one image: its batch axis may go, and come back.
BARE: dict[str, Body] = {
    "squeezed by number": lambda x: tf.squeeze(dense_last(x), [0]),
    "squeezed whole": lambda x: tf.squeeze(dense_last(x)),
    "squeezed, then softmax": lambda x: tf.nn.softmax(tf.squeeze(dense_last(x), [0])),
    "flattened": lambda x: tf.reshape(dense_last(x), [-1]),
    "given its length": lambda x: tf.reshape(dense_last(x), [3]),
    "first of one": lambda x: dense_last(x)[0],
    "inside": lambda x: dense_last(tf.expand_dims(tf.nn.relu(tf.squeeze(conv(x), [0])), 0)),
    "inside, with constants": lambda x: dense_last(
        tf.reshape(2.0 * tf.squeeze(x, 0) + weights(5, 6, 2), [1, -1])
    ),
    "flat and back": lambda x: dense_last(tf.reshape(tf.nn.relu(tf.reshape(x, [60])), [1, 60])),
    "of size one elsewhere": lambda x: tf.squeeze(tf.reshape(dense_last(x), [1, 1, 3, 1])),
}


@pytest.mark.parametrize("name", BARE)
def test_one_image_without_its_batch_axis(tmp_path: Path, name: str) -> None:
    path = tmp_path / "graph.pb"
    with tf.Graph().as_default() as graph:
        given = v1.placeholder(tf.float32, (1, *SHAPE), name="input")
        output = tf.identity(BARE[name](given), name="end")
        path.write_bytes(graph.as_graph_def().SerializeToString())
        network, _ = import_verified(path, "input", "end", (-1.0, 1.0))
        images = images_of(network)
        with v1.Session() as session:
            runs = [session.run(output, {given: images[i : i + 1]}) for i in range(3)]
    found = evaluate_float(network, images)
    expected = np.stack(runs).reshape(3, 3)
    if "softmax" in name:
        found = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def bare_product(x: Any) -> Any:
    """Rows of the one image times a matrix: where its axes are counted from 0."""
    return tf.matmul(tf.squeeze(conv(x, 1), [0, 3]), weights(6, 3))


REFUSED: dict[str, tuple[int | None, Body, str]] = {
    "product without the axis": (1, lambda x: bare_product(x)[0], "MatMul.*without its batch axis"),
    "all images but the last": (None, lambda x: dense(x[:-1]), "StridedSlice.*cuts the batch axis"),
    "all of four but the last": (4, lambda x: dense(x[:-1]), "StridedSlice.*cuts the batch axis"),
    "the last image": (None, lambda x: dense(x[-1:]), "StridedSlice.*cuts the batch axis"),
    "stacked before the batch": (
        None,
        lambda x: dense(tf.reduce_sum(tf.stack([x, x]), 0)),
        "Pack.*before the batch",
    ),
    "a constant for each image": (
        None,
        lambda x: dense(tf.concat([x, tf.constant(weights(3, *SHAPE))], -1)),
        "ConcatV2.*may differ between the images",
    ),
    "a constant for each of four": (
        4,
        lambda x: dense(tf.stack([x, tf.constant(weights(4, *SHAPE))], 1)),
        "Pack.*another constant for each of the 4 images",
    ),
    "joined along the batch": (None, lambda x: dense(tf.concat([x, x], 0)), "batch may not be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_touches_the_batch_is_refused_by_name(tmp_path: Path, name: str) -> None:
    batch, body, message = REFUSED[name]
    path = tmp_path / "graph.pb"
    with tf.Graph().as_default() as graph:
        tf.identity(body(v1.placeholder(tf.float32, (batch, *SHAPE), name="input")), name="end")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match=message):
        import_network(path, "input", "end")


def test_the_whole_batch_by_its_shape_is_no_cut(tmp_path: Path) -> None:
    """What the placeholder's own shape says is the whole batch; a literal -1 is not."""
    path = tmp_path / "graph.pb"
    run = write_graph(
        path, lambda x: dense(tf.ensure_shape(x[: tf.shape(x)[0], 1:], [None, 4, 6, 2]))
    )
    network = import_network(path)
    images = images_of(network)
    np.testing.assert_allclose(evaluate_float(network, images), run(images), rtol=1e-4, atol=1e-4)
