"""What an encrypted run makes of each layer: a product, a garbled circuit, or work on shares alone.

PROTOCOLS is the one table of it. It has an entry for each class of layer and no default: a class
that it lacks is an error when this module is imported. A circuit may have a second form, by table
look-ups (capc.inference.transfer_forms): the parties choose, layer by layer. All of it but the
weights is public, and follows from the plan that both parties have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from capc.errors import ModelError
from capc.fixed_point import FixedPoint, Int64
from capc.gc.circuits import (
    Circuit,
    bounded_relu_circuit,
    leaky_relu_circuit,
    maximum_circuit,
    relu_circuit,
    step_circuit,
    truncate_circuit,
)
from capc.gc.lookup_layers import LookupLayer
from capc.gc.smooth_circuits import narrow_square_circuit, piecewise_linear_circuit
from capc.graph.kernels import windows
from capc.graph.layers import (
    KINDS,
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Concat,
    Conv2D,
    Dense,
    Gather,
    Input,
    Layer,
    LeakyRelu,
    MaxPool,
    Negative,
    Network,
    Pad,
    PiecewiseLinear,
    QuantizedNetwork,
    Relu,
    Rescale,
    Reshape,
    Scales,
    Square,
    Step,
    Transpose,
    WeightedLayer,
)
from capc.he.shapes import LinearShape
from capc.inference.small_rings import bits_of_outputs
from capc.inference.transfer_forms import TRANSFERS, cap_is_out_of_reach, transferable


def _share_as_words(layer: Layer, share: Int64, padding: int) -> Int64:
    """One word of the share for each output."""
    return share.reshape(-1, 1)


def _no_refusal(layer: Layer) -> str | None:
    return None


@dataclass(frozen=True)
class EncryptedProduct:
    """The querying party's encrypted share times the answering party's weights.

    `shape(layer, input shape)` is the public shape of the product. Raises ValueError for a layer
    that no packing fits.
    """

    shape: Callable[[Any, tuple[int, ...]], LinearShape]


@dataclass(frozen=True)
class GarbledCircuit:
    """A circuit on shares, one instance for each number of the output.

    `circuit(layer, ring, scales)` takes both shares, applies the layer and gives a fresh share; it
    raises ValueError for figures that no circuit has. `words(layer, share, padding)` arranges a
    share (n, *input shape) as the inputs of the instances, (instances, words); `padding` stands in
    padded pixels. `refusal(layer)` says why such a layer cannot run, or None.
    """

    circuit: Callable[[Any, FixedPoint, Scales], Circuit]
    words: Callable[[Any, Int64, int], Int64] = _share_as_words
    refusal: Callable[[Any], str | None] = _no_refusal


@dataclass(frozen=True)
class OnShares:
    """Each party evaluates the layer on its own share: nothing is sent."""


Protocol: TypeAlias = EncryptedProduct | GarbledCircuit | OnShares
Nonlinear: TypeAlias = Circuit | LookupLayer  # a layer's function on shares, either way


def _convolution(layer: Conv2D, shape: tuple[int, ...]) -> LinearShape:
    height, width, depth = shape
    rows, columns, group_depth, filters = layer.kernel.shape
    return LinearShape.convolution(
        (height, width, depth),
        (rows, columns, group_depth, filters),
        strides=layer.strides,
        padding=layer.padding,
        dilations=layer.dilations,
        groups=layer.groups,
    )


def _dense(layer: Dense, shape: tuple[int, ...]) -> LinearShape:
    return LinearShape.dense(*layer.weight.shape)


def _relu(layer: Relu, ring: FixedPoint, scales: Scales) -> Circuit:
    return relu_circuit(ring.ring_bits, scales.shift)


def _bounded_relu(layer: BoundedRelu, ring: FixedPoint, scales: Scales) -> Circuit:
    """Without the cap where no value of the ring reaches it."""
    bits, cap = ring.ring_bits, int(layer.cap)
    if cap_is_out_of_reach(cap, bits, scales):
        return relu_circuit(bits, scales.shift)
    return bounded_relu_circuit(bits, scales.shift, cap)


def _leaky_relu(layer: LeakyRelu, ring: FixedPoint, scales: Scales) -> Circuit:
    """A slope that rounds to 1 leaves the identity."""
    slope, fraction = int(layer.slope), scales.fraction_bits
    if slope >= 1 << fraction:
        return truncate_circuit(ring.ring_bits, scales.shift)
    return leaky_relu_circuit(ring.ring_bits, scales.shift, slope, fraction)


def _square(layer: Square, ring: FixedPoint, scales: Scales) -> Circuit:
    return narrow_square_circuit(
        ring.ring_bits, scales.shift, scales.fraction_bits, layer.value_bits
    )


def _piecewise_linear(layer: PiecewiseLinear, ring: FixedPoint, scales: Scales) -> Circuit:
    return piecewise_linear_circuit(ring.ring_bits, scales.shift, layer.integers)


def _rescale(layer: Rescale, ring: FixedPoint, scales: Scales) -> Circuit:
    return truncate_circuit(ring.ring_bits, scales.shift)


def _step(layer: Step, ring: FixedPoint, scales: Scales) -> Circuit:
    return step_circuit(ring.ring_bits, ring.ring_bits, scales.output)


def _maximum(layer: MaxPool, ring: FixedPoint, scales: Scales) -> Circuit:
    return maximum_circuit(ring.ring_bits, layer.window[0] * layer.window[1])


def _window_words(layer: MaxPool, share: Int64, padding: int) -> Int64:
    """The windows of the share, one row each."""
    view = windows(share, layer.placement, fill=padding)
    gathered = view.transpose(0, 1, 2, 5, 3, 4)
    return np.ascontiguousarray(gathered.reshape(-1, layer.window[0] * layer.window[1]))


def _padding_alone(layer: MaxPool) -> str | None:
    if all(max(pair) < size for size, pair in zip(layer.window, layer.padding, strict=True)):
        return None
    return (
        f"a window of {layer.window} lies in its padding {layer.padding} alone; pad by less than "
        "the window"
    )


PROTOCOLS: dict[type[Layer], Protocol] = {
    Input: OnShares(),
    Conv2D: EncryptedProduct(_convolution),
    Dense: EncryptedProduct(_dense),
    AvgPool: OnShares(),
    Add: OnShares(),
    Bias: OnShares(),
    Negative: OnShares(),
    Reshape: OnShares(),
    Pad: OnShares(),
    Concat: OnShares(),
    Transpose: OnShares(),
    Gather: OnShares(),
    Relu: GarbledCircuit(_relu),
    BoundedRelu: GarbledCircuit(_bounded_relu),
    LeakyRelu: GarbledCircuit(_leaky_relu),
    Square: GarbledCircuit(_square),
    PiecewiseLinear: GarbledCircuit(_piecewise_linear),
    Step: GarbledCircuit(_step),
    Rescale: GarbledCircuit(_rescale),
    MaxPool: GarbledCircuit(_maximum, words=_window_words, refusal=_padding_alone),
}


def require_complete(table: dict[type[Layer], Protocol]) -> None:
    """Raise TypeError unless the table has an entry for each class of layer, and no other."""
    lacking = sorted(kind.__name__ for kind in set(KINDS.values()) ^ set(table))
    if lacking:
        raise TypeError(f"PROTOCOLS and the layers do not agree on {', '.join(lacking)}")


require_complete(PROTOCOLS)


def protocol_of(layer: Layer) -> Protocol:
    """How the two parties evaluate a layer."""
    return PROTOCOLS[type(layer)]


def circuits_of(network: QuantizedNetwork) -> dict[str, Circuit]:
    """By name, the circuit of each layer that has one.

    Raises ValueError where a peer's plan holds figures that no circuit has.
    """
    circuits = {}
    for layer in network.layers:
        protocol = protocol_of(layer)
        if isinstance(protocol, GarbledCircuit):
            scales = network.scales(layer)
            circuits[layer.name] = protocol.circuit(layer, network.fixed_point, scales)
    return circuits


def functions_of(
    network: QuantizedNetwork, transfers: Collection[str] = ()
) -> dict[str, Nonlinear]:
    """By name, the circuit of each non-linear layer, or its look-ups where `transfers` names it.

    Raises ValueError as circuits_of does, and for a layer that has no form by transfers.
    """
    if strangers := sorted(set(transfers) - transferable(network)):
        raise ValueError(f"layer {strangers[0]} has no form by transfers")
    functions: dict[str, Nonlinear] = dict(circuits_of(network))
    bits = bits_of_outputs(network, transfers)
    for name in transfers:
        layer = network.layer(name)
        form, scales = TRANSFERS[type(layer)], network.scales(layer)
        functions[name] = form.lookups(layer, network.fixed_point, scales, bits.get(name))
    return functions


def linear_shape(network: QuantizedNetwork, layer: WeightedLayer) -> LinearShape:
    """The public shape of a product. Raises ValueError for one that no packing fits."""
    protocol = protocol_of(layer)
    if not isinstance(protocol, EncryptedProduct):
        raise TypeError(f"{type(layer).__name__} is no encrypted product")
    return protocol.shape(layer, network.layer(layer.inputs[0]).shape)


def require_supported(network: Network | QuantizedNetwork) -> None:
    """ModelError, naming the layer and a way out, where a network cannot run encrypted."""
    if not any(isinstance(layer, WeightedLayer) for layer in network.layers):
        raise ModelError(
            f"no layer up to '{network.output.name}' is linear, so that there is nothing to "
            "encrypt; name a later --output_node, or use --cpu"
        )
    for layer in network.layers:
        protocol = protocol_of(layer)
        refusal = protocol.refusal(layer) if isinstance(protocol, GarbledCircuit) else None
        if refusal is not None:
            raise ModelError(f"layer '{layer.name}': {refusal}, or use --cpu")
