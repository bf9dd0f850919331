"""How a session weighs the bytes of its encrypted layers against work: by the line's rate.

Both parties come to the same weighing from the plan, the parameters and the rate, which is told
with the plan. All of it is public.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from capc.errors import ProtocolError
from capc.graph.layers import QuantizedNetwork, WeightedLayer
from capc.he import rns
from capc.he.cheapest_packing import Weighing, cheapest
from capc.he.context import context
from capc.he.merging import keys_bytes, most_merged
from capc.he.parameters import EncryptionParameters
from capc.inference.link import WITHIN_A_MACHINE, Link
from capc.inference.protocols import linear_shape

_UNIT_SECONDS = 33e-6  # a unit of cheapest_packing, at degree 8192 with two primes
_KEY_SECONDS = 3e-3  # likewise: one automorphism's key, made and taken
# Bits a second of any faster line, and of one of which nothing is known. Within a machine queries
# take no longer for it than by work alone (docs/homomorphic-encryption.md), and fewer bytes.
_FASTEST = 1e9


def weighing_of(
    network: QuantizedNetwork, parameters: EncryptionParameters, link: Link
) -> Weighing:
    """The weighing with which one query and its keys take the least time over the line.

    A line counts as one of a gigabit at most. ValueError where no packing fits.
    """
    link = Link(0.0, min(link.rate, _FASTEST))
    setting = context(parameters, network.fixed_point.ring_bits)
    degree, primes = setting.degree, len(setting.primes)
    unit = _UNIT_SECONDS * degree / 8192 * primes / 2
    polynomial = link.seconds(rns.packed_size(setting.primes, degree), 0) / unit
    shapes = [
        linear_shape(network, layer) for layer in network.layers if isinstance(layer, WeightedLayer)
    ]

    def cost(weighing: Weighing) -> float:
        keys = math.log2(weighing.merged) * _KEY_SECONDS / _UNIT_SECONDS
        keys += link.seconds(keys_bytes(setting, weighing.merged), 0) / unit
        return keys + sum(cheapest(shape, degree, 1, weighing)[0] for shape in shapes)

    counts = (1 << k for k in range(most_merged(parameters).bit_length()))
    return min((Weighing(merged, polynomial) for merged in counts), key=cost)


def rate_to_json(link: Link) -> float | None:
    """Bits a second, None within a machine."""
    return None if math.isinf(link.rate) else link.rate


def link_from_json(value: dict[str, Any]) -> Link:
    """A line of the rate that the peer's plan tells; ProtocolError where that is none."""
    rate = value.get("rate")
    if rate is None:
        return WITHIN_A_MACHINE
    if type(rate) not in (int, float) or not 0 < rate <= sys.float_info.max:
        raise ProtocolError("the peer's plan does not say how fast the line is")
    return Link(0.0, float(rate))
