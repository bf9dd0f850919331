"""A float network as integers of a ring, with a proof that no value leaves it.

Intervals are carried element by element through the integer network (Moore, Interval Analysis,
1966): exact for every layer taken alone, and never too narrow for all together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from capc.errors import RangeError
from capc.fixed_point import MAX_RING_BITS, FixedPoint
from capc.graph.exact import magnitude
from capc.graph.layers import (
    Activation,
    AvgPool,
    Input,
    Layer,
    Network,
    QuantizedNetwork,
    Rescale,
    Scales,
    WeightedLayer,
)
from capc.graph.layers.interval import Interval, bits_of
from capc.graph.layers.linear import WAY_OUT


@dataclass(frozen=True)
class LayerRange:
    """What one layer's output needs: `bits` include the sign; `low`, `high` are integers."""

    name: str
    low: int
    high: int
    bits: int
    fraction_bits: int


def quantize(
    network: Network, fixed_point: FixedPoint, input_range: tuple[float, float]
) -> QuantizedNetwork:
    """Weights as rint(w * 2^f), biases as rint(b * 2^2f), and proven bounds for every layer.

    `input_range` is the closed interval of the pixels. Rescale layers are put where a linear
    layer would be fed by another one. Raises RangeError, with the layer, the bits it needs and
    the way out, where a weight is not finite or a value may leave [-t/2, t/2).
    """
    integers = to_integers(network, fixed_point.fraction_bits)
    ranges = layer_ranges(integers, fixed_point.fraction_bits, input_range)
    for found in ranges:
        if found.bits > fixed_point.ring_bits:
            raise RangeError(
                f"layer '{found.name}' needs {found.bits} bits, of which {found.fraction_bits} "
                f"fractional; the ring has {fixed_point.ring_bits}: {WAY_OUT}"
            )
    bounds = {found.name: (found.low, found.high) for found in ranges}
    return QuantizedNetwork(
        fixed_point=fixed_point,
        input_range=(float(input_range[0]), float(input_range[1])),
        layers=tuple(
            layer.with_proof(
                bounds[layer.inputs[0]],
                integers.scales(layer, fixed_point.fraction_bits),
                fixed_point,
            )
            if isinstance(layer, Activation)
            else layer
            for layer in integers.layers
        ),
        bounds=bounds,
        fraction_bits=dict(integers.fraction_bits),
        weight_bits={
            layer.name: magnitude(layer.weights).bit_length()
            for layer in integers.layers
            if isinstance(layer, WeightedLayer)
        },
    )


def required_ring_bits(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    max_logit: float = 0.0,
    most: int = MAX_RING_BITS,
    *,
    terms: int = 1,
) -> int:
    """The smallest ring_bits that `quantize` accepts, and that holds logits of +-max_logit.

    And a sum of `terms` logits. `max_logit` lets parties with different models agree on one ring.
    Raises RangeError where
    more than `most` are needed, with the layer that needs most.
    """
    integers = to_integers(network, fraction_bits)
    ranges = layer_ranges(integers, fraction_bits, input_range)
    widest = max(ranges, key=lambda found: found.bits)
    if widest.bits > most:
        raise RangeError(
            f"layer '{widest.name}' needs {widest.bits} bits, of which {widest.fraction_bits} "
            f"fractional; a ring has {most} at most: {WAY_OUT}"
        )
    if not 0 <= max_logit < float("inf"):
        raise RangeError(f"max_logit is {max_logit}; it must be a number >= 0")
    logit = int(np.ceil(max_logit)) << integers.fraction_bits[network.output.name]
    last = next(found for found in ranges if found.name == network.output.name)
    bounded = bits_of(-terms * logit, terms * logit)
    proved = bits_of(terms * int(last.low), terms * int(last.high))
    needed = max(widest.bits, bounded, proved, 2 * fraction_bits + 1, 2)
    if needed > most:
        sums = "" if terms == 1 else f"sums of {terms} "
        raise RangeError(
            f"{sums}logits of +-{max_logit} need {needed} bits; a ring has {most} at most: "
            "lower max_logit or the fractional bits"
        )
    return needed


@dataclass(frozen=True, eq=False)
class IntegerLayers:
    """The layers with integer weights, Rescale put in, and the fractional bits of each output."""

    layers: tuple[Layer, ...]
    fraction_bits: dict[str, int]

    def scales(self, layer: Layer, fraction_bits: int) -> Scales:
        """The fractional bits around one of the layers, for the network's `fraction_bits`."""
        inputs = tuple(self.fraction_bits[name] for name in layer.inputs)
        return Scales(inputs, self.fraction_bits[layer.name], fraction_bits)


def to_integers(network: Network, fraction_bits: int) -> IntegerLayers:
    """Round the weights and place the Rescale layers, for activations with `fraction_bits`."""
    result: list[Layer] = []
    bits: dict[str, int] = {}
    rescaled: dict[str, str] = {}
    names = {layer.name for layer in network.layers}
    for layer in network.layers:
        ready = layer
        if isinstance(layer, WeightedLayer | AvgPool) and bits[layer.inputs[0]] > fraction_bits:
            source = layer.inputs[0]
            if source not in rescaled:
                inserted = _rescale(source, layer, result, names)
                result.append(inserted)
                bits[inserted.name] = fraction_bits
                rescaled[source] = inserted.name
            ready = replace(layer, inputs=(rescaled[source],))
        bits[ready.name] = ready.output_bits([bits[name] for name in ready.inputs], fraction_bits)
        result.append(ready.rounded(fraction_bits, bits[ready.name]))
    return IntegerLayers(tuple(result), bits)


def layer_ranges(
    integers: IntegerLayers, fraction_bits: int, input_range: tuple[float, float]
) -> list[LayerRange]:
    """The range and bits of every layer, for pixels in `input_range`; no ring is assumed.

    Past 2^62 the figures are upper estimates in floating point.
    """
    intervals: dict[str, Interval] = {}
    for layer in integers.layers:
        if isinstance(layer, Input):
            intervals[layer.name] = layer.pixels(fraction_bits, input_range)
            continue
        inputs = [intervals[name] for name in layer.inputs]
        if not all(interval.exact for interval in inputs):
            inputs = [interval.as_float() for interval in inputs]
        intervals[layer.name] = layer.interval(inputs, integers.scales(layer, fraction_bits))
    found = []
    for layer in integers.layers:
        low, high = intervals[layer.name].ends()
        bits = integers.fraction_bits[layer.name]
        found.append(LayerRange(layer.name, low, high, bits_of(low, high), bits))
    return found


def _rescale(source: str, user: Layer, earlier: Iterable[Layer], names: set[str]) -> Rescale:
    """A Rescale of `source` under a name that nobody has."""
    shape = next(layer.shape for layer in earlier if layer.name == source)
    name = f"{source}/rescale"
    while name in names:
        name += "_"
    names.add(name)
    return Rescale(name=name, inputs=(source,), shape=shape)
