"""The private models of the parties, as Keras networks to train.

CryptoNets (Gilad-Bachrach et al., ICML 2016, section 5.1) has 3x3 average pools on both sides of
its second convolution. Everything between the two activations is linear, so that one dense layer
980 -> 100 does its work at inference; `capc.graph` folds it when it imports the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from capc.errors import ConfigError
from capc.graph.tensorflow.loader import load_keras

ImageShape = tuple[int, ...]
DENSE = "dense"  # one hidden layer, for samples of any shape
SIGNAL = "conv1d"  # convolutions along the first axis, for samples in time
Build = Callable[[ImageShape, int], Any]


def build_model(model_type: str, image_shape: ImageShape, num_classes: int) -> Any:
    """An untrained Keras model from images (n, H, W, C) to logits (n, num_classes).

    Raises ConfigError for an unknown type, and for one of convolutions where the data has no
    images (H, W, C). The types of ANY_SHAPE take samples of any shape.
    """
    if model_type not in MODEL_TYPES:
        raise ConfigError(
            f"unknown --model_type '{model_type}'; known are {', '.join(sorted(MODEL_TYPES))}"
        )
    if len(image_shape) != 3 and model_type not in ANY_SHAPE:
        raise ConfigError(
            f"{model_type} takes images (height, width, channels), and the data has samples of "
            f"shape {image_shape}; use the model type {DENSE}, or {SIGNAL} for signals"
        )
    return MODEL_TYPES[model_type](image_shape, num_classes)


def _cryptonets(activation: Callable[[Any], Any]) -> Build:
    def build(image_shape: ImageShape, num_classes: int) -> Any:
        layers = load_keras().layers
        pool = {"pool_size": 3, "strides": 1, "padding": "same"}
        return _sequential(
            image_shape,
            [
                layers.Conv2D(5, 5, strides=2, padding="same", name="conv1"),
                layers.Activation(activation, name="act1"),
                layers.AveragePooling2D(name="pool1", **pool),
                layers.Conv2D(50, 5, strides=2, padding="same", name="conv2"),
                layers.AveragePooling2D(name="pool2", **pool),
                layers.Flatten(name="flatten"),
                layers.Dense(100, name="dense1"),
                layers.Activation(activation, name="act2"),
                layers.Dense(num_classes, name="output"),
            ],
        )

    return build


def _mlp(image_shape: ImageShape, num_classes: int) -> Any:
    layers = load_keras().layers
    return _sequential(
        image_shape,
        [
            layers.Conv2D(5, 5, strides=2, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(3, strides=3, padding="valid", name="pool1"),
            layers.Conv2D(50, 5, strides=2, padding="same", activation="relu", name="conv2"),
            layers.Flatten(name="flatten"),
            layers.Dense(100, activation="relu", name="dense1"),
            layers.Dense(num_classes, name="output"),
        ],
    )


def _dense(image_shape: ImageShape, num_classes: int) -> Any:
    layers = load_keras().layers
    return _sequential(
        image_shape,
        [
            layers.Flatten(name="flatten"),
            layers.Dense(100, activation="relu", name="dense1"),
            layers.Dense(num_classes, name="output"),
        ],
    )


def _signal(image_shape: ImageShape, num_classes: int) -> Any:
    """Two convolutions in time; a sample is (length,) or (length, channels), or more axes."""
    layers = load_keras().layers
    length, channels = image_shape[0], math.prod(image_shape[1:])
    same = {"strides": 2, "padding": "same", "activation": "relu"}
    return _sequential(
        image_shape,
        [
            layers.Reshape((length, channels), name="in_time"),
            layers.Conv1D(8, 7, name="conv1", **same),
            layers.MaxPooling1D(2, padding="same", name="pool1"),
            layers.Conv1D(16, 5, name="conv2", **same),
            layers.Flatten(name="flatten"),
            layers.Dense(50, activation="relu", name="dense1"),
            layers.Dense(num_classes, name="output"),
        ],
    )


def _sequential(image_shape: ImageShape, layers: list[Any]) -> Any:
    keras = load_keras()
    return keras.Sequential([keras.Input(image_shape, name="input"), *layers])


def _relu(values: Any) -> Any:
    return load_keras().ops.relu(values)


def _square(values: Any) -> Any:
    return values * values


MODEL_TYPES: dict[str, Build] = {
    "cryptonets-relu": _cryptonets(_relu),
    "cryptonets": _cryptonets(_square),
    "mlp": _mlp,
    DENSE: _dense,
    SIGNAL: _signal,
}
ANY_SHAPE = (DENSE, SIGNAL)
