"""What encrypted evaluation makes of each layer: products, circuits, or work on shares alone.

All of it but the weights is public, and follows from the plan that both parties have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
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

IMAGES_TOGETHER = 32  # at most this many of a batch run at a time
MAX_PREPARED_BYTES = 1 << 29  # of garbled tables, held from the offline phase on
PIECE_BYTES = 1 << 25
MAX_KEPT_BYTES = 1 << 28


def queries_at_once(batch_size: int, table_bytes: int) -> int:
    """How many queries of a batch run at a time, where each has so many bytes of garbled tables."""
    return max(1, min(batch_size, IMAGES_TOGETHER, MAX_PREPARED_BYTES // max(1, table_bytes)))


def images_together(count: int) -> int:
    """How many of `count` images that run at a time may share polynomials: a power of two.

    That keeps the number of different packings small, for each of which the answering party holds
    transformed weights.
    """
    return 1 << (min(count, IMAGES_TOGETHER).bit_length() - 1)


def table_bytes(network: QuantizedNetwork, circuits: Mapping[str, Circuit]) -> int:
    """Bytes of garbled tables that one query needs."""
    return sum(
        sum(circuits[layer.name].offline_bytes(math.prod(layer.shape)))
        for layer in network.layers
        if isinstance(layer, NON_LINEAR)
    )


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


@dataclass(frozen=True)
class CircuitPlan:
    """How one non-linear layer runs for a batch: in `pieces`, slices of its instances.

    `ahead` is True where its tables are made and sent before the query; False where there would be
    too many of them to keep, and both phases run with the query.
    """

    circuit: Circuit
    pieces: tuple[slice, ...]
    ahead: bool


def circuit_plans(
    network: QuantizedNetwork, circuits: Mapping[str, Circuit], batch_size: int
) -> dict[str, CircuitPlan]:
    """The same at both parties, as it follows from public shapes alone.

    A piece has some 2^25 bytes of tables. From the first layer on, each is prepared ahead that
    leaves the tables of all these below 2^28 bytes together, which the evaluator has to keep.
    """
    plans: dict[str, CircuitPlan] = {}
    kept = 0
    for layer in network.layers:
        if not isinstance(layer, NON_LINEAR):
            continue
        circuit = circuits[layer.name]
        instances = batch_size * math.prod(layer.shape)
        total = circuit.offline_bytes(instances)[0]
        ahead = kept + total <= MAX_KEPT_BYTES
        kept += total if ahead else 0
        step = max(1, instances * PIECE_BYTES // max(total, PIECE_BYTES))
        pieces = (slice(k, min(k + step, instances)) for k in range(0, instances, step))
        plans[layer.name] = CircuitPlan(circuit, tuple(pieces), ahead)
    return plans


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
