"""What a model needs, as a table on the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from capc.errors import ConfigError, ModelError, RangeError
from capc.fixed_point import MAX_RING_BITS, FixedPoint
from capc.graph.costs import query_costs, total_cost
from capc.graph.encrypted import require_supported
from capc.graph.layers import (
    AvgPool,
    Conv2D,
    Dense,
    Layer,
    LeakyRelu,
    MaxPool,
    Network,
    PiecewiseLinear,
)
from capc.graph.piecewise import max_error
from capc.graph.quantize import layer_ranges, quantize, to_integers
from capc.he.parameters import EncryptionParameters
from capc.he.planner import RING_BITS, choose_ring_bits


def layer_table(
    title: str, network: Network, fraction_bits: int, input_range: tuple[float, float]
) -> Table:
    """One row per layer: what it is, its shape, weights, range as reals, bits."""
    integers = to_integers(network, fraction_bits)
    table = Table(title=title)
    for name in ("layer", "kind", "output"):
        table.add_column(name, overflow="fold")
    for name in ("weights", "lowest", "highest", "bits", "fraction"):
        table.add_column(name, justify="right", no_wrap=True)
    ranges = layer_ranges(integers, fraction_bits, input_range)
    for layer, found in zip(integers.layers, ranges, strict=True):
        table.add_row(
            layer.name,
            _kind(layer),
            "x".join(str(size) for size in layer.shape),
            f"{_weight_count(layer):,}" if _weight_count(layer) else "",
            f"{_real(found.low, found.fraction_bits):.4g}",
            f"{_real(found.high, found.fraction_bits):.4g}",
            str(found.bits),
            str(found.fraction_bits),
        )
    return table


def show(
    title: str, network: Network, fraction_bits: int, input_range: tuple[float, float]
) -> None:
    """Print the table and the ring that the model needs."""
    console = Console()
    console.print(layer_table(title, network, fraction_bits, input_range))
    ranges = layer_ranges(to_integers(network, fraction_bits), fraction_bits, input_range)
    widest = max(ranges, key=lambda found: found.bits)
    verdict = f"The ring needs {widest.bits} bits with {fraction_bits} fractional"
    if widest.bits > MAX_RING_BITS:
        verdict += (
            f", {MAX_RING_BITS} is the most there is: layer '{widest.name}' does not fit. "
            "Ask for fewer fractional bits"
        )
    console.print(
        f"{verdict}; pixels lie in [{input_range[0]:g}, {input_range[1]:g}].", soft_wrap=True
    )


def cost_table(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    parameters: EncryptionParameters,
) -> tuple[Table, str]:
    """One row per layer that travels, and one sentence on a whole query.

    Raises RangeError, ModelError or ConfigError, naming the layer, where the model does not run.
    """
    require_supported(network)
    ranges = layer_ranges(to_integers(network, fraction_bits), fraction_bits, input_range)
    widest = max(ranges, key=lambda found: found.bits)
    if widest.bits > RING_BITS[-1]:
        fewer = fraction_bits - -(-(widest.bits - RING_BITS[-1]) // 2)
        raise RangeError(
            f"layer '{widest.name}' needs {widest.bits} bits and the largest ring has "
            f"{RING_BITS[-1]}; use about {max(fewer, 0)} fractional bits (a run takes fewer by "
            "itself), or a model with smaller weights"
        )
    ring = FixedPoint(choose_ring_bits((found.low, found.high) for found in ranges), fraction_bits)
    integers = quantize(network, ring, input_range)
    costs = query_costs(integers, parameters)
    table = Table(title=f"One query in a ring of {ring.ring_bits} bits")
    for name in ("layer", "work"):
        table.add_column(name, overflow="fold")
    for name in ("offline MB", "online MB", "offline s", "online s"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, cost in costs.items():
        table.add_row(
            name,
            cost.work,
            f"{cost.offline_bytes / 1e6:.3f}",
            f"{cost.online_bytes / 1e6:.3f}",
            f"{cost.offline_seconds:.3f}",
            f"{cost.online_seconds:.3f}",
        )
    total = total_cost(costs)
    sentence = (
        f"Expected for one query: {total.offline_bytes / 1e6:.1f} MB and about "
        f"{total.offline_seconds:.2f} s offline, {total.online_bytes / 1e6:.1f} MB and about "
        f"{total.online_seconds:.2f} s online."
    )
    return table, sentence


def show_costs(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    parameters: EncryptionParameters,
) -> None:
    """Print what a query costs, or why the model does not run under these parameters."""
    console = Console()
    for function in sorted(
        {layer.function for layer in network.layers if isinstance(layer, PiecewiseLinear)}
    ):
        error = max_error(function, fraction_bits)
        console.print(f"{function} is piecewise linear, off by at most {error:.2g}.")
    try:
        table, sentence = cost_table(network, fraction_bits, input_range, parameters)
    except (ModelError, ConfigError) as error:
        console.print(f"Does not run: {error}.", soft_wrap=True, highlight=False)
        return
    console.print(table)
    console.print(sentence, soft_wrap=True)


def _kind(layer: Layer) -> str:
    name = type(layer).__name__
    if isinstance(layer, Conv2D):
        rows, columns = layer.kernel.shape[:2]
        grouped = f" g{layer.groups}" if layer.groups > 1 else ""
        return f"{name} {rows}x{columns} s{layer.strides[0]}{grouped}"
    if isinstance(layer, AvgPool | MaxPool):
        return f"{name} {layer.window[0]}x{layer.window[1]} s{layer.strides[0]}"
    return name


def _weight_count(layer: Layer) -> int:
    if isinstance(layer, Conv2D):
        return int(layer.kernel.size + layer.bias.size)
    if isinstance(layer, Dense):
        return int(layer.weight.size + layer.bias.size)
    return int(isinstance(layer, LeakyRelu))


def _real(value: int, bits: int) -> float:
    try:
        return math.ldexp(value, -bits)
    except OverflowError:
        return math.copysign(math.inf, value)
