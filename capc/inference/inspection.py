"""What a model needs, as a table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.table import Table

from capc.console import table_console
from capc.errors import ConfigError, ModelError, RangeError
from capc.fixed_point import RING_BITS, FixedPoint, choose_ring_bits
from capc.graph.layers import Network, PiecewiseLinear, QuantizedNetwork
from capc.graph.piecewise import max_error
from capc.graph.quantize import layer_ranges, to_integers
from capc.graph.ring_choice import FRACTION_BITS, to_ring, why_fewer_bits, why_vanishing
from capc.graph.scaling import in_ring
from capc.he.noise import DISTANCE_BITS
from capc.he.parameters import EncryptionParameters
from capc.inference.arrangement import arranged
from capc.inference.choice import GARBLED, NonlinearChoice, both_costs
from capc.inference.costs import (
    LayerCost,
    at_once,
    expected_seconds,
    query_costs,
    session_bytes,
    total_cost,
)
from capc.inference.link import Link
from capc.inference.protocols import require_supported
from capc.inference.supply import Supply


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
    given = {layer.name: layer for layer in network.layers}
    for layer, found in zip(integers.layers, ranges, strict=True):
        table.add_row(
            layer.name,
            given.get(layer.name, layer).label(),
            "x".join(str(size) for size in layer.shape),
            f"{layer.weight_count:,}" if layer.weight_count else "",
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
    console = table_console()
    console.print(layer_table(title, network, fraction_bits, input_range))
    ranges = layer_ranges(to_integers(network, fraction_bits), fraction_bits, input_range)
    widest = max(ranges, key=lambda found: found.bits)
    verdict = f"The ring needs {widest.bits} bits with {fraction_bits} fractional"
    if widest.bits > RING_BITS[-1]:
        verdict += (
            f". The largest ring has {RING_BITS[-1]}: layer '{widest.name}' does not fit. "
            "Ask for fewer fractional bits, or give public examples with --calibration"
        )
    console.print(
        f"{verdict}. Pixels lie in [{input_range[0]:g}, {input_range[1]:g}].", soft_wrap=True
    )


def fitting_fraction_bits(network: Network, input_range: tuple[float, float]) -> int:
    """The fractional bits that a run chooses, said where fewer than usual; the usual for none."""
    try:
        chosen = to_ring(network, input_range, 0.0).fixed_point
    except (ModelError, ConfigError):
        return FRACTION_BITS
    reason = why_fewer_bits(network, input_range, chosen)
    if reason is not None:
        table_console().print(f"A run has {reason}.", soft_wrap=True, highlight=False)
    reason = why_vanishing(network, input_range, chosen)
    if reason is not None:
        table_console().print(f"WARNING: {reason}.", soft_wrap=True, highlight=False)
    return chosen.fraction_bits


def cost_table(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    parameters: EncryptionParameters,
    *,
    choice: NonlinearChoice = GARBLED,
    batch_size: int = 1,
) -> tuple[list[Table], str]:
    """One row per layer that travels, and a few sentences on a query of such a batch.

    Where `choice` is not simply garbled circuits, a second table compares both ways.

    Raises RangeError, ModelError or ConfigError, naming the layer, where the model does not run.
    """
    require_supported(network)
    ring = _ring(network, fraction_bits, input_range)
    integers = arranged(in_ring(network, ring, input_range), choice)
    transfers = choice.transfers(integers)
    together = at_once(integers, batch_size, transfers=transfers)
    costs = query_costs(integers, parameters, together, transfers, choice.link)
    title = f"One query in a ring of {ring.ring_bits} bits"
    if batch_size > 1:
        title += f", of a batch of {batch_size} that runs {together} at a time"
    tables = [_phase_table(title, costs, choice.link)]
    if choice != GARBLED:
        tables.append(way_table(integers, choice))
    once = session_bytes(integers, parameters, together, transfers, choice.link)
    said = (
        f"{_sentences(costs, choice.link, batch_size)} A pair of parties sends "
        f"{once / 1e6:.2f} MB once a session."
    )
    if transfers:
        said += f" It has {Supply.over(choice.link).described()}."
    return tables, said


def _ring(network: Network, fraction_bits: int, input_range: tuple[float, float]) -> FixedPoint:
    """The smallest that holds every value; RangeError, naming the widest layer, for none."""
    ranges = layer_ranges(to_integers(network, fraction_bits), fraction_bits, input_range)
    widest = max(ranges, key=lambda found: found.bits)
    if widest.bits > RING_BITS[-1]:
        fewer = fraction_bits - -(-(widest.bits - RING_BITS[-1]) // 2)
        raise RangeError(
            f"layer '{widest.name}' needs {widest.bits} bits and the largest ring has "
            f"{RING_BITS[-1]}; use about {max(fewer, 0)} fractional bits (a run chooses fewer by "
            "itself), calibrate on public examples (--calibration), or train with Relu6 for ReLU"
        )
    return FixedPoint(choose_ring_bits((found.low, found.high) for found in ranges), fraction_bits)


def _phase_table(title: str, costs: Mapping[str, LayerCost], link: Link) -> Table:
    """One row per layer that travels: its work, bytes and seconds in each phase."""
    table = Table(title=title)
    for name in ("layer", "work"):
        table.add_column(name, overflow="fold")
    for name in ("distance", "offline MB", "online MB", "offline s", "online s"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, cost in costs.items():
        offline_seconds, online_seconds = cost.phases(link)
        table.add_row(
            name,
            cost.work,
            _as_power(cost.coefficient_distance) if cost.coefficient_distance else "",
            f"{cost.offline_bytes / 1e6:.3f}",
            f"{cost.online_bytes / 1e6:.3f}",
            f"{offline_seconds:.3f}",
            f"{online_seconds:.3f}",
        )
    return table


def way_table(network: QuantizedNetwork, choice: NonlinearChoice) -> Table:
    """One row per non-linear layer: what one query takes in a circuit, and by transfers."""
    chosen = choice.transfers(network)
    line = choice.link.text or "within one machine"
    table = Table(title=f"Non-linear layers of one query, both phases, {line}")
    table.add_column("layer", overflow="fold")
    for way in ("garbled", "transfers"):
        for unit in ("MB", "round trips", "s"):
            table.add_column(f"{way} {unit}", justify="right")
    table.add_column("runs", no_wrap=True)
    for name, costs in both_costs(network, choice.link).items():
        cells = [cell for cost in costs for cell in _way_cells(cost, choice.link)]
        table.add_row(name, *cells, "by transfers" if name in chosen else "garbled")
    return table


def _way_cells(cost: LayerCost | None, link: Link) -> list[str]:
    if cost is None:
        return ["", "", ""]
    return [
        f"{(cost.offline_bytes + cost.online_bytes) / 1e6:.3f}",
        f"{cost.offline_rounds + cost.online_rounds:g}",
        f"{cost.seconds(link):.3f}",
    ]


def _sentences(costs: Mapping[str, LayerCost], link: Link, batch_size: int) -> str:
    total = total_cost(costs)
    offline_seconds, online_seconds = expected_seconds(costs, link)
    said = (
        f"Expected for one query: {total.offline_bytes / 1e6:,.1f} MB and about "
        f"{_seconds(offline_seconds)} s offline, {total.online_bytes / 1e6:,.1f} MB and "
        f"about {_seconds(online_seconds)} s online"
    )
    if batch_size > 1:
        moved = batch_size * (total.offline_bytes + total.online_bytes) / 1e6
        seconds = batch_size * (offline_seconds + online_seconds)
        said += f"; for all {batch_size}: {moved:,.0f} MB and about {_seconds(seconds)} s"
    return (
        f"{said}. Each further answering party on the same machine needs as much again. It holds "
        f"{total.weight_bytes / 1e6:,.0f} MB of transformed weights. The distance says how far a "
        "coefficient of a reply is from uniform, whatever the querying party sends: at most "
        f"2^-{DISTANCE_BITS}. For all replies to one query it is {_as_power(total.distance)}."
    )


def show_costs(
    network: Network,
    fraction_bits: int,
    input_range: tuple[float, float],
    parameters: EncryptionParameters,
    *,
    choice: NonlinearChoice = GARBLED,
    batch_size: int = 1,
) -> None:
    """Print what a query costs, or why the model does not run under these parameters."""
    console = table_console()
    for function in sorted(
        {layer.function for layer in network.layers if isinstance(layer, PiecewiseLinear)}
    ):
        error = max_error(function, fraction_bits)
        console.print(f"{function} is piecewise linear, off by at most {error:.2g}.")
    try:
        tables, said = cost_table(
            *(network, fraction_bits, input_range, parameters),
            choice=choice,
            batch_size=batch_size,
        )
    except (ModelError, ConfigError) as error:
        console.print(f"Does not run: {error}.", soft_wrap=True, highlight=False)
        return
    for table in tables:
        console.print(table)
    console.print(said, soft_wrap=True)


def _as_power(distance: float) -> str:
    return f"2^{math.log2(distance):.1f}"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _real(value: int, bits: int) -> float:
    try:
        return math.ldexp(value, -bits)
    except OverflowError:
        return math.copysign(math.inf, value)
