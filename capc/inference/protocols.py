"""What encrypted evaluation makes of each layer: products, circuits, or work on shares alone.

All of it but the weights is public, and follows from the plan that both parties have.
"""

from __future__ import annotations

from typing import TypeAlias, cast

from capc.errors import ModelError
from capc.fixed_point import Int64
from capc.gc.circuits import (
    Circuit,
    bounded_relu_circuit,
    leaky_relu_circuit,
    maximum_circuit,
    relu_circuit,
    truncate_circuit,
)
from capc.gc.smooth_circuits import (
    PiecewiseTable,
    narrow_square_circuit,
    piecewise_linear_circuit,
)
from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Concat,
    Conv2D,
    Dense,
    Gather,
    Input,
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
    Square,
    Transpose,
)
from capc.graph.piecewise import Table, table_in
from capc.he.shapes import LinearShape

LinearLayer: TypeAlias = Conv2D | Dense
NonLinearLayer: TypeAlias = (
    Relu | BoundedRelu | LeakyRelu | Square | MaxPool | PiecewiseLinear | Rescale
)

LINEAR = (Conv2D, Dense)
NON_LINEAR = (Relu, BoundedRelu, LeakyRelu, Square, MaxPool, PiecewiseLinear, Rescale)
LOCAL = (Input, Add, AvgPool, Bias, Concat, Gather, Negative, Pad, Reshape, Transpose)


def linear_shape(network: QuantizedNetwork, layer: LinearLayer) -> LinearShape:
    """The public shape of a linear layer."""
    if isinstance(layer, Dense):
        return LinearShape.dense(*layer.weight.shape)
    source = next(other for other in network.layers if other.name == layer.inputs[0])
    return LinearShape.convolution(
        cast(tuple[int, int, int], source.shape),
        cast(tuple[int, int, int, int], layer.kernel.shape),
        strides=layer.strides,
        padding=layer.padding,
        dilations=layer.dilations,
        groups=layer.groups,
    )


def linear_weight(layer: LinearLayer) -> Int64:
    """The centred integer weights."""
    return layer.weight if isinstance(layer, Dense) else layer.kernel


def circuit_for(network: QuantizedNetwork, layer: NonLinearLayer) -> Circuit:
    """The circuit of one instance: shares in, the function, a fresh share out.

    Raises ValueError where a peer's plan holds figures that no circuit has.
    """
    ring, fraction = network.fixed_point.ring_bits, network.fixed_point.fraction_bits
    shift = network.fraction_bits[layer.inputs[0]] - network.fraction_bits[layer.name]
    if isinstance(layer, Square):
        return narrow_square_circuit(ring, shift, fraction, layer.value_bits)
    if isinstance(layer, MaxPool):
        return maximum_circuit(ring, layer.window[0] * layer.window[1])
    if isinstance(layer, PiecewiseLinear):
        return piecewise_linear_circuit(ring, shift, _engine_table(table_in(layer)))
    if isinstance(layer, LeakyRelu) and int(layer.slope) < 1 << fraction:
        return leaky_relu_circuit(ring, shift, int(layer.slope), fraction)
    if isinstance(layer, Relu | BoundedRelu):
        return _rectifier(ring, shift, int(layer.cap) if isinstance(layer, BoundedRelu) else None)
    return truncate_circuit(ring, shift)


def _rectifier(ring: int, shift: int, cap: int | None) -> Circuit:
    """Relu, with its cap where a value of the ring reaches it."""
    if cap is None or cap >> (ring - 1 - shift):
        return relu_circuit(ring, shift)
    return bounded_relu_circuit(ring, shift, cap)


def _engine_table(table: Table) -> PiecewiseTable:
    return PiecewiseTable(
        table.reach, table.slope_bits, table.slopes, table.bases, table.below, table.above
    )


def require_supported(network: Network | QuantizedNetwork) -> None:
    """ModelError, naming the layer and a way out, where a network cannot run encrypted."""
    if not any(isinstance(layer, LINEAR) for layer in network.layers):
        raise ModelError(
            f"no layer up to '{network.layers[-1].name}' is linear, so that there is nothing to "
            "encrypt; name a later --output_node, or use --cpu"
        )
    for layer in network.layers:
        if not isinstance(layer, (*LINEAR, *NON_LINEAR, *LOCAL)):
            raise ModelError(
                f"layer '{layer.name}': {type(layer).__name__} cannot be evaluated encrypted; "
                "replace it in the model, or use --cpu"
            )
        if isinstance(layer, MaxPool) and not _has_pixels(layer):
            raise ModelError(
                f"layer '{layer.name}': a window of {layer.window} lies in its padding "
                f"{layer.padding} alone; pad by less than the window, or use --cpu"
            )


def _has_pixels(layer: MaxPool) -> bool:
    """True where padding alone never fills a window."""
    return all(max(pair) < size for size, pair in zip(layer.window, layer.padding, strict=True))
