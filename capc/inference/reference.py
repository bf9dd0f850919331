"""What a network computes in Z_t, in plain NumPy: the definition that every protocol must meet.

Every layer's output is kept as the signed representative in [-t/2, t/2). Linear layers X
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import RangeError
from capc.fixed_point import Float64, Int64
from capc.graph.kernels import check_images
from capc.graph.layers import Layer, QuantizedNetwork

_BATCH = 250


def evaluate(network: QuantizedNetwork, images: ArrayLike) -> Int64:
    """Logits (n, C) as signed integers with `network.fraction_bits[output]` fractional bits (2f).

    `images` are reals (n, H, W, C). Raises ModelError for another shape, and RangeError for a
    pixel outside the input range, for which no bound was proved.
    """
    encoded = encode_images(network, images)
    output = network.output.name
    parts = [
        evaluate_layers(network, encoded[start : start + _BATCH])[output]
        for start in range(0, len(encoded), _BATCH)
    ]
    return np.concatenate(parts)


def encode_images(network: QuantizedNetwork, images: ArrayLike) -> Int64:
    """Pixels as signed integers rint(x * 2^f), after a check of shape and range."""
    batch: Float64 = np.asarray(images, dtype=np.float64)
    check_images(batch, network.input.shape)
    low, high = network.input_range
    if not np.all((batch >= low) & (batch <= high)):
        raise RangeError(
            f"a pixel lies outside the input range [{low}, {high}] of the prepared model: "
            "normalise the images as the model's training did"
        )
    ring = network.fixed_point
    return ring.signed(ring.encode(batch))


def evaluate_layers(network: QuantizedNetwork, encoded: Int64) -> dict[str, Int64]:
    """Every layer's output by name, signed, for encoded images (n, H, W, C)."""
    values = {network.input.name: encoded}
    for layer in network.layers[1:]:
        values[layer.name] = evaluate_layer(network, layer, [values[name] for name in layer.inputs])
    return values


def evaluate_layer(network: QuantizedNetwork, layer: Layer, inputs: Sequence[Int64]) -> Int64:
    """One layer on a batch of signed inputs, signed."""
    return network.fixed_point.signed(layer.integer(inputs, network.scales(layer)))
