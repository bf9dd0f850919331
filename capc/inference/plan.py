"""What a querying party may know of an answering party's network: its shape, never its weights.

The plan travels once a session. It is the integer network with every weight array replaced by
zeros of that shape (which take no memory), without bounds, its layers renamed by position. The
receiver trusts none of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from capc.errors import CapcError, ProtocolError
from capc.fixed_point import FixedPoint
from capc.graph.layers import (
    KINDS,
    AvgPool,
    Conv2D,
    Input,
    Layer,
    MaxPool,
    QuantizedNetwork,
    Shape,
)
from capc.piecewise import PiecewiseTable

MAX_PLAN_BYTES = 1 << 20
MAX_LAYERS = 1000
MAX_ELEMENTS = 1 << 24  # of one layer's output, one padded image or one weight array
MAX_VALUES = 1 << 26  # of all layers' outputs, and of the windows of all pools
MAX_WINDOW_PIXELS = 1 << 14  # inputs of the circuits of all maxima
MAX_NAME_CHARACTERS = 200

_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


def public_part(network: QuantizedNetwork) -> QuantizedNetwork:
    """The network without weights, bounds and names: what its owner tells a querying party."""
    names = {layer.name: f"layer-{index}" for index, layer in enumerate(network.layers)}
    layers = []
    for layer in network.layers:
        arrays = {
            field.name: _zeros(getattr(layer, field.name).shape)
            for field in dataclasses.fields(layer)
            if field.type == "Weights"
        }
        inputs = tuple(names[name] for name in layer.inputs)
        layers.append(dataclasses.replace(layer, name=names[layer.name], inputs=inputs, **arrays))
    return QuantizedNetwork(
        fixed_point=network.fixed_point,
        input_range=network.input_range,
        layers=tuple(layers),
        bounds={},
        fraction_bits={names[name]: bits for name, bits in network.fraction_bits.items()},
    )


def plan_to_json(
    plan: QuantizedNetwork, transfers: Collection[int] = (), rate: float | None = None
) -> dict[str, Any]:
    """A JSON object; arrays are given by their shape.

    `transfers` are the places of the layers that run by transfers in place of garbled circuits.
    `rate` is that of the line, in bits a second, by which packings are chosen.
    """
    return {
        "ring_bits": plan.fixed_point.ring_bits,
        "fraction_bits": plan.fixed_point.fraction_bits,
        "input_range": list(plan.input_range),
        "transfers": sorted(transfers),
        "rate": rate,
        "layers": [
            _layer_to_json(layer) | {"output_bits": plan.fraction_bits[layer.name]}
            for layer in plan.layers
        ],
    }


def plan_from_json(value: dict[str, Any]) -> QuantizedNetwork:
    """Parse a peer's plan; ProtocolError where it is not one that this program can follow."""
    try:
        fixed_point = FixedPoint(_integer(value["ring_bits"]), _integer(value["fraction_bits"]))
        low, high = (float(end) for end in value["input_range"])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("the input range is empty")
        entries = value["layers"]
        if not 2 <= len(entries) <= MAX_LAYERS:
            raise ValueError(f"it has {len(entries)} layers")
        known: dict[str, Layer] = {}
        bits: dict[str, int] = {}
        for entry in entries:
            layer = _layer_from_json(entry)
            if layer.name in known or any(name not in known for name in layer.inputs):
                raise ValueError(f"layer {layer.name} comes before its inputs, or twice")
            if isinstance(layer, Input) == bool(known) or bool(layer.inputs) != bool(known):
                raise ValueError("the input is not the first layer, or not the only one")
            known[layer.name] = layer
            bits[layer.name] = _integer(entry["output_bits"])
            if not 0 <= bits[layer.name] < fixed_point.ring_bits:
                raise ValueError(f"layer {layer.name} has {bits[layer.name]} fractional bits")
        if len(layer.shape) != 1:
            raise ValueError("the last layer is not a vector of logits")
    except (*_UNREADABLE, RecursionError) as error:
        raise ProtocolError(f"the peer sent a plan that cannot be followed ({error})") from None
    return QuantizedNetwork(
        fixed_point=fixed_point,
        input_range=(low, high),
        layers=tuple(known.values()),
        bounds={},
        fraction_bits=bits,
    )


def transfers_from_json(value: dict[str, Any], plan: QuantizedNetwork) -> set[str]:
    """The names of the layers that the peer runs by transfers; ProtocolError for what is no layer.

    Whether they have such a form is not checked here.
    """
    try:
        places = {_integer(place) for place in value["transfers"]}
    except _UNREADABLE:
        raise ProtocolError("the peer's plan does not say which layers run by transfers") from None
    if any(not 0 <= place < len(plan.layers) for place in places):
        raise ProtocolError("the peer's plan names a layer to run by transfers that it lacks")
    return {plan.layers[place].name for place in places}


def check_plan(plan: QuantizedNetwork) -> None:
    """ProtocolError unless every layer's shape and bits follow, and all of it is within limits.

    Nothing is computed and nothing is allocated.
    """
    shapes, values, pixels = {plan.input.name: plan.input.shape}, math.prod(plan.input.shape), 0
    try:
        for layer in plan.layers[1:]:
            inputs = [shapes[name] for name in layer.inputs]
            input_bits = [plan.fraction_bits[name] for name in layer.inputs]
            bits = layer.output_bits(input_bits, plan.fixed_point.fraction_bits)
            if layer.output_shape(inputs) != layer.shape:
                raise ValueError(f"{layer.name} cannot have the shape {layer.shape}")
            if bits != plan.fraction_bits[layer.name]:
                raise ValueError(f"{layer.name} cannot have so many fractional bits")
            shapes[layer.name] = layer.shape
            values += math.prod(layer.shape) + _window_values(layer, inputs[0])
            pixels += math.prod(layer.window) if isinstance(layer, MaxPool) else 0
            if values > MAX_VALUES or pixels > MAX_WINDOW_PIXELS:
                raise ValueError(f"its layers up to {layer.name} are too large together")
    except (CapcError, *_UNREADABLE) as error:
        raise ProtocolError(f"the peer sent a plan that cannot be followed ({error})") from None


def _window_values(layer: Layer, shape: Shape) -> int:
    """The values in the windows of a pool; ValueError where a padded image is too large."""
    if not isinstance(layer, (AvgPool, Conv2D, MaxPool)):
        return 0
    (top, bottom), (left, right) = layer.padding
    _checked_shape((shape[0] + top + bottom, shape[1] + left + right, shape[2]))
    return 0 if isinstance(layer, Conv2D) else math.prod(layer.shape) * math.prod(layer.window)


def _zeros(shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(np.int64(0), shape)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _require_integers(value: Any) -> None:
    """Of a layer over integers every number is whole."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, tuple):
            _require_integers(item)
        else:
            _integer(item)


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": type(layer).__name__}
    for field in dataclasses.fields(layer):
        content = getattr(layer, field.name)
        if field.type == "Weights":
            content = list(content.shape)
        elif isinstance(content, PiecewiseTable):
            content = vars(content)
        entry[field.name] = content
    return entry


def _layer_from_json(entry: dict[str, Any]) -> Layer:
    kind = KINDS[entry["kind"]]
    content: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = _tuples(entry[field.name])
        if field.type == "Weights":
            value = _zeros(_checked_shape(value))
        elif field.type == "PiecewiseTable | None" and value is not None:
            value = PiecewiseTable(**{name: _tuples(item) for name, item in value.items()})
        elif not str(field.type).startswith(("str", "tuple[str")):
            _require_integers(value)
        content[field.name] = value
    layer = kind(**content)
    _checked_shape(layer.shape)
    names = (layer.name, *layer.inputs)
    if not all(isinstance(name, str) and len(name) <= MAX_NAME_CHARACTERS for name in names):
        raise ValueError(f"a layer's name is not a text of at most {MAX_NAME_CHARACTERS}")
    return layer


def _checked_shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"{shape} is not a shape")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a shape of {math.prod(shape)} elements is too large")
    return shape


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
