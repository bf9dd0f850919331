"""What a model needs, as a table on the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from capc.fixed_point import MAX_RING_BITS
from capc.graph.layers import AvgPool, Conv2D, Dense, Layer, LeakyRelu, MaxPool, Network
from capc.graph.quantize import layer_ranges, to_integers


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
