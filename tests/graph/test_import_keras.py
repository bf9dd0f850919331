"""Keras files and SavedModels: the classifiers of today, as they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capc.errors import ModelError
from capc.fixed_point import FixedPoint
from capc.graph.float_reference import evaluate_float
from capc.graph.quantize import quantize, required_ring_bits
from capc.graph.tensorflow.importer import import_network, network_of_keras
from capc.graph.tensorflow.loader import load_tensorflow
from capc.inference.reference import evaluate

tf: Any = load_tensorflow()
keras = tf.keras
L = keras.layers


def shaken(model: Any) -> Any:
    """The model with statistics and biases that are not zero and one."""
    random = np.random.default_rng(5)
    for weight in model.weights:
        shape = weight.shape
        if "variance" in weight.path or "gamma" in weight.path:
            weight.assign(random.uniform(0.5, 1.5, shape))
        elif any(part in weight.path for part in ("mean", "beta", "bias")):
            weight.assign(random.normal(0, 0.3, shape))
    return model


def small_net() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(3, 3, strides=2, padding="same", activation="relu"),
            L.Flatten(),
            L.Dense(5, activation="relu"),
            L.Dense(4),
        ]
    )


def everything_net() -> Any:
    images = keras.Input((12, 12, 3))
    x = L.Conv2D(8, 3, strides=2, use_bias=False)(L.ZeroPadding2D(1)(images))
    x = L.ReLU(6)(L.BatchNormalization()(x))
    y = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    y = L.LeakyReLU(0.1)(L.BatchNormalization()(y))
    y = L.Concatenate()([L.Add()([y, L.Conv2D(16, 1)(x)]), x])
    y = L.BatchNormalization()(L.MaxPooling2D(2)(y))
    y = L.Conv2D(12, 3, padding="same", groups=4, activation="relu")(y)
    y = L.Conv2D(12, 2, padding="same", dilation_rate=2, activation="relu")(y)
    y = L.Permute((3, 1, 2))(L.AveragePooling2D(2, strides=1, padding="same")(y))
    y = L.Permute((2, 3, 1))(y)
    y = L.BatchNormalization()(L.GlobalAveragePooling2D()(y))
    return keras.Model(images, L.Dense(10)(L.Dropout(0.3)(y)))


def residual_net() -> Any:
    images = keras.Input((16, 16, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(images)))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, strides=2, padding="same")(x)))
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(y))
    x = L.ReLU()(L.Add()([y, L.Conv2D(8, 1, strides=2)(x)]))
    return keras.Model(images, L.Dense(10)(L.Flatten()(L.AveragePooling2D(8)(x))))


def error_of(network: Any, model: Any) -> float:
    images = np.random.default_rng(1).uniform(0, 1, (3, *network.input.shape))
    expected = model.predict_on_batch(images.astype(np.float32))
    return float(np.abs(evaluate_float(network, images.astype(np.float32)) - expected).max())


@pytest.mark.parametrize("kind", ["model.keras", "model.h5", "saved"])
def test_each_way_to_save_gives_the_same(tmp_path: Path, kind: str) -> None:
    model = shaken(small_net())
    path = tmp_path / kind
    if kind == "saved":
        model.export(path, verbose=False)
    else:
        model.save(path)
    network = import_network(path)
    names = [type(layer).__name__ for layer in network.layers]
    assert names == ["Input", "Conv2D", "Relu", "Reshape", "Dense", "Relu", "Dense"]
    assert error_of(network, model) < 1e-5
    if kind == "saved":
        assert error_of(import_network(path / "saved_model.pb"), model) < 1e-5


@pytest.mark.parametrize("build", [everything_net, residual_net])
def test_classifier_equals_keras_and_its_integers_follow(build: Any) -> None:
    model = shaken(build())
    network = network_of_keras(model, "model")
    assert error_of(network, model) < 1e-5
    ring_bits = required_ring_bits(network, 12, (0.0, 1.0))
    integers = quantize(network, FixedPoint(ring_bits, 12), (0.0, 1.0))
    images = np.random.default_rng(2).uniform(0, 1, (3, *network.input.shape))
    logits = np.ldexp(evaluate(integers, images), -24)
    assert np.abs(logits - evaluate_float(network, images)).max() < 0.02


def test_mobilenet_v2_equals_keras() -> None:
    model = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None
    )
    network = network_of_keras(shaken(model), "MobileNetV2")
    kinds = {type(layer).__name__ for layer in network.layers}
    assert kinds == {"Input", "Conv2D", "BoundedRelu", "Add", "Reshape", "Dense"}
    assert error_of(network, model) < 1e-5


@pytest.mark.parametrize("kind", ["lambda", "class"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_layer_of_own_code_is_refused_and_runs_from_a_folder(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    def doubled(_: Any, x: Any) -> Any:
        return 2 * x

    unknown = type("Doubled", (L.Layer,), {"call": doubled, "__module__": "nowhere"})
    own = L.Lambda(lambda x: 2 * x) if kind == "lambda" else unknown()
    model = keras.Sequential([keras.Input((4,)), own, L.Dense(3)])
    model.save(tmp_path / f"model{suffix}")
    with pytest.raises(ModelError, match=r"own Python code.*model\.export\(folder\)"):
        import_network(tmp_path / f"model{suffix}")
    model.export(tmp_path / "folder", verbose=False)
    assert error_of(import_network(tmp_path / "folder"), model) < 1e-5


def test_models_with_two_inputs_or_none_readable_are_refused(tmp_path: Path) -> None:
    first, second = keras.Input((4,)), keras.Input((4,))
    two = keras.Model([first, second], L.Dense(2)(L.Add()([first, second])))
    with pytest.raises(
        ModelError,
        match=r"has 2 inputs \(.*name it with --input_node",
    ):
        network_of_keras(two, "two")
    for name in ("broken.keras", "broken.h5"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ModelError, match="is not a Keras model"):
            import_network(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="is not a SavedModel"):
        import_network(tmp_path / "folder")
