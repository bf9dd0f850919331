"""From a float network to one that the protocol can run: the ring, the integers, the checks."""

from __future__ import annotations

from capc.graph.costs import linear_plans
from capc.graph.encrypted import require_supported
from capc.graph.layers import QuantizedNetwork
from capc.graph.ring_choice import FRACTION_BITS, ring_for, to_ring, why_fewer_bits
from capc.he.parameters import EncryptionParameters

__all__ = ["FRACTION_BITS", "check_encrypted", "ring_for", "to_ring", "why_fewer_bits"]


def check_encrypted(network: QuantizedNetwork, parameters: EncryptionParameters) -> None:
    """Raise unless the network can be evaluated encrypted, exactly and hiding its weights.

    ModelError names a layer without a circuit, ConfigError the layer and the figure for which the
    parameters are too small. For the model's owner: the reason may depend on the weights.
    """
    require_supported(network)
    linear_plans(network, parameters)
