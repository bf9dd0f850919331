"""By what the outputs of layers may be multiplied so that no label changes.

ReLU, LeakyRelu, pools, sums and movements are positively homogeneous: k(ax) = a k(x) for a > 0. So
a weighted layer may give 2^g times its values, if those that take them divide their weights by as
much; a square gives the square of it, a step forgets it, and a common factor of the logits changes
no argmax. (The equalisation of Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction", ICCV 2019, of whole layers and by powers of two.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from capc.graph.layers import (
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
    Relu,
    Rescale,
    Square,
    Step,
)

_HOMOGENEOUS = (Relu, LeakyRelu, MaxPool, AvgPool, Rescale, Negative, Movement, Bias)
_ALIKE = (Add, Concat)
_SCALABLE = (Conv2D, Dense)


@dataclass(frozen=True)
class Gain:
    """What a layer's output is multiplied by: 2^(times * gains[group]); 1 without a group."""

    group: str | None
    times: int = 0


@dataclass(eq=False)
class Groups:
    """Which layers must be scaled alike: the gain of each output, groups joined and fixed."""

    outputs: dict[str, Gain] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    gains: dict[str, int] = field(default_factory=dict)

    def root(self, group: str) -> str:
        """The group that stands for all that are joined with this one."""
        while group in self.joined:
            group = self.joined[group]
        return group

    def exponent(self, layer: str) -> int:
        """g, where the output of the layer is multiplied by 2^g."""
        gain = self.outputs[layer]
        return 0 if gain.group is None else gain.times * self.gains[self.root(gain.group)]

    def free(self) -> list[str]:
        """The roots of the groups that may be scaled, in the order of the layers."""
        return [name for name in self.gains if self.root(name) == name not in self.fixed]

    def members(self, network: Network, root: str) -> Iterator[tuple[Layer, int]]:
        """The layers whose outputs a root scales, each with its power (`Gain.times`)."""
        for layer in network.layers:
            gain = self.outputs[layer.name]
            if gain.group is not None and self.root(gain.group) == root:
                yield layer, gain.times

    def fix(self, gain: Gain) -> None:
        """Let nothing be multiplied that has this gain."""
        if gain.group is not None:
            self.fixed.add(self.root(gain.group))

    def alike(self, gains: Iterable[Gain]) -> Gain:
        """One gain for all: joined groups, or 1 where their powers differ."""
        first, *others = gains
        for gain in others:
            if first.group is None or gain.group is None or first.times != gain.times:
                self.fix(first)
                self.fix(gain)
                first = Gain(None) if first.group is None else first
                continue
            one, other = self.root(first.group), self.root(gain.group)
            if one != other:
                self.joined[other] = one
                if other in self.fixed:
                    self.fixed.add(one)
        return first


def groups_of(network: Network) -> Groups:
    """A group for each weighted layer, joined and fixed as the layers between ask."""
    groups = Groups()
    for layer in network.layers:
        inputs = [groups.outputs[name] for name in layer.inputs]
        if isinstance(layer, Input):
            gain = Gain(None)
        elif isinstance(layer, _SCALABLE):
            groups.gains[layer.name] = 0
            gain = Gain(layer.name, 1)
        elif isinstance(layer, _ALIKE):
            gain = groups.alike(inputs)
        elif isinstance(layer, _HOMOGENEOUS):
            gain = inputs[0]
        elif isinstance(layer, Square):
            gain = Gain(inputs[0].group, 2 * inputs[0].times)
        else:
            if not isinstance(layer, Step):
                for given in inputs:
                    groups.fix(given)
            gain = Gain(None)
        groups.outputs[layer.name] = gain
    return groups


def with_gains(network: Network, groups: Groups) -> Network:
    """The network with every weight and bias multiplied as the gains say."""
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
