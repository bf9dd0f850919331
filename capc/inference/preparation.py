"""From a float network to one that the protocol can run: the ring, the integers, the checks."""

from __future__ import annotations

from capc.errors import ConfigError, ModelError, RangeError
from capc.fixed_point import FixedPoint
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.quantize import quantize, required_ring_bits
from capc.he import planner
from capc.he.parameters import EncryptionParameters
from capc.inference.layout import LINEAR, linear_shape, linear_weight, require_supported

FRACTION_BITS = 12  # CryptoNets-ReLU's logits within 0.03 of floating point, 0.008 typically
FEWEST_FRACTION_BITS = 4


def to_ring(
    network: Network, input_range: tuple[float, float], max_logit: float
) -> QuantizedNetwork:
    """The network as integers in the smallest public ring that holds its values and `max_logit`.

    FRACTION_BITS fractional bits where a ring holds them, else as many as fit. Raises RangeError or
    ConfigError, naming the layer, where FEWEST_FRACTION_BITS are too many.
    """
    for fraction_bits in range(FRACTION_BITS, FEWEST_FRACTION_BITS - 1, -1):
        try:
            return quantize(
                network, ring_for(network, fraction_bits, input_range, max_logit), input_range
            )
        except (RangeError, ConfigError):
            if fraction_bits == FEWEST_FRACTION_BITS:
                raise
    raise AssertionError("the last round returns or raises")


def ring_for(
    network: Network, fraction_bits: int, input_range: tuple[float, float], max_logit: float
) -> FixedPoint:
    """The smallest public ring for so many fractional bits; RangeError or ConfigError for none."""
    needed = required_ring_bits(network, fraction_bits, input_range, max_logit)
    limit = 1 << (needed - 1)
    return FixedPoint(planner.choose_ring_bits([(-limit, limit - 1)]), fraction_bits)


def check_encrypted(network: QuantizedNetwork, parameters: EncryptionParameters) -> None:
    """Raise unless the network can be evaluated encrypted, exactly and hiding its weights.

    ModelError names a layer without a circuit, ConfigError the layer and the figure for which the
    parameters are too small. For the model's owner: the reason may depend on the weights.
    """
    require_supported(network)
    layers = []
    for layer in network.layers:
        if isinstance(layer, LINEAR):
            try:
                shape = linear_shape(network, layer)
            except ValueError as error:
                raise ModelError(f"layer '{layer.name}': {error}") from None
            layers.append(planner.LinearLayer(layer.name, shape, linear_weight(layer)))
    planner.plan(layers, parameters, network.fixed_point)
