"""What a network computes in Z_t, in plain NumPy: the definition that every protocol must meet.

Every layer's output is kept as the signed representative in [-t/2, t/2). Linear layers are sums
of products modulo t; non-linear layers take the signed value, as the circuits do. `capc.graph
.layers` gives each layer's formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ModelError, RangeError
from capc.fixed_point import Float64, Int64
from capc.graph.exact import exact_matmul
from capc.graph.kernels import (
    average_factors,
    check_images,
    linear_map,
    linear_weights,
    moved,
    window_maxima,
    window_sums,
)
from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Concat,
    Conv2D,
    Dense,
    Layer,
    LeakyRelu,
    MaxPool,
    Negative,
    PiecewiseLinear,
    QuantizedNetwork,
    Relu,
    Rescale,
    Square,
)
from capc.graph.piecewise import apply_table, table_in

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
    bits = network.fraction_bits
    output_bits = bits[layer.name]
    if isinstance(layer, Add | Concat):
        inputs = [
            values << np.int64(output_bits - bits[name])
            for values, name in zip(inputs, layer.inputs, strict=True)
        ]
    result = moved(layer, inputs)
    if result is None:
        result = _linear(network, layer, inputs)
    if result is None:
        shift = bits[layer.inputs[0]] - output_bits
        result = _non_linear(layer, inputs[0], shift, network.fixed_point.fraction_bits)
    return network.fixed_point.signed(result)


def _linear(network: QuantizedNetwork, layer: Layer, inputs: Sequence[Int64]) -> Int64 | None:
    x = inputs[0]
    if isinstance(layer, Conv2D | Dense):
        return np.asarray(linear_map(layer, x, linear_weights(layer), exact_matmul) + layer.bias)
    if isinstance(layer, Add):
        return x + inputs[1]
    if isinstance(layer, Bias):
        return np.asarray(x + layer.value)
    if isinstance(layer, Negative):
        return -x
    if isinstance(layer, AvgPool):
        factors = average_factors(layer, x.shape[1:], network.fixed_point.fraction_bits)
        return np.asarray(window_sums(layer, x) * factors)
    return None


def _non_linear(layer: Layer, x: Int64, shift: int, fraction_bits: int) -> Int64:
    drop = np.int64(shift)
    if isinstance(layer, Relu | BoundedRelu):
        kept = np.maximum(x, 0) >> drop
        return np.minimum(kept, int(layer.cap)) if isinstance(layer, BoundedRelu) else kept
    if isinstance(layer, LeakyRelu):
        return _leaky(x, int(layer.slope), shift, fraction_bits)
    if isinstance(layer, Square):
        return _square(x >> drop, fraction_bits)
    if isinstance(layer, MaxPool):
        return window_maxima(layer, x)
    if isinstance(layer, PiecewiseLinear):
        return apply_table(table_in(layer), x >> drop)
    if isinstance(layer, Rescale):
        return x >> drop
    raise ModelError(f"layer '{layer.name}': {type(layer).__name__} has no integer form")


def _square(x: Int64, fraction_bits: int) -> Int64:
    """x * x >> f for x = 2^f high + low, modulo 2^64 although x * x may pass 2^63."""
    bits = np.int64(fraction_bits)
    high, low = x >> bits, x & np.int64((1 << fraction_bits) - 1)
    return np.asarray(((high * high) << bits) + 2 * high * low + ((low * low) >> bits))


def _leaky(x: Int64, slope: int, shift: int, fraction_bits: int) -> Int64:
    """x >> shift above zero, (slope * x) >> (shift + f) below, free of overflow.

    slope * x may pass 2^63, so x is cut at f bits: slope * high is whole, the rest is floored.
    """
    bits = np.int64(fraction_bits)
    high, low = x >> bits, x & np.int64((1 << fraction_bits) - 1)
    sloped = (slope * high + ((slope * low) >> bits)) >> np.int64(shift)
    return np.where(x >= 0, x >> np.int64(shift), sloped)
