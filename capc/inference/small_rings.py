"""Maxima of small numbers, which look-ups compute in a ring of few bits.

What a ReLU gives lies between 0 and a public bound: its cap, or half of the ring less its shift.
Shares modulo t are shares modulo a smaller power of two as well, so that a maximum of such numbers
needs no more bits than their differences have. It ends with a look-up that gives shares modulo t. A
ReLU that only such maxima take may give the few bits alone.
"""

from __future__ import annotations

from collections.abc import Collection

from capc.graph.layers import (
    BoundedRelu,
    Concat,
    Gather,
    Layer,
    MaxPool,
    Pad,
    QuantizedNetwork,
    Relu,
    Reshape,
    Transpose,
)

MOVEMENTS = (MaxPool, Reshape, Pad, Concat, Transpose, Gather)
"""Layers whose outputs are numbers of their inputs, or 0."""


def bits_of_maxima(network: QuantizedNetwork) -> dict[str, int]:
    """By name, the bits of each maximum of numbers from 0 on, where they are fewer than t's.

    Differences of the numbers fit as signed numbers. t/4 and its multiples are 0 in that ring, and
    so is the padded pixel of the large one (`layout.instance_words`).
    """
    found: dict[str, int] = {}
    largest: dict[str, int] = {}
    for layer in network.layers:
        bound = _largest(network, layer, largest)
        if bound is None:
            continue
        largest[layer.name] = bound
        bits = bound.bit_length() + 1
        if isinstance(layer, MaxPool) and bits <= network.fixed_point.ring_bits - 2:
            found[layer.name] = bits
    return found


def _largest(network: QuantizedNetwork, layer: Layer, largest: dict[str, int]) -> int | None:
    """A public bound of what the layer gives, from those of its inputs, or None."""
    if isinstance(layer, (Relu, BoundedRelu)):
        bits = network.fixed_point.ring_bits - 1 - network.scales(layer).shift
        bound = (1 << bits) - 1
        return min(bound, int(layer.cap)) if isinstance(layer, BoundedRelu) else bound
    if isinstance(layer, MOVEMENTS) and all(name in largest for name in layer.inputs):
        return max(largest[name] for name in layer.inputs)
    return None


def bits_of_outputs(network: QuantizedNetwork, transfers: Collection[str]) -> dict[str, int]:
    """By name, how few bits suffice of layers by transfers: of maxima, and of ReLUs before them.

    Of a maximum the bits that it is computed in, of a ReLU those that its outputs are shared in.
    """
    maxima = {name: bits for name, bits in bits_of_maxima(network).items() if name in transfers}
    found = dict(maxima)
    for layer in network.layers[:-1]:
        if isinstance(layer, (Relu, BoundedRelu)) and layer.name in transfers:
            users = [other.name for other in network.layers if layer.name in other.inputs]
            if users and all(user in maxima for user in users):
                found[layer.name] = max(maxima[user] for user in users)
    return found
