"""The form by transfers that a non-linear layer may have beside its circuit.

TRANSFERS is the one table of it: table look-ups from oblivious transfers, with fewer bytes and more
round trips. Both parties see from public figures which layers have this form (`transferable`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capc.fixed_point import FixedPoint
from capc.gc.lookup_layers import (
    LookupLayer,
    bounded_relu_lookups,
    maximum_lookups,
    relu_lookups,
    rescale_lookups,
    step_lookups,
)
from capc.gc.lookup_products import (
    leaky_relu_has_lookups,
    leaky_relu_lookups,
    narrow_square_lookups,
    square_has_lookups,
)
from capc.graph.layers import (
    BoundedRelu,
    Layer,
    LeakyRelu,
    MaxPool,
    QuantizedNetwork,
    Relu,
    Rescale,
    Scales,
    Square,
    Step,
)
from capc.inference.small_rings import MOVEMENTS, bits_of_maxima


def _always(layer: Layer, ring: FixedPoint, scales: Scales) -> bool:
    return True


@dataclass(frozen=True)
class Transfers:
    """The same function by table look-ups from oblivious transfers: fewer bytes, more round trips.

    `lookups(layer, ring, scales, bits)` takes both shares and gives a fresh share, as the circuit
    does; `bits`, where there are any, are those that suffice (`small_rings.bits_of_outputs`).
    `needs_spare_bit` is True where that is exact only for inputs in [-t/4, t/4), which the shifts
    before the layer have to show, or for small ones (`transferable`). `fits(layer, ring, scales)`
    says whether there is such a form for the layer's public figures.
    """

    lookups: Callable[[Any, FixedPoint, Scales, int | None], LookupLayer]
    needs_spare_bit: bool = False
    fits: Callable[[Any, FixedPoint, Scales], bool] = _always


def _relu_lookups(layer: Relu, ring: FixedPoint, scales: Scales, bits: int | None) -> LookupLayer:
    return relu_lookups(ring.ring_bits, scales.shift, bits)


def _bounded_relu_lookups(
    layer: BoundedRelu, ring: FixedPoint, scales: Scales, bits: int | None
) -> LookupLayer:
    cap = int(layer.cap)
    if cap_is_out_of_reach(cap, ring.ring_bits, scales):
        return relu_lookups(ring.ring_bits, scales.shift, bits)
    return bounded_relu_lookups(ring.ring_bits, scales.shift, cap, bits)


def cap_is_out_of_reach(cap: int, ring_bits: int, scales: Scales) -> bool:
    """Whether no value of a ring, less the layer's shift, is as large as a bounded ReLU's cap."""
    return bool(cap >> (ring_bits - 1 - scales.shift))


def _leaky_relu_lookups(
    layer: LeakyRelu, ring: FixedPoint, scales: Scales, bits: int | None
) -> LookupLayer:
    """A slope that rounds to 0 leaves the ReLU."""
    slope = int(layer.slope)
    if slope == 0:
        return relu_lookups(ring.ring_bits, scales.shift)
    return leaky_relu_lookups(ring.ring_bits, scales.shift, slope, scales.fraction_bits)


def _leaky_relu_fits(layer: LeakyRelu, ring: FixedPoint, scales: Scales) -> bool:
    slope = int(layer.slope)
    return slope == 0 or leaky_relu_has_lookups(
        ring.ring_bits, scales.shift, slope, scales.fraction_bits
    )


def _square_lookups(
    layer: Square, ring: FixedPoint, scales: Scales, bits: int | None
) -> LookupLayer:
    return narrow_square_lookups(
        ring.ring_bits, scales.shift, scales.fraction_bits, layer.value_bits
    )


def _square_fits(layer: Square, ring: FixedPoint, scales: Scales) -> bool:
    return square_has_lookups(ring.ring_bits, scales.shift, scales.fraction_bits, layer.value_bits)


def _maximum_lookups(
    layer: MaxPool, ring: FixedPoint, scales: Scales, bits: int | None
) -> LookupLayer:
    window = layer.window[0] * layer.window[1]
    return maximum_lookups(ring.ring_bits, window, bits, layer.fan_in)


def _rescale_lookups(
    layer: Rescale, ring: FixedPoint, scales: Scales, bits: int | None
) -> LookupLayer:
    return rescale_lookups(ring.ring_bits, scales.shift)


def _drops_bits(layer: Rescale, ring: FixedPoint, scales: Scales) -> bool:
    return scales.shift >= 1


def _step_lookups(layer: Step, ring: FixedPoint, scales: Scales, bits: int | None) -> LookupLayer:
    return step_lookups(ring.ring_bits, scales.output)


TRANSFERS: dict[type[Layer], Transfers] = {
    Relu: Transfers(_relu_lookups),
    BoundedRelu: Transfers(_bounded_relu_lookups),
    LeakyRelu: Transfers(_leaky_relu_lookups, fits=_leaky_relu_fits),
    Square: Transfers(_square_lookups, fits=_square_fits),
    MaxPool: Transfers(_maximum_lookups, needs_spare_bit=True),
    Rescale: Transfers(_rescale_lookups, fits=_drops_bits),
    Step: Transfers(_step_lookups),
}

_NARROWING = (Relu, BoundedRelu, LeakyRelu, Rescale)  # with a shift: x >> 1 lies in [-t/4, t/4)


def transferable(network: QuantizedNetwork) -> set[str]:
    """The names of the layers whose form by transfers is exact in this network.

    It follows from public figures alone: kinds, shapes, shifts, slopes and widths of squares.
    """
    found: set[str] = set()
    spare: set[str] = set()
    small = bits_of_maxima(network)
    for layer in network.layers:
        form = TRANSFERS.get(type(layer))
        if (
            form is not None
            and (not form.needs_spare_bit or layer.name in small or layer.inputs[0] in spare)
            and form.fits(layer, network.fixed_point, network.scales(layer))
        ):
            found.add(layer.name)
        narrows = isinstance(layer, _NARROWING) and network.scales(layer).shift >= 1
        keeps = isinstance(layer, (*_NARROWING, *MOVEMENTS)) and spare.issuperset(layer.inputs)
        if narrows or keeps:
            spare.add(layer.name)
    return found
