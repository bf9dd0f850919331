"""From a float network to one that the protocol can run: the ring, the integers, the checks."""

from __future__ import annotations

from capc.errors import ModelError
from capc.graph.layers import QuantizedNetwork
from capc.graph.ring_choice import FRACTION_BITS, ring_for, to_ring, why_fewer_bits
from capc.he import planner
from capc.he.parameters import EncryptionParameters
from capc.inference.layout import LINEAR, linear_shape, linear_weight, require_supported

__all__ = ["FRACTION_BITS", "check_encrypted", "ring_for", "to_ring", "why_fewer_bits"]


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
