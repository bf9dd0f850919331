"""What all models of a run use alike, so that a querying party's view depends on no single one.

A plan holds the ring, the fractional bits, the ends of calibrated activations and the widths of
squares. Made from one model's weights, they would change with its training set. So they are
constants of a run: given by the user, or the smallest that the models need together, computed by
who holds them all and public from then on. Models of one architecture then have equal plans.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from capc.errors import ConfigError, ModelError, RangeError
from capc.fixed_point import FixedPoint, Float64
from capc.graph.calibration import calibration_bounds, with_bounds
from capc.graph.layers import Conv2D, Dense, Layer, Network, QuantizedNetwork, Square, WeightedLayer
from capc.graph.quantize import quantize
from capc.graph.ring_choice import FEWEST_FRACTION_BITS, FRACTION_BITS, require_sums, ring_for
from capc.graph.scaling import in_ring


@dataclass(frozen=True)
class Agreement:
    """The constants for models of one architecture.

    `bounds`: the end of each calibrated activation, by its place in the network without them.
    `weight_bits`: of each product's weights, |w| < 2^bits as integers. `value_bits`: of each
    square's argument. Both in the order of the layers.
    """

    ring: FixedPoint
    bounds: Mapping[int, float] = field(default_factory=dict)
    weight_bits: tuple[int, ...] = ()
    value_bits: tuple[int, ...] = ()

    def to_fields(self) -> dict[str, Any]:
        """A JSON object that `from_fields` reads."""
        return {
            "ring_bits": self.ring.ring_bits,
            "fraction_bits": self.ring.fraction_bits,
            "bounds": sorted([place, bound] for place, bound in self.bounds.items()),
            "weight_bits": list(self.weight_bits),
            "value_bits": list(self.value_bits),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Agreement:
        """Raises KeyError, TypeError or ValueError for anything else than `to_fields` gives."""
        return cls(
            FixedPoint(int(fields["ring_bits"]), int(fields["fraction_bits"])),
            {int(place): float(bound) for place, bound in fields["bounds"]},
            tuple(int(bits) for bits in fields["weight_bits"]),
            tuple(int(bits) for bits in fields["value_bits"]),
        )


@dataclass(frozen=True, eq=False)
class Agreed:
    """By model, in order: its constants, the network that runs with them, its clipped weights."""

    ring: FixedPoint
    agreements: Sequence[Agreement]
    networks: Sequence[Network]
    clipped: Sequence[int]


def agree(
    networks: Sequence[Network],
    input_range: tuple[float, float],
    max_logit: float,
    *,
    calibrated: Sequence[Network] | None = None,
    ring_bits: int | None = None,
    fraction_bits: int | None = None,
    terms: int = 1,
) -> Agreed:
    """The constants for a run of these models; `calibrated` are they with ends of their own.

    The ring holds a sum of `terms` logits. With `ring_bits` the ring is fixed, and so are the
    fractional bits (FRACTION_BITS unless given): weights are clipped until every model fits.
    Without it, RangeError or ConfigError names the layer for which no ring is large enough.
    """
    kinds = [architecture(network) for network in networks]
    bounds: dict[str, dict[int, float]] = {kind: {} for kind in kinds}
    for kind, network, ready in zip(kinds, networks, calibrated or networks, strict=True):
        for place, bound in calibration_bounds(network, ready).items():
            bounds[kind][place] = max(bound, bounds[kind].get(place, bound))
    bounded: dict[int, Network] = {}  # parties that share a model go on to share it
    for kind, network in zip(kinds, networks, strict=True):
        if id(network) not in bounded:
            bounded[id(network)] = with_bounds(network, bounds[kind])
    ring = _ring(
        *(list(bounded.values()), input_range, max_logit, ring_bits, fraction_bits), terms=terms
    )
    ready_of = {key: fitted(network, ring, input_range) for key, network in bounded.items()}
    for found in ready_of.values():
        require_sums(found.integers, terms)
    agreements = {}
    for kind in dict.fromkeys(kinds):
        alike = [
            ready_of[id(network)].integers
            for other, network in zip(kinds, networks, strict=True)
            if other == kind
        ]
        weights, squares = [_weight_bits(one) for one in alike], [_value_bits(one) for one in alike]
        if ring_bits is not None:
            squares = [_widest_squares(alike[0])]
        agreements[kind] = Agreement(ring, bounds[kind], _largest(weights), _largest(squares))
    return Agreed(
        ring,
        [agreements[kind] for kind in kinds],
        [ready_of[id(network)].network for network in networks],
        [ready_of[id(network)].clipped for network in networks],
    )


def agreed_integers(
    network: Network, agreement: Agreement, input_range: tuple[float, float]
) -> QuantizedNetwork:
    """A model as its owner serves it: bounded, clipped and as integers under the agreement.

    Raises ModelError where it needs more than was agreed.
    """
    bounded = with_bounds(network, agreement.bounds)
    return _agreeing(fitted(bounded, agreement.ring, input_range).integers, agreement)


def with_agreement(
    network: Network, agreement: Agreement, input_range: tuple[float, float]
) -> QuantizedNetwork:
    """The same of a network that is bounded and clipped, such as those of `Agreed`."""
    return _agreeing(in_ring(network, agreement.ring, input_range), agreement)


def _agreeing(integers: QuantizedNetwork, agreement: Agreement) -> QuantizedNetwork:
    """With the agreed widths; ModelError where it needs more."""
    for needed, agreed, what in (
        (_weight_bits(integers), agreement.weight_bits, "weights"),
        (_value_bits(integers), agreement.value_bits, "squares"),
    ):
        if len(needed) != len(agreed) or any(
            own > bits for own, bits in zip(needed, agreed, strict=True)
        ):
            raise ModelError(
                f"the model has {what} of {needed} bits, and the run agreed on {agreed}: it is not "
                "the model that the run was prepared for"
            )
    weights, squares = iter(agreement.weight_bits), iter(agreement.value_bits)
    return replace(
        integers,
        layers=tuple(
            replace(layer, value_bits=next(squares)) if isinstance(layer, Square) else layer
            for layer in integers.layers
        ),
        weight_bits={
            layer.name: next(weights)
            for layer in integers.layers
            if isinstance(layer, WeightedLayer)
        },
    )


def architecture(network: Network) -> str:
    """All of a network but its weights and names, as text: equal for models of one architecture."""
    places = {layer.name: place for place, layer in enumerate(network.layers)}
    described = []
    for layer in network.layers:
        entry: dict[str, Any] = {"kind": type(layer).__name__}
        for one in fields(layer):
            value = getattr(layer, one.name)
            entry[one.name] = list(value.shape) if isinstance(value, np.ndarray) else value
        entry |= {"name": None, "inputs": [places[name] for name in layer.inputs]}
        described.append(entry)
    return json.dumps(described)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network that the ring holds, as it is or with so many weights clipped, and its integers."""

    network: Network
    clipped: int
    integers: QuantizedNetwork


def fitted(network: Network, ring: FixedPoint, input_range: tuple[float, float]) -> Fitted:
    """The network; or where the ring does not hold it, with weights clipped.

    Large weights are halved before any is clipped (`scaling`). To the largest power of two with
    which it fits, biases too. Raises RangeError where none does.
    """
    try:
        return Fitted(network, 0, in_ring(network, ring, input_range))
    except RangeError as error:
        largest = max(_largest_parameter(layer) for layer in network.layers)
        if not 0 < largest < math.inf:
            raise
        top = math.ceil(math.log2(largest))
        for exponent in range(top - 1, -ring.fraction_bits - 1, -1):
            clipped, count = _clipped(network, math.ldexp(1.0, exponent))
            try:
                quantize(clipped, ring, input_range)
            except RangeError:
                continue
            return Fitted(clipped, count, in_ring(clipped, ring, input_range))
        raise error from None


def _ring(
    networks: Sequence[Network],
    input_range: tuple[float, float],
    max_logit: float,
    ring_bits: int | None,
    fraction_bits: int | None,
    *,
    terms: int,
) -> FixedPoint:
    if ring_bits is not None:
        return FixedPoint(ring_bits, FRACTION_BITS if fraction_bits is None else fraction_bits)
    most, fewest = FRACTION_BITS, FEWEST_FRACTION_BITS
    if fraction_bits is not None:
        most = fewest = fraction_bits
    for bits in range(most, fewest - 1, -1):
        try:
            rings = [
                ring_for(network, bits, input_range, max_logit, terms=terms) for network in networks
            ]
            return max(rings, key=lambda ring: ring.ring_bits)
        except (RangeError, ConfigError):
            if bits == fewest:
                raise
    raise AssertionError("the last round returns or raises")


def _clipped(network: Network, limit: float) -> tuple[Network, int]:
    layers: list[Layer] = []
    count = 0
    for layer in network.layers:
        if not isinstance(layer, Conv2D | Dense):
            layers.append(layer)
            continue
        weights, bias = (np.clip(part, -limit, limit) for part in (layer.weights, layer.bias))
        count += int(np.sum(weights != layer.weights) + np.sum(bias != layer.bias))
        if isinstance(layer, Conv2D):
            layers.append(replace(layer, kernel=weights, bias=bias))
        else:
            layers.append(replace(layer, weight=weights, bias=bias))
    return Network(tuple(layers)), count


def _largest_parameter(layer: Layer) -> float:
    if not isinstance(layer, Conv2D | Dense):
        return 0.0
    parts: tuple[Float64, ...] = (layer.weights, layer.bias)
    return max(float(np.abs(part).max(initial=0.0)) for part in parts)


def _weight_bits(network: QuantizedNetwork) -> tuple[int, ...]:
    return tuple(
        network.weight_bits[layer.name]
        for layer in network.layers
        if isinstance(layer, WeightedLayer)
    )


def _value_bits(network: QuantizedNetwork) -> tuple[int, ...]:
    return tuple(layer.value_bits for layer in network.layers if isinstance(layer, Square))


def _widest_squares(network: QuantizedNetwork) -> tuple[int, ...]:
    """What the ring alone allows."""
    half = network.fixed_point.modulus // 2
    proved = [
        layer.with_proof((-half, half - 1), network.scales(layer), network.fixed_point)
        for layer in network.layers
        if isinstance(layer, Square)
    ]
    return tuple(layer.value_bits for layer in proved if isinstance(layer, Square))


def _largest(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(max(column) for column in zip(*rows, strict=True))
