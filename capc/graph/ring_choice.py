"""The ring and the fractional bits of a run: as many as asked for, else as many as fit."""

from __future__ import annotations

import contextlib

from capc.errors import ConfigError, RangeError
from capc.fixed_point import RING_BITS, FixedPoint, choose_ring_bits
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.quantize import layer_ranges, required_ring_bits, to_integers
from capc.graph.scaling import in_ring, lowered, scaled, typical_values

FRACTION_BITS = 12  # CryptoNets-ReLU's logits within 0.03 of floating point, 0.008 typically
FEWEST_FRACTION_BITS = 4


def to_ring(
    network: Network, input_range: tuple[float, float], max_logit: float, *, terms: int = 1
) -> QuantizedNetwork:
    """The network as integers in the smallest public ring that holds its values and `max_logit`.

    And a sum of `terms` logits, each of which may be as large as is proved, or as `max_logit`.
    Weights and values that would vanish are doubled as far as this ring holds them (`scaling`).
    FRACTION_BITS fractional bits where a ring holds them, else as many as fit. Raises RangeError or
    ConfigError, naming the layer, where FEWEST_FRACTION_BITS are too many.
    """
    typical = None
    for fraction_bits in range(FRACTION_BITS, FEWEST_FRACTION_BITS - 1, -1):
        try:
            ring = ring_for(network, fraction_bits, input_range, max_logit, terms=terms)
            typical = typical or typical_values(network, input_range)
            return in_ring(network, ring, input_range, typical)
        except (RangeError, ConfigError):
            if fraction_bits == FEWEST_FRACTION_BITS:
                raise
    raise AssertionError("the last round returns or raises")


def require_sums(network: QuantizedNetwork, terms: int) -> None:
    """Raise RangeError where a sum of `terms` logits could leave the ring."""
    low, high = network.bounds[network.output.name]
    half = network.fixed_point.modulus // 2
    if terms * low < -half or terms * high >= half:
        raise RangeError(
            f"a sum of {terms} logits of '{network.output.name}' may leave the ring of "
            f"{network.fixed_point.ring_bits} bits: use fewer labels to a vote"
        )


def ring_for(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    max_logit: float,
    *,
    terms: int = 1,
) -> FixedPoint:
    """The smallest public ring for so many fractional bits, and a sum of `terms` logits.

    Raises RangeError, naming the layer that needs most, where none is large enough.
    """
    needed = _needed_bits(network, fraction_bits, input_range, max_logit, terms=terms)
    limit = 1 << (needed - 1)
    return FixedPoint(choose_ring_bits([(-limit, limit - 1)]), fraction_bits)


def _needed_bits(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    max_logit: float,
    *,
    terms: int,
) -> int:
    """The bits that the network needs as it is, or with its large weights and values halved."""

    def needed(one: Network) -> int:
        return required_ring_bits(
            one, fraction_bits, input_range, max_logit, most=RING_BITS[-1], terms=terms
        )

    try:
        return needed(network)
    except RangeError:
        smaller = lowered(network, fraction_bits, input_range)
        if smaller is network:
            raise
        with contextlib.suppress(RangeError):
            return needed(smaller)
        raise


def why_fewer_bits(
    network: Network, input_range: tuple[float, float], chosen: FixedPoint
) -> str | None:
    """A sentence on a run with fewer than FRACTION_BITS fractional bits; None for all others."""
    if chosen.fraction_bits >= FRACTION_BITS:
        return None
    said = (
        f"{chosen.fraction_bits} fractional bits in a ring of {chosen.ring_bits} bits: with "
        f"{FRACTION_BITS}, "
    )
    try:
        smaller = lowered(network, FRACTION_BITS, input_range)
        integers = to_integers(smaller, FRACTION_BITS)
        ranges = layer_ranges(integers, FRACTION_BITS, input_range)
    except RangeError as error:  # of a weight alone
        return f"{said}{error}. Labels may differ from the float model's"
    widest = max(ranges, key=lambda found: found.bits)
    return (
        f"{said}layer '{widest.name}' could need {widest.bits} bits, and the largest ring has "
        f"{RING_BITS[-1]}. Labels may differ from the float model's; to keep {FRACTION_BITS}, "
        "calibrate on public examples (--calibration), or train with Relu6 for ReLU"
    )


def why_vanishing(
    network: Network, input_range: tuple[float, float], chosen: FixedPoint
) -> str | None:
    """A sentence on layers that are all but lost beside the fraction, scaled too; None for none."""
    vanishing = scaled(network, chosen, input_range).vanishing
    if not vanishing:
        return None
    name, units = min(vanishing, key=lambda found: found[1])
    others = f" and {len(vanishing) - 1} more" if len(vanishing) > 1 else ""
    return (
        f"layer '{name}'{others} has weights or values of {units:.2g} times "
        f"2^-{chosen.fraction_bits}, the smallest number of a run, and cannot be scaled: a bounded "
        "or smooth activation follows, or the ring is full. Labels may differ from the float "
        "model's; train with larger weights, or with ReLU"
    )
