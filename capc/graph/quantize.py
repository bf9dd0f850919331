"""A float network as integers of a ring, with a proof that no value leaves it.

Intervals are carried element by element through the integer network (Moore, Interval Analysis,
1966): exact for every layer taken alone, and never too narrow for all together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError, RangeError
from capc.fixed_point import MAX_RING_BITS, FixedPoint, Int64
from capc.graph.bounds import Interval, bits_of, interval_of, propagate
from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Concat,
    Conv2D,
    Dense,
    Input,
    Layer,
    LeakyRelu,
    Network,
    PiecewiseLinear,
    QuantizedNetwork,
    Relu,
    Rescale,
    Square,
)
from capc.graph.piecewise import table_of

_FRACTION_DROPPING = Relu | BoundedRelu | LeakyRelu | Square | PiecewiseLinear | Rescale
_WIDTH_STEP = 4  # of a square's value_bits: the coarser, the less it says about the weights
_WAY_OUT = (
    "use fewer fractional bits, calibrate on public examples (--calibration), or train with Relu6 "
    "for ReLU or with smaller weights"
)


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
                f"fractional; the ring has {fixed_point.ring_bits}: {_WAY_OUT}"
            )
    bounds = {found.name: (found.low, found.high) for found in ranges}
    return QuantizedNetwork(
        fixed_point=fixed_point,
        input_range=(float(input_range[0]), float(input_range[1])),
        layers=tuple(
            _with_width(layer, bounds, integers.fraction_bits, fixed_point)
            if isinstance(layer, Square)
            else layer
            for layer in integers.layers
        ),
        bounds=bounds,
        fraction_bits=dict(integers.fraction_bits),
    )


def required_ring_bits(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    max_logit: float = 0.0,
    most: int = MAX_RING_BITS,
) -> int:
    """The smallest ring_bits that `quantize` accepts, and that holds logits of +-max_logit.

    `max_logit` lets parties with different models agree on one ring. Raises RangeError where
    more than `most` are needed, with the layer that needs most.
    """
    integers = to_integers(network, fraction_bits)
    ranges = layer_ranges(integers, fraction_bits, input_range)
    widest = max(ranges, key=lambda found: found.bits)
    if widest.bits > most:
        raise RangeError(
            f"layer '{widest.name}' needs {widest.bits} bits, of which {widest.fraction_bits} "
            f"fractional; a ring has {most} at most: {_WAY_OUT}"
        )
    if not 0 <= max_logit < float("inf"):
        raise RangeError(f"max_logit is {max_logit}; it must be a number >= 0")
    logit = int(np.ceil(max_logit)) << integers.fraction_bits[network.output.name]
    needed = max(widest.bits, bits_of(-logit, logit), 2 * fraction_bits + 1, 2)
    if needed > most:
        raise RangeError(
            f"logits of +-{max_logit} need {needed} bits; a ring has {most} at most: "
            "lower max_logit or the fractional bits"
        )
    return needed


@dataclass(frozen=True, eq=False)
class IntegerLayers:
    """The layers with integer weights, Rescale put in, and the fractional bits of each output."""

    layers: tuple[Layer, ...]
    fraction_bits: dict[str, int]


def to_integers(network: Network, fraction_bits: int) -> IntegerLayers:
    """Round the weights and place the Rescale layers, for activations with `fraction_bits`."""
    result: list[Layer] = []
    bits: dict[str, int] = {}
    rescaled: dict[str, str] = {}
    names = {layer.name for layer in network.layers}
    for layer in network.layers:
        ready = layer
        if isinstance(layer, Conv2D | Dense | AvgPool) and bits[layer.inputs[0]] > fraction_bits:
            source = layer.inputs[0]
            if source not in rescaled:
                inserted = _rescale(source, layer, result, names)
                result.append(inserted)
                bits[inserted.name] = fraction_bits
                rescaled[source] = inserted.name
            ready = replace(layer, inputs=(rescaled[source],))
        bits[ready.name] = _output_bits(ready, bits, fraction_bits)
        result.append(_rounded(ready, fraction_bits, bits[ready.name]))
    return IntegerLayers(tuple(result), bits)


def layer_ranges(
    integers: IntegerLayers, fraction_bits: int, input_range: tuple[float, float]
) -> list[LayerRange]:
    """The range and bits of every layer, for pixels in `input_range`; no ring is assumed.

    Past 2^62 the figures are upper estimates in floating point.
    """
    first = integers.layers[0]
    intervals: dict[str, Interval] = {first.name: interval_of(first, fraction_bits, input_range)}
    for layer in integers.layers[1:]:
        inputs = [intervals[name] for name in layer.inputs]
        shifts = [integers.fraction_bits[name] for name in layer.inputs]
        output = integers.fraction_bits[layer.name]
        intervals[layer.name] = propagate(layer, inputs, shifts, output, fraction_bits)
    found = []
    for layer in integers.layers:
        low, high = intervals[layer.name].ends()
        bits = integers.fraction_bits[layer.name]
        found.append(LayerRange(layer.name, low, high, bits_of(low, high), bits))
    return found


def _with_width(
    layer: Square,
    bounds: dict[str, tuple[int, int]],
    bits: dict[str, int],
    fixed_point: FixedPoint,
) -> Square:
    """The square with the public number of bits that its argument is proved to have."""
    shift = bits[layer.inputs[0]] - bits[layer.name]
    low, high = (end >> shift for end in bounds[layer.inputs[0]])
    proved = max(abs(low), abs(high)).bit_length()
    fraction = fixed_point.fraction_bits
    width = max(-(-proved // _WIDTH_STEP) * _WIDTH_STEP, fraction // 2 + 1, 2)
    # No square that fits the ring has a wider argument.
    widest = min((fixed_point.ring_bits + fraction) // 2, fixed_point.ring_bits - shift)
    return replace(layer, value_bits=min(width, widest))


def _rescale(source: str, user: Layer, earlier: Iterable[Layer], names: set[str]) -> Rescale:
    """A Rescale of `source` under a name that nobody has."""
    shape = next(layer.shape for layer in earlier if layer.name == source)
    name = f"{source}/rescale"
    while name in names:
        name += "_"
    names.add(name)
    return Rescale(name=name, inputs=(source,), shape=shape)


def _output_bits(layer: Layer, bits: dict[str, int], fraction_bits: int) -> int:
    if isinstance(layer, Conv2D | Dense | AvgPool):
        return 2 * fraction_bits
    if isinstance(layer, Input | _FRACTION_DROPPING):
        return fraction_bits
    if isinstance(layer, Add | Concat):
        return max(bits[name] for name in layer.inputs)
    return bits[layer.inputs[0]]


def _rounded(layer: Layer, fraction_bits: int, output_bits: int) -> Layer:
    if isinstance(layer, Conv2D):
        return replace(
            layer,
            kernel=_integers(layer, layer.kernel, fraction_bits),
            bias=_integers(layer, layer.bias, output_bits),
        )
    if isinstance(layer, Dense):
        return replace(
            layer,
            weight=_integers(layer, layer.weight, fraction_bits),
            bias=_integers(layer, layer.bias, output_bits),
        )
    if isinstance(layer, Bias):
        return replace(layer, value=_integers(layer, layer.value, output_bits))
    return _rounded_activation(layer, fraction_bits)


def _rounded_activation(layer: Layer, fraction_bits: int) -> Layer:
    if isinstance(layer, BoundedRelu):
        return replace(layer, cap=max(int(np.rint(np.ldexp(layer.cap, fraction_bits))), 1))
    if isinstance(layer, LeakyRelu):
        return replace(layer, slope=int(np.rint(np.ldexp(layer.slope, fraction_bits))))
    if isinstance(layer, PiecewiseLinear):
        return replace(layer, **vars(table_of(layer.function, fraction_bits)))
    return layer


def _integers(layer: Layer, weights: NDArray[Any], bits: int) -> Int64:
    scaled = np.rint(np.asarray(weights, dtype=np.float64) * 2.0**bits)
    if not np.all(np.isfinite(scaled)):
        raise ModelError(
            f"layer '{layer.name}' has a weight that is not a finite number: the training "
            "diverged; train again with a lower learning rate"
        )
    largest = float(np.abs(scaled).max(initial=0.0))
    if largest >= 2.0 ** (MAX_RING_BITS - 1):
        needed = int(np.floor(np.log2(largest))) + 2
        raise RangeError(
            f"layer '{layer.name}' has a weight or bias that needs {needed} bits, of which {bits} "
            f"fractional; a ring has {MAX_RING_BITS} at most: {_WAY_OUT}"
        )
    return np.asarray(scaled, dtype=np.int64)
