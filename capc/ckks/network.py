"""Networks on CKKS ciphertexts, without interaction: polynomial activations only.

The batch lies in the slots, one image a slot (two under complex packing), one ciphertext a value.
A rehearsal on shapes and bounds goes before: it finds missing levels, values that may leave the
modulus, and the precision of the result, without a key or a ciphertext.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from capc.ckks.context import CkksContext
from capc.ckks.slots import fresh
from capc.ckks.tensor import CipherTensor
from capc.errors import ConfigError, ModelError
from capc.fixed_point import Float64
from capc.graph.layers import (
    KINDS,
    Add,
    AvgPool,
    Bias,
    Conv2D,
    Dense,
    Layer,
    Movement,
    Negative,
    Network,
    Rescale,
    Square,
    WeightedLayer,
)

_MOST_ROW_ENTRIES = 1 << 21  # of one banded matrix

Watch = Callable[[Layer, CipherTensor], None]
Fallback = Callable[[Layer, CipherTensor], CipherTensor]


@dataclass(frozen=True)
class HomomorphicPlan:
    """What a rehearsal found.

    `levels` of `levels_there` are used; `bits` is the precision: -log2 of the largest error of a
    result, in its own units.
    """

    is_complex: bool
    levels: int
    levels_there: int
    bits: float


def rehearse(
    network: Network,
    context: CkksContext,
    value_range: tuple[float, float],
    *,
    is_complex: bool = False,
    sample: Float64 | None = None,
) -> HomomorphicPlan:
    """Check a network against parameters, for pixels in `value_range`.

    `sample`, images (n, H, W, C), makes the stated precision one for images like these.
    ConfigError names the layer for which levels, room or precision are missing; ModelError one
    that is no polynomial.
    """
    require_polynomial(network)
    shape = network.input.shape
    query = fresh(context, shape, value_range, sample=sample, is_complex=is_complex)
    result = evaluate_encrypted(network, query).at_last_level()
    if result.precision_bits < 1:
        raise ConfigError(
            f"the result would be off by up to {2.0**-result.precision_bits:.3g}: the scale "
            f"{context.scale:.0f} is too small for the network; use parameters with larger primes"
        )
    return HomomorphicPlan(is_complex, result.depth, context.levels, result.precision_bits)


def evaluate_encrypted(
    network: Network,
    query: CipherTensor,
    watch: Watch | None = None,
    fallback: Fallback | None = None,
) -> CipherTensor:
    """The logits of an encrypted batch; `query` has the shape of one image.

    `watch` sees each layer's output. `fallback` computes what is no polynomial; without it that
    is a ModelError. ConfigError names the layer that lacks a level or room.
    """
    values: dict[str, CipherTensor] = {network.input.name: query}
    for layer in network.layers[1:]:
        inputs = [values[name] for name in layer.inputs]
        try:
            values[layer.name] = _evaluate(layer, inputs, fallback)
        except ConfigError as error:
            needed, given = multiplicative_depth(network), query.context.levels
            advice = "use a smaller scale, or larger primes"
            if needed > given:
                advice = (
                    "use more primes, such as config/he_seal_ckks_config_N13_L8.json, or fewer "
                    "multiplications in a row"
                )
            raise ConfigError(
                f"layer '{layer.name}' ({type(layer).__name__}): {error}; the network needs "
                f"{needed} levels, the parameters have {given}: {advice}"
            ) from None
        if watch is not None:
            watch(layer, values[layer.name])
    return values[network.output.name]


def require_polynomial(network: Network) -> None:
    """ModelError, naming the layer, unless every layer is a polynomial."""
    for layer in network.layers[1:]:
        if not is_polynomial(layer):
            raise ModelError(
                f"layer '{layer.name}' ({type(layer).__name__}) is no polynomial, and CKKS alone "
                f"cannot evaluate it; supported are {POLYNOMIAL}: enable garbled circuits "
                "(enable_gc), or replace the activation by a square"
            )


def is_polynomial(layer: Layer) -> bool:
    """Whether CKKS can evaluate a layer."""
    return isinstance(layer, Movement) or type(layer) in _RULES


def multiplicative_depth(network: Network) -> int:
    """The most multiplications in a row, each of which takes a level."""
    depth: dict[str, int] = {network.input.name: 0}
    for layer in network.layers[1:]:
        own = isinstance(layer, WeightedLayer | AvgPool | Square)
        depth[layer.name] = max(depth[name] for name in layer.inputs) + own
    return max(depth.values())


def _evaluate(layer: Layer, inputs: list[CipherTensor], fallback: Fallback | None) -> CipherTensor:
    if isinstance(layer, Movement):
        return CipherTensor.joined(lambda *arrays: layer.moved(arrays), inputs)
    rule = _RULES.get(type(layer))
    if rule is not None:
        return rule(layer, inputs)
    if fallback is not None:
        return fallback(layer, inputs[0])
    raise ModelError(f"layer '{layer.name}' ({type(layer).__name__}) is no polynomial")


def _weighted(layer: WeightedLayer, inputs: list[CipherTensor]) -> CipherTensor:
    return inputs[0].linear(_applied(layer), layer.weights).plus_constant(layer.offsets)


def _bias(layer: Bias, inputs: list[CipherTensor]) -> CipherTensor:
    return inputs[0].plus_constant(np.asarray(layer.value, dtype=np.float64))


def average(layer: AvgPool, tensor: CipherTensor) -> CipherTensor:
    """Average pooling: the sum over windows, and one factor per pixel for their sizes."""
    channels = tensor.shape[2]
    ones = np.ones((*layer.window, 1, channels))
    summing = Conv2D(
        layer.name,
        layer.inputs,
        layer.shape,
        ones,
        np.zeros(channels),
        strides=layer.strides,
        padding=layer.padding,
        groups=channels,
    )
    sums = tensor.summed(_applied(summing), ones)
    return sums.times_constant(1.0 / layer.counts(tensor.shape))


_RULES: dict[type[Layer], Callable[[Any, list[CipherTensor]], CipherTensor]] = {
    Conv2D: _weighted,
    Dense: _weighted,
    AvgPool: lambda layer, inputs: average(layer, inputs[0]),
    Add: lambda _layer, inputs: inputs[0].plus(inputs[1]),
    Bias: _bias,
    Negative: lambda _layer, inputs: inputs[0].negated(),
    Square: lambda _layer, inputs: inputs[0].squared(),
    Rescale: lambda _layer, inputs: inputs[0],
}
"""How CKKS evaluates a layer; what is neither here nor a Movement is refused by its name."""

POLYNOMIAL = ", ".join(
    name
    for name, kind in KINDS.items()
    if (kind in _RULES and kind is not Rescale) or issubclass(kind, Movement)
)


def _applied(layer: WeightedLayer) -> Callable[[Float64, Float64], Float64]:
    def apply(values: Float64, weights: Float64) -> Float64:
        if isinstance(layer, Conv2D) and layer.groups == 1:
            width = values.shape[2] + sum(layer.padding[1])
            entries = weights.shape[0] * weights.shape[2] * width * math.prod(layer.shape[1:])
            if entries <= _MOST_ROW_ENTRIES:
                return convolve_rows(layer, values, weights)
        result: Float64 = layer.product(values, weights, np.matmul)
        return result

    return apply


def convolve_rows(layer: Conv2D, values: Float64, kernel: Float64) -> Float64:
    """`layer` on images (n, H, W, C), one matrix product per row of the output, without bias.

    Every output row is the same banded matrix times its kh input rows: more multiplications than
    unfolding windows, and far fewer numbers moved.
    """
    padded = np.pad(values, ((0, 0), *layer.padding, (0, 0)))
    rows, columns, depth, filters = kernel.shape
    height, width = layer.shape[:2]
    band = np.zeros((rows, padded.shape[2], depth, width, filters))
    for place in range(width):
        for column in range(columns):
            source = place * layer.strides[1] + column * layer.dilations[1]
            band[:, source, :, place, :] = kernel[:, column]
    matrix = band.reshape(-1, width * filters)
    result = np.empty((len(values), height, width, filters))
    reach = (rows - 1) * layer.dilations[0] + 1
    for line in range(height):
        top = line * layer.strides[0]
        window = padded[:, top : top + reach : layer.dilations[0]].reshape(len(values), -1)
        result[:, line] = (window @ matrix).reshape(len(values), width, filters)
    return result
