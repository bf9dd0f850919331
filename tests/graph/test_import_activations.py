"""Smooth activations as Keras writes them become piecewise-linear layers of the right function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from capc.fixed_point import FixedPoint
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import PiecewiseLinear
from capc.graph.piecewise import FUNCTIONS, max_error
from capc.graph.quantize import quantize, required_ring_bits
from capc.graph.tensorflow.importer import network_of_keras
from capc.graph.tensorflow.loader import load_tensorflow
from capc.inference.reference import evaluate

tf: Any = load_tensorflow()
keras = tf.keras
L = keras.layers

ACTIVATIONS = {
    "gelu": keras.activations.gelu,
    "gelu_tanh": lambda x: keras.activations.gelu(x, approximate=True),
    "swish": keras.activations.swish,
    "mish": keras.activations.mish,
    "hard_swish": keras.activations.hard_swish,
    "sigmoid": keras.activations.sigmoid,
    "tanh": keras.activations.tanh,
    "softplus": keras.activations.softplus,
    "elu": keras.activations.elu,
}


def model_with(activation: Any) -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((5,)), L.Dense(6, activation=activation), L.Dense(3), L.Softmax()]
    )


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activation_inside_a_classifier(function: str) -> None:
    model = model_with(ACTIVATIONS[function])
    network = network_of_keras(model, "the model")
    found = [layer for layer in network.layers if isinstance(layer, PiecewiseLinear)]
    assert [layer.function for layer in found] == [function]
    x = np.random.default_rng(0).uniform(-4, 4, (200, 5))
    logits = evaluate_float(network, x)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(shares - model.predict(x, verbose=0)).max() < 1e-6
    bits = required_ring_bits(network, 12, (-4.0, 4.0))
    integers = evaluate(quantize(network, FixedPoint(bits, 12), (-4.0, 4.0)), x)
    gain = float(np.abs(network.layers[-1].weight).sum(axis=0).max())  # type: ignore[attr-defined]
    rounding = 0.01  # of weights and sums, far above 12 bits on six values
    assert (
        np.abs(np.ldexp(integers, -24) - logits).max() < gain * max_error(function, 12) + rounding
    )


def test_every_function_is_written_by_keras_or_by_its_layers() -> None:
    scaled = {"hard_sigmoid", "selu_unscaled"}  # read as another layer, times a factor
    assert set(FUNCTIONS) - set(ACTIVATIONS) == scaled
