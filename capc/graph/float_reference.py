"""The float model in NumPy: what TensorFlow computes, without TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import Float64
from capc.graph.kernels import check_images
from capc.graph.layers import Network

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
        values[layer.name] = layer.real([values[name] for name in layer.inputs])
    return values


def _evaluate(network: Network, images: Float64) -> Float64:
    return float_layers(network, images)[network.output.name]
