"""The float model in NumPy: what TensorFlow computes, without TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.kernels import (
    check_images,
    linear_map,
    linear_weights,
    moved,
    window_counts,
    window_maxima,
    window_sums,
)
from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Conv2D,
    Dense,
    Layer,
    LeakyRelu,
    MaxPool,
    Negative,
    Network,
    PiecewiseLinear,
    Relu,
    Rescale,
    Square,
)
from capc.graph.piecewise import exact_function

_BATCH = 250


def evaluate_float(network: Network, images: ArrayLike) -> Float64:
    """Logits (n, C) of images (n, H, W, C) in float64.

    TensorFlow's float32 results differ from these by its own rounding, some 1e-6 of the largest
    activation. Raises ModelError where the shape is not the network's.
    """
    batch = np.asarray(images, dtype=np.float64)
    check_images(batch, network.input.shape)
    parts = [_evaluate(network, batch[i : i + _BATCH]) for i in range(0, len(batch), _BATCH)]
    return np.concatenate(parts)


def float_layers(network: Network, images: Float64) -> dict[str, Float64]:
    """The output of every layer by name, for images (n, H, W, C)."""
    values = {network.input.name: images}
    for layer in network.layers[1:]:
        values[layer.name] = float_layer(layer, [values[name] for name in layer.inputs])
    return values


def _evaluate(network: Network, images: Float64) -> Float64:
    return float_layers(network, images)[network.output.name]


def float_layer(layer: Layer, inputs: list[Float64]) -> Float64:
    """One layer on a batch, in float64."""
    result = moved(layer, inputs)
    if result is None:
        result = _arithmetic(layer, inputs)
    return result


def _arithmetic(layer: Layer, inputs: list[Float64]) -> Float64:
    x = inputs[0]
    if isinstance(layer, Conv2D | Dense):
        return np.asarray(linear_map(layer, x, linear_weights(layer), np.matmul) + layer.bias)
    if isinstance(layer, Add):
        return x + inputs[1]
    if isinstance(layer, Bias):
        return np.asarray(x + layer.value)
    if isinstance(layer, Negative):
        return -x
    if isinstance(layer, AvgPool):
        return window_sums(layer, x) / window_counts(layer, x.shape[1:])
    return _non_linear(layer, x)


def _non_linear(layer: Layer, x: Float64) -> Float64:
    if isinstance(layer, Relu | BoundedRelu):
        return np.clip(x, 0.0, layer.cap if isinstance(layer, BoundedRelu) else np.inf)
    if isinstance(layer, LeakyRelu):
        return np.where(x >= 0, x, layer.slope * x)
    if isinstance(layer, Square):
        return x * x
    if isinstance(layer, MaxPool):
        return window_maxima(layer, x)
    if isinstance(layer, PiecewiseLinear):
        return exact_function(layer.function, x)
    if isinstance(layer, Rescale):
        return x
    raise ModelError(
        f"layer '{layer.name}': {type(layer).__name__} cannot be evaluated; import the model again"
    )
