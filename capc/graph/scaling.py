"""Weights and values that would vanish beside the fraction, or need too large a ring, scaled.

Where a layer's weights are small against 2^-f, rounding them leaves noise: they are doubled. Where
no ring holds f fractional bits of a layer, because its weights or values are large, they are
halved. What the layers between let through, `gains` says: a factor of the logits changes no label.

Only the owner's weights change. The plan is that of the model, and the ring one of few: the factors
say nothing to the other party that the weights did not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from capc.errors import RangeError
from capc.fixed_point import FixedPoint, Float64
from capc.graph.float_reference import float_layers
from capc.graph.gains import Gain, Groups, groups_of, with_gains
from capc.graph.layers import Activation, AvgPool, Network, QuantizedNetwork, WeightedLayer
from capc.graph.probes import probe_images
from capc.graph.quantize import LayerRange, layer_ranges, quantize, to_integers

# Root mean squares in units of 2^-f. Below FEW a layer is doubled, to ENOUGH where that fits; what
# stays below TOO_FEW is said. Rounding is off by 0.29 units, so ENOUGH leaves 0.1 % a weight. What
# is halved keeps PLENTY.
PLENTY, ENOUGH, FEW, TOO_FEW = 1024.0, 256.0, 64.0, 8.0
_LARGEST_WEIGHT = 4.0  # of one that is doubled: products of larger ones need more noise room
_LARGEST_GAIN = 64
_ROUNDS = 3
_FITTINGS = 8


@dataclass(frozen=True, eq=False)
class Scaled:
    """A network whose logits are `logit_scale` times those of the model, a power of two.

    `vanishing` names the layers of which too little is left, with the units of 2^-f that are.
    """

    network: Network
    logit_scale: float
    vanishing: tuple[tuple[str, float], ...]


def typical_values(network: Network, input_range: tuple[float, float]) -> dict[str, float]:
    """The root mean square of every layer's output over a few inputs of the range."""
    images = probe_images(network.input.shape, input_range, 2)
    squares = dict.fromkeys((layer.name for layer in network.layers), 0.0)
    with np.errstate(all="ignore"):
        for image in images:
            for name, values in float_layers(network, image[np.newaxis]).items():
                squares[name] += float(np.mean(values * values)) / len(images)
    return {name: math.sqrt(square) for name, square in squares.items()}


def in_ring(
    network: Network,
    ring: FixedPoint,
    input_range: tuple[float, float],
    typical: dict[str, float] | None = None,
) -> QuantizedNetwork:
    """The scaled network as integers of the ring; raises what `quantize` does.

    `typical` is what `typical_values` gives, where the caller has it.
    """
    values = typical_values(network, input_range) if typical is None else typical
    try:
        return _quantized(
            _scaled(network, ring, input_range, values, lower=False), ring, input_range
        )
    except RangeError:
        found = _scaled(network, ring, input_range, values, lower=True)
        if found.network is network:
            raise
        return _quantized(found, ring, input_range)


def scaled(
    network: Network,
    ring: FixedPoint,
    input_range: tuple[float, float],
    typical: dict[str, float] | None = None,
) -> Scaled:
    """The network with small weights and values doubled, as far as the ring holds them.

    Where the ring does not hold it, large ones are halved first. Where nothing is small or too
    large it is the network itself. A network that the ring holds, it holds scaled.
    """
    values = typical_values(network, input_range) if typical is None else typical
    lower = not _holds(network, ring, input_range)
    return _scaled(network, ring, input_range, values, lower=lower)


def _quantized(
    found: Scaled, ring: FixedPoint, input_range: tuple[float, float]
) -> QuantizedNetwork:
    return replace(quantize(found.network, ring, input_range), logit_scale=found.logit_scale)


def _scaled(
    network: Network,
    ring: FixedPoint,
    input_range: tuple[float, float],
    typical: dict[str, float],
    *,
    lower: bool,
) -> Scaled:
    groups = groups_of(network)
    if lower:
        _lower_all(network, groups, typical, ring.fraction_bits)
    least = dict(groups.gains)
    for _ in range(_ROUNDS):
        for group in groups.free():
            groups.gains[group] += _raise(network, groups, group, typical, ring)
    result = _fitted(network, groups, least, ring, input_range)
    units = _units(result, groups, typical, ring.fraction_bits)
    return Scaled(
        result,
        math.ldexp(1.0, groups.exponent(network.output.name)),
        tuple((name, left) for name, left in units.items() if 0 < left < TOO_FEW),
    )


def lowered(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    typical: dict[str, float] | None = None,
) -> Network:
    """The network with weights and values that are large halved, for a ring that holds more of it.

    Every layer that is halved keeps PLENTY units of 2^-fraction_bits. The network itself where none
    is that large.
    """
    values = typical_values(network, input_range) if typical is None else typical
    groups = groups_of(network)
    _lower_all(network, groups, values, fraction_bits)
    return with_gains(network, groups) if any(groups.gains.values()) else network


def _lower_all(
    network: Network, groups: Groups, typical: dict[str, float], fraction_bits: int
) -> None:
    """Lower the gains by what every layer of a group can spare."""
    for _ in range(_ROUNDS):
        for group in groups.free():
            groups.gains[group] -= _spare(network, groups, group, typical, fraction_bits)


def _spare(
    network: Network, groups: Groups, group: str, typical: dict[str, float], fraction_bits: int
) -> int:
    """How often all that a group scales may be halved and keep units PLENTY."""
    stored, spare = _stored(network), []
    for layer, times in groups.members(network, group):
        if isinstance(layer, WeightedLayer):
            shift = groups.exponent(layer.name) - groups.exponent(layer.inputs[0])
            spare += _halvings(_size(layer.weights), shift + fraction_bits)
        if layer.name in stored:
            shift = groups.exponent(layer.name) + fraction_bits
            spare += [count // times for count in _halvings(typical[layer.name], shift)]
    return max(min(spare, default=0), 0)


def _halvings(size: float, exponent: int) -> list[int]:
    """How often size * 2^exponent may be halved and keep PLENTY; nothing for no size."""
    if not 0 < size < math.inf:
        return []
    return [math.floor(math.log2(size) + exponent - math.log2(PLENTY))]


def _raise(
    network: Network, groups: Groups, group: str, typical: dict[str, float], ring: FixedPoint
) -> int:
    """By how much the gain of a group should grow, so that its layers have units ENOUGH.

    What the ring surely does not hold is not asked for; `_fitted` sees to the rest.
    """
    wanted, room = 0, _LARGEST_GAIN - groups.gains[group]
    stored, fraction_bits = _stored(network), ring.fraction_bits
    largest_value = math.ldexp(1.0, ring.ring_bits - 1 - 2 * fraction_bits)
    for layer, times in groups.members(network, group):
        if isinstance(layer, WeightedLayer):
            shift = groups.exponent(layer.name) - groups.exponent(layer.inputs[0])
            wanted = max(wanted, _doublings(_size(layer.weights), shift + fraction_bits))
            room = min(room, _room(layer.weights, _LARGEST_WEIGHT) - shift)
            room = min(room, _room(layer.offsets, largest_value) - groups.exponent(layer.name))
        if layer.name in stored:
            shift = groups.exponent(layer.name) + fraction_bits
            wanted = max(wanted, -(-_doublings(typical[layer.name], shift) // times))
    return max(min(wanted, room), 0)


def _doublings(size: float, exponent: int) -> int:
    """How often size * 2^exponent must be doubled to reach ENOUGH; 0 where it is not below FEW."""
    if size <= 0 or not math.isfinite(size) or math.log2(size) + exponent >= math.log2(FEW):
        return 0
    return math.ceil(math.log2(ENOUGH) - math.log2(size) - exponent)


def _room(values: Float64, limit: float) -> int:
    """How often values may be doubled without passing the limit."""
    largest = float(np.abs(values).max(initial=0.0))
    return math.floor(math.log2(limit / largest)) if 0 < largest < math.inf else _LARGEST_GAIN


def _holds(network: Network, ring: FixedPoint, input_range: tuple[float, float]) -> bool:
    """Whether the ring holds every value of the network as it is."""
    try:
        ranges = _ranges(network, ring, input_range)
    except RangeError:
        return False
    return all(found.bits <= ring.ring_bits for found in ranges)


def _ranges(
    network: Network, ring: FixedPoint, input_range: tuple[float, float]
) -> list[LayerRange]:
    integers = to_integers(network, ring.fraction_bits)
    return layer_ranges(integers, ring.fraction_bits, input_range)


def _fitted(
    network: Network,
    groups: Groups,
    least: dict[str, int],
    ring: FixedPoint,
    input_range: tuple[float, float],
) -> Network:
    """The network with the gains, lowered to no less than `least` until the ring holds it."""
    for _ in range(_FITTINGS):
        if groups.gains == least:
            break
        result = with_gains(network, groups)
        try:
            ranges = _ranges(result, ring, input_range)
        except RangeError:
            for group, gain in groups.gains.items():
                groups.gains[group] = least[group] + (gain - least[group]) // 2
            continue
        excess: dict[str, int] = {}
        for found in ranges:
            gain_of = groups.outputs.get(found.name, Gain(None))
            if found.bits > ring.ring_bits and gain_of.group is not None:
                root = groups.root(gain_of.group)
                over = -(-(found.bits - ring.ring_bits) // gain_of.times)
                excess[root] = max(excess.get(root, 0), over)
        if all(found.bits <= ring.ring_bits for found in ranges):
            return result
        if all(groups.gains[root] == least[root] for root in excess):
            break
        for root, over in excess.items():
            groups.gains[root] = max(groups.gains[root] - over, least[root])
    groups.gains.update(least)
    return with_gains(network, groups) if any(least.values()) else network


def _units(
    network: Network, groups: Groups, typical: dict[str, float], fraction_bits: int
) -> dict[str, float]:
    """Of each layer with weights or rounded values, the size in units of 2^-f, the smaller one."""
    stored = _stored(network)
    units: dict[str, float] = {}
    for layer in network.layers:
        sizes = []
        if isinstance(layer, WeightedLayer):
            sizes.append(math.ldexp(_size(layer.weights), fraction_bits))
        if layer.name in stored:
            shift = groups.exponent(layer.name) + fraction_bits
            sizes.append(math.ldexp(typical[layer.name], shift))
        if sizes:
            units[layer.name] = min((size for size in sizes if size > 0), default=0.0)
    return units


def _stored(network: Network) -> set[str]:
    """The layers whose outputs are rounded to f bits: activations, and what products take."""
    takers = (WeightedLayer, AvgPool)
    taken = {name for layer in network.layers if isinstance(layer, takers) for name in layer.inputs}
    rounded = {layer.name for layer in network.layers if isinstance(layer, Activation)}
    return (taken | rounded) - {network.input.name}


def _size(weights: Float64) -> float:
    """The root mean square of the weights that are not zero; 0 where all are, inf if too large."""
    present = weights[weights != 0]
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(np.square(present)))) if present.size else 0.0
