"""Weights and values that would vanish beside the fraction, doubled until they do not.

Where a layer's weights are small against 2^-f, rounding them leaves noise. ReLU, LeakyRelu, pools,
sums and movements are positively homogeneous: k(ax) = a k(x) for a > 0. So a weighted layer may
give 2^g times its values, if those that take them divide their weights by as much; a square gives
the square of it, a step forgets it, and a common factor of the logits changes no argmax. (The
equalisation of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, of whole layers and by powers of two.)

Only the owner's weights change. The plan stays that of the model, and the ring is chosen before:
the factors say nothing to the other party that the weights did not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from capc.errors import RangeError
from capc.fixed_point import FixedPoint, Float64
from capc.graph.float_reference import float_layers
from capc.graph.layers import (
    Activation,
    Add,
    AvgPool,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Input,
    Layer,
    LeakyRelu,
    MaxPool,
    Movement,
    Negative,
    Network,
    QuantizedNetwork,
    Relu,
    Rescale,
    Square,
    Step,
    WeightedLayer,
)
from capc.graph.probes import probe_images
from capc.graph.quantize import layer_ranges, quantize, to_integers

# Root mean squares in units of 2^-f. Below FEW a layer is doubled, to ENOUGH where that fits; what
# stays below TOO_FEW is said. Rounding is off by 0.29 units, so ENOUGH leaves 0.1 % a weight.
ENOUGH, FEW, TOO_FEW = 256.0, 64.0, 8.0
_LARGEST_WEIGHT = 4.0  # of one that is doubled: products of larger ones need more noise room
_LARGEST_GAIN = 64
_ROUNDS = 3
_FITTINGS = 8

_HOMOGENEOUS = (Relu, LeakyRelu, MaxPool, AvgPool, Rescale, Negative, Movement, Bias)
_ALIKE = (Add, Concat)
_SCALABLE = (Conv2D, Dense)


@dataclass(frozen=True, eq=False)
class Scaled:
    """A network whose logits are `logit_scale` times those of the model, a power of two.

    `vanishing` names the layers of which too little is left, with the units of 2^-f that are.
    """

    network: Network
    logit_scale: float
    vanishing: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class _Gain:
    """What a layer's output is multiplied by: 2^(times * gains[group]); 1 without a group."""

    group: str | None
    times: int = 0


@dataclass(eq=False)
class _Groups:
    """Which layers must be scaled alike: the gain of each output, groups joined and fixed."""

    outputs: dict[str, _Gain] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    gains: dict[str, int] = field(default_factory=dict)

    def root(self, group: str) -> str:
        while group in self.joined:
            group = self.joined[group]
        return group

    def exponent(self, layer: str) -> int:
        """g, where the output of the layer is multiplied by 2^g."""
        gain = self.outputs[layer]
        return 0 if gain.group is None else gain.times * self.gains[self.root(gain.group)]

    def is_free(self, group: str | None) -> bool:
        return group is not None and self.root(group) not in self.fixed

    def fix(self, gain: _Gain) -> None:
        if gain.group is not None:
            self.fixed.add(self.root(gain.group))

    def alike(self, gains: Iterable[_Gain]) -> _Gain:
        """One gain for all: joined groups, or 1 where their powers differ."""
        first, *others = gains
        for gain in others:
            if first.group is None or gain.group is None or first.times != gain.times:
                self.fix(first)
                self.fix(gain)
                first = _Gain(None) if first.group is None else first
                continue
            one, other = self.root(first.group), self.root(gain.group)
            if one != other:
                self.joined[other] = one
                if other in self.fixed:
                    self.fixed.add(one)
        return first


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
    found = scaled(network, ring, input_range, typical)
    return replace(quantize(found.network, ring, input_range), logit_scale=found.logit_scale)


def scaled(
    network: Network,
    ring: FixedPoint,
    input_range: tuple[float, float],
    typical: dict[str, float] | None = None,
) -> Scaled:
    """The network with small weights and values doubled, as far as the ring holds them.

    Where nothing is small it is the network itself. A network that the ring holds, it holds scaled.
    """
    values = typical_values(network, input_range) if typical is None else typical
    groups = _groups(network)
    for _ in range(_ROUNDS):
        for group in groups.gains:
            if groups.is_free(group) and groups.root(group) == group:
                groups.gains[group] += _raise(network, groups, group, values, ring)
    result = _fitted(network, groups, ring, input_range)
    units = _units(result, groups, values, ring.fraction_bits)
    return Scaled(
        result,
        math.ldexp(1.0, groups.exponent(network.output.name)),
        tuple((name, left) for name, left in units.items() if 0 < left < TOO_FEW),
    )


def _groups(network: Network) -> _Groups:
    """A group for each weighted layer, joined and fixed as the layers between ask."""
    groups = _Groups()
    for layer in network.layers:
        inputs = [groups.outputs[name] for name in layer.inputs]
        if isinstance(layer, Input):
            gain = _Gain(None)
        elif isinstance(layer, _SCALABLE):
            groups.gains[layer.name] = 0
            gain = _Gain(layer.name, 1)
        elif isinstance(layer, _ALIKE):
            gain = groups.alike(inputs)
        elif isinstance(layer, _HOMOGENEOUS):
            gain = inputs[0]
        elif isinstance(layer, Square):
            gain = _Gain(inputs[0].group, 2 * inputs[0].times)
        else:
            if not isinstance(layer, Step):
                for given in inputs:
                    groups.fix(given)
            gain = _Gain(None)
        groups.outputs[layer.name] = gain
    return groups


def _raise(
    network: Network, groups: _Groups, group: str, typical: dict[str, float], ring: FixedPoint
) -> int:
    """By how much the gain of a group should grow, so that its layers have units ENOUGH.

    What the ring surely does not hold is not asked for; `_fitted` sees to the rest.
    """
    wanted, room = 0, _LARGEST_GAIN - groups.gains[group]
    stored, fraction_bits = _stored(network), ring.fraction_bits
    largest_value = math.ldexp(1.0, ring.ring_bits - 1 - 2 * fraction_bits)
    for layer in network.layers:
        gain = groups.outputs[layer.name]
        if gain.group is None or groups.root(gain.group) != group:
            continue
        if isinstance(layer, WeightedLayer):
            shift = groups.exponent(layer.name) - groups.exponent(layer.inputs[0])
            wanted = max(wanted, _doublings(_size(layer.weights), shift + fraction_bits))
            room = min(room, _room(layer.weights, _LARGEST_WEIGHT) - shift)
            room = min(room, _room(layer.offsets, largest_value) - groups.exponent(layer.name))
        if layer.name in stored:
            shift = groups.exponent(layer.name) + fraction_bits
            wanted = max(wanted, -(-_doublings(typical[layer.name], shift) // gain.times))
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


def _fitted(
    network: Network, groups: _Groups, ring: FixedPoint, input_range: tuple[float, float]
) -> Network:
    """The network with the gains, lowered first until the ring holds every value."""
    for _ in range(_FITTINGS):
        if not any(groups.gains.values()):
            return network
        result = _with_gains(network, groups)
        try:
            integers = to_integers(result, ring.fraction_bits)
            ranges = layer_ranges(integers, ring.fraction_bits, input_range)
        except RangeError:
            groups.gains.update({group: gain // 2 for group, gain in groups.gains.items()})
            continue
        excess: dict[str, int] = {}
        for found in ranges:
            gain = groups.outputs.get(found.name, _Gain(None))
            if found.bits > ring.ring_bits and gain.group is not None:
                root = groups.root(gain.group)
                over = -(-(found.bits - ring.ring_bits) // gain.times)
                excess[root] = max(excess.get(root, 0), over)
        if all(found.bits <= ring.ring_bits for found in ranges):
            return result
        if not any(groups.gains[root] for root in excess):
            break
        for root, over in excess.items():
            groups.gains[root] = max(groups.gains[root] - over, 0)
    groups.gains.update(dict.fromkeys(groups.gains, 0))
    return network


def _with_gains(network: Network, groups: _Groups) -> Network:
    layers: list[Layer] = []
    for layer in network.layers:
        own = math.ldexp(1.0, groups.exponent(layer.name))
        if isinstance(layer, Conv2D | Dense):
            factor = own * math.ldexp(1.0, -groups.exponent(layer.inputs[0]))
            weights, bias = layer.weights * factor, layer.bias * own
            if isinstance(layer, Conv2D):
                layers.append(replace(layer, kernel=weights, bias=bias))
            else:
                layers.append(replace(layer, weight=weights, bias=bias))
        elif isinstance(layer, Bias):
            layers.append(replace(layer, value=layer.value * own))
        else:
            layers.append(layer)
    return Network(tuple(layers))


def _units(
    network: Network, groups: _Groups, typical: dict[str, float], fraction_bits: int
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
    """The root mean square of the weights that are not zero; 0 where all are."""
    present = weights[weights != 0]
    return float(np.sqrt(np.mean(np.square(present)))) if present.size else 0.0
