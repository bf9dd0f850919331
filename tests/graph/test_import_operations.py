"""Slices, repeats, products, extremes, reductions: each equals Keras, and its integers follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capc.errors import ModelError
from capc.fixed_point import FixedPoint
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import BoundedRelu, Gather, MaxPool, Network, Relu, Square, Step
from capc.graph.quantize import quantize, required_ring_bits
from capc.graph.tensorflow.importer import network_of_keras
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.logits import tensorflow_logits
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.inference.reference import evaluate

tf: Any = load_tensorflow()
keras = tf.keras
L = keras.layers


def conv(x: Any, filters: int = 4, activation: str | None = None) -> Any:
    return L.Conv2D(filters, 3, padding="same", activation=activation)(x)


def of(function: Any) -> Any:
    """A layer between a convolution and a Dense layer."""
    return lambda x: L.Lambda(function)(conv(x))


def of_two(function: Any) -> Any:
    return lambda x: L.Lambda(lambda pair: function(*pair))([conv(x), conv(x)])


def squeeze_excite(x: Any) -> Any:
    y = conv(x, activation="relu")
    gate = L.Conv2D(4, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(y))
    return L.Multiply()([y, gate])


def split_and_join(x: Any) -> Any:
    first, second, third = L.Lambda(lambda v: tf.split(v, [1, 2, -1], axis=-1))(conv(x))
    return L.Concatenate()([third, first, conv(second, 2)])


def unstacked(x: Any) -> Any:
    rows = L.Lambda(lambda v: tf.unstack(v, axis=1))(conv(x))
    return L.Subtract()([rows[4], rows[1]])


def keras_prelu(**fields: Any) -> Any:
    layer = L.PReLU(alpha_initializer=keras.initializers.RandomUniform(0.1, 0.4, seed=1), **fields)
    return lambda x: layer(conv(x))


MODELS: dict[str, Any] = {
    "cropping": lambda x: L.Cropping2D(((1, 0), (0, 2)))(conv(x)),
    "strided slice": of(lambda v: v[:, 4:1:-1, ::2, 1]),
    "new axis and ellipsis": of(lambda v: v[:, tf.newaxis, ..., :2]),
    "slice": of(lambda v: tf.slice(v, [0, 1, 2, 0], [-1, 3, -1, 2])),
    "reverse": of(lambda v: tf.reverse(v, [1, -1])),
    "gather": of(lambda v: tf.gather(v, [[3, 0], [1, 1]], axis=-1)),
    "tile": of(lambda v: tf.tile(v, [1, 2, 1, 3])),
    "upsampling": lambda x: L.UpSampling2D((2, 3))(conv(x)),
    "split": split_and_join,
    "unstack": unstacked,
    "broadcast sum": of(lambda v: v + tf.reduce_mean(v, [1, 2], keepdims=True)),
    "sum of three": of(lambda v: tf.add_n([v, v[:, ::-1], v])),
    "negative": of(lambda v: tf.nn.relu(-v) - v),
    "constant minus": of(lambda v: 1.0 - tf.nn.relu(v)),
    "product": of_two(lambda v, w: tf.nn.relu(v) * w),
    "product of two uses": of(lambda v: v * v[..., ::-1] + v),
    "squeeze and excite": squeeze_excite,
    "maximum": of_two(tf.maximum),
    "minimum": of_two(tf.minimum),
    "absolute": of(tf.abs),
    "maximum with constants": of(lambda v: tf.maximum(v, [0.1, 0.0, -0.2, 0.3])),
    "minimum with a constant": of(lambda v: tf.minimum(v, 0.2)),
    "clip": of(lambda v: tf.clip_by_value(v, -0.3, 0.4)),
    "relu up to 1": lambda x: L.ReLU(1.0)(conv(x)),
    "leaky relu up to 1": lambda x: L.ReLU(1.0, negative_slope=0.2)(conv(x)),
    "prelu": keras_prelu(),
    "prelu of channels": keras_prelu(shared_axes=[1, 2]),
    "selu": lambda x: conv(conv(x, activation="selu")),
    "step": of(lambda v: tf.cast(v >= 0.1, tf.float32)),
    "at most": of(lambda v: tf.cast(v <= 0.1, tf.float32)),
    "above": of(lambda v: tf.cast(v > [0.1, 0.0, -0.2, 0.3], tf.float32)),
    "below": of(lambda v: tf.cast(v < 0.2, tf.float32)),
    "sign": of(tf.sign),
    "binary values": lambda x: conv(of(tf.sign)(conv(x)), activation="relu"),
    "global max": lambda x: L.GlobalMaxPooling2D()(conv(x)),
    "maxout": of(lambda v: tf.reduce_max(tf.reshape(v, (-1, 6, 6, 2, 2)), axis=-1)),
    "mean of channels": of(lambda v: tf.reduce_mean(v, axis=-1)),
    "sum of rows": of(lambda v: tf.reduce_sum(v, axis=1, keepdims=True)),
    "smallest": of(lambda v: tf.reduce_min(v, axis=[1, 3])),
    "padded channels": of(lambda v: tf.pad(v, [[0, 0], [1, 0], [0, 0], [1, 2]])),
    "dense on pixels": lambda x: L.Dense(3, activation="relu")(conv(x)),
    "normalised rows": lambda x: L.ReLU()(L.BatchNormalization(axis=1)(conv(x))),
}


def network_and_model(function: Any) -> tuple[Network, Any]:
    keras.utils.set_random_seed(7)
    images = keras.Input((6, 6, 2))
    values = L.LeakyReLU(0.5)(function(images))  # or all would become one matrix
    model = keras.Model(images, L.Dense(3)(L.Flatten()(values)))
    random = np.random.default_rng(2)
    for weight in model.weights:
        if "bias" in weight.path or "beta" in weight.path:
            weight.assign(random.normal(0, 0.2, weight.shape))
        elif "variance" in weight.path or "gamma" in weight.path:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return network_of_keras(model, "the model"), model


@pytest.mark.parametrize("name", MODELS)
def test_operation_equals_keras_and_its_integers_follow(name: str) -> None:
    network, model = network_and_model(MODELS[name])
    images = np.random.default_rng(1).uniform(0, 1, (4, *network.input.shape))
    logits = evaluate_float(network, images)
    assert np.abs(logits - model.predict_on_batch(images.astype(np.float32))).max() < 1e-5
    bits = required_ring_bits(network, 12, (0.0, 1.0))
    integers = evaluate(quantize(network, FixedPoint(bits, 12), (0.0, 1.0)), images)
    assert np.abs(np.ldexp(integers, -24) - logits).max() < 0.01


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cropping", {Gather}),
        ("product", {Relu, Square}),
        ("maximum", {MaxPool}),
        ("clip", {BoundedRelu}),
        ("relu up to 1", {BoundedRelu}),
        ("global max", {MaxPool}),
        ("below", {Step}),
    ],
)
def test_operation_is_few_layers(name: str, kinds: set[type]) -> None:
    network, _ = network_and_model(MODELS[name])
    watched = (Gather, MaxPool, Relu, BoundedRelu, Square, Step)
    assert {type(layer) for layer in network.layers if isinstance(layer, watched)} == kinds


def test_tensorflow_computes_a_model_with_splits(tmp_path: Path) -> None:
    _, model = network_and_model(split_and_join)
    model.export(tmp_path / "model", verbose=False)
    images = np.random.default_rng(1).uniform(0, 1, (4, 6, 6, 2)).astype(np.float32)
    logits = tensorflow_logits(tmp_path / "model", DEFAULT_INPUT, DEFAULT_OUTPUT, images)
    np.testing.assert_allclose(logits, model.predict_on_batch(images), atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_is_two_classes(activation: str | None, tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [keras.Input((5,)), L.Dense(6, activation="relu"), L.Dense(1, activation=activation)]
    )
    network = network_of_keras(model, "the model")
    x = np.random.default_rng(0).normal(0, 1, (200, 5))
    outputs = model.predict_on_batch(x)[:, 0]
    expected = outputs > (0.5 if activation else 0.0)
    assert 20 < expected.sum() < 180
    logits = evaluate_float(network, x)
    assert logits.shape == (200, 2)
    np.testing.assert_array_equal(logits.argmax(axis=1) == 1, expected)
    assert not logits[:, 0].any()
    model.save(tmp_path / "model.keras")
    clear = tensorflow_logits(tmp_path / "model.keras", DEFAULT_INPUT, DEFAULT_OUTPUT, x)
    np.testing.assert_allclose(clear, logits, atol=1e-5)
    assert [type(layer).__name__ for layer in network.layers] == ["Input", "Dense", "Relu", "Dense"]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda v: v[:1], r"\(StridedSlice\) cuts the batch axis"),
        (lambda v: tf.tile(v, [2, 1, 1, 1]), r"\(Tile\) repeats by"),
        (lambda v: tf.reverse(v, [0]), r"\(ReverseV2\) cuts the batch axis"),
        (lambda v: tf.reduce_max(v, axis=0, keepdims=True), r"mixes the images of a batch"),
        (lambda v: tf.reshape(tf.reduce_sum(tf.reshape(v, (-1, 4)), 1), (-1, 6, 6)), "Reshape"),
        (tf.exp, r"type Exp"),
        (lambda v: v / tf.reduce_sum(v, axis=-1, keepdims=True), r"\(RealDiv\).*constant"),
    ],
)
def test_what_has_no_layers_is_refused(function: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        network_and_model(of(function))


def test_rows_merged_into_the_batch_are_for_a_product_alone() -> None:
    """Axis 1 of the merged rows is not axis 1 of an image: nothing else may look at it."""

    def mixed(v: Any) -> Any:
        rows = tf.reshape(v, (tf.shape(v)[0] * 36, 4))
        return tf.reshape(tf.reduce_max(rows, axis=1), (-1, 6, 6))

    with pytest.raises(ModelError, match="rows were merged into the batch"):
        network_and_model(of(mixed))


def test_a_comparison_at_its_bound_is_tensorflows() -> None:
    """Exactly at the bound, and at zero, where > and >= part."""
    x = np.array([[-1.0, 0.25, 0.5, 0.0]])
    for function in (
        lambda v: tf.cast(v >= 0.25, tf.float32),
        lambda v: tf.cast(v > 0.25, tf.float32),
        lambda v: tf.cast(v <= 0.25, tf.float32),
        lambda v: tf.cast(v > 0.25, tf.float32),
        tf.sign,
    ):
        images = keras.Input((4,))
        model = keras.Model(images, L.Lambda(function)(images))
        network = network_of_keras(model, "the model")
        expected = function(tf.constant(x, tf.float32)).numpy()
        np.testing.assert_array_equal(evaluate_float(network, x), expected)
