"""Squares and leaky ReLUs by look-ups: their circuits' integers, at the edges of every ring."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from lookup_layers_pair import assert_equals_circuit, edges

from capc.gc import leaky_relu_circuit, narrow_square_circuit
from capc.gc.lookup_products import (
    leaky_relu_has_lookups,
    leaky_relu_lookups,
    narrow_square_lookups,
    square_has_lookups,
)
from capc.gc.lookups import Lookups

DOCUMENT = Path(__file__).parents[2] / "docs" / "nonlinear-layers.md"


@pytest.mark.parametrize(
    ("ring_bits", "shift", "slope", "fraction_bits"),
    [(20, 5, 13, 7), (20, 0, 1, 1), (37, 12, 819, 12), (57, 12, 4095, 12), (20, 9, 3, 11)],
)
def test_leaky_relus(ring_bits: int, shift: int, slope: int, fraction_bits: int) -> None:
    figures = ring_bits, shift, slope, fraction_bits
    values = edges(-1 << (ring_bits - 1), 1 << (ring_bits - 1))
    near = np.concatenate([np.arange(-3, 4) << shift, np.arange(-9, 9) << (shift + 1)])
    assert_equals_circuit(
        leaky_relu_lookups(*figures),
        leaky_relu_circuit(*figures),
        np.concatenate([values, near - 1, near]),
    )


@pytest.mark.parametrize(
    ("ring_bits", "shift", "drop", "value_bits"),
    [
        (20, 4, 5, 12),  # nearly all of the ring
        (37, 12, 12, 20),
        (57, 12, 12, 31),
        (20, 0, 3, 5),  # the argument's share is in the ring of the square already
        (16, 0, 4, 9),  # a wider ring for the square than the argument's
        (20, 3, 0, 6),  # nothing is dropped behind
        (12, 0, 0, 6),  # nor before: the square alone
        (16, 2, 8, 12),  # the square fills the ring
    ],
)
def test_squares(ring_bits: int, shift: int, drop: int, value_bits: int) -> None:
    figures = ring_bits, shift, drop, value_bits
    top = 1 << (shift + value_bits)
    values = edges(-top + (1 << shift), top)  # x >> shift lies in (-2^value_bits, 2^value_bits)
    layer = narrow_square_lookups(*figures)
    assert_equals_circuit(layer, narrow_square_circuit(*figures), values)


def test_every_argument_of_small_squares() -> None:
    for shift, drop, value_bits in ((0, 1, 3), (1, 0, 4), (2, 3, 4)):
        figures = 9, shift, drop, value_bits
        top = 1 << (shift + value_bits)
        values = np.arange(-top + (1 << shift), top)
        layer = narrow_square_lookups(*figures)
        assert_equals_circuit(layer, narrow_square_circuit(*figures), values)


def test_figures_without_look_ups_are_refused() -> None:
    assert square_has_lookups(37, 12, 12, 23)
    for figures in ((37, 12, 12, 24), (57, 0, 57, 32), (20, 2, 5, 1), (20, 2, 13, 6)):
        assert not square_has_lookups(*figures)
        with pytest.raises(ValueError, match="square"):
            narrow_square_lookups(*figures)
    for slope, fraction_bits in ((0, 7), (128, 7), (3, 16)):
        assert not leaky_relu_has_lookups(20, 5, slope, fraction_bits)
        with pytest.raises(ValueError, match="slope"):
            leaky_relu_lookups(20, 5, slope, fraction_bits)


def test_the_documented_formula_of_a_square() -> None:
    """Bytes and round trips by those of the steps, for 16 bits in a ring of 37 with 12 dropped."""
    layer, count = narrow_square_lookups(37, 12, 12, 16), 65536
    row = re.search(r"^\| square, shift f \| .+ \| (.+) \| (.+) \|$", text(), re.MULTILINE)
    assert row is not None

    def size(function: Lookups) -> float:
        return sum(function.offline_bytes(count)) + sum(function.online_bytes(count))

    names = {
        **{"ring": 37, "f": 12, "v": 16},
        "D": lambda bits, shift, output: size(Lookups.shift(bits, shift, output)),
        "Q": lambda bits: size(Lookups.square(bits)),
        "d": lambda bits, shift, output: Lookups.shift(bits, shift, output).rounds,
    }
    found = [
        eval(formula.replace("\u2113", "ring").replace("2v", "2 * v"), names)
        for formula in row.groups()
    ]
    assert found == [sum(layer.offline_bytes(count)) + sum(layer.online_bytes(count)), layer.rounds]


def test_the_documented_figures() -> None:
    leaky, square = leaky_relu_lookups(37, 12, 819, 12), narrow_square_lookups(37, 12, 12, 16)
    circuits = leaky_relu_circuit(37, 12, 819, 12), narrow_square_circuit(37, 12, 12, 16)
    count = 10_000
    flat = " ".join(text().split())
    for layer, circuit in zip((leaky, square), circuits, strict=True):
        ours = sum(layer.offline_bytes(count, from_stock=True)) + sum(layer.online_bytes(count))
        theirs = sum(circuit.offline_bytes(count)) + sum(circuit.online_bytes(count))
        said = f"{ours / count:.0f} bytes and {layer.rounds} round trips"
        assert f"{said} where its circuit takes {theirs / count:,.0f}" in flat


def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")
