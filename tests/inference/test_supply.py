"""Where look-ups have their transfers from: what takes the least time over the line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from two_party import assert_bit_for_bit

from capc.fixed_point import FixedPoint
from capc.gc import lookup_bytes
from capc.gc.lookups import DEEP_TREES, SHALLOW_TREES, STOCK_TRANSFER_BYTES
from capc.graph.layers import Dense, Input, Network, Relu
from capc.graph.quantize import quantize
from capc.inference.choice import NonlinearChoice
from capc.inference.layout import nonlinear_plans
from capc.inference.link import WITHIN_A_MACHINE, Link
from capc.inference.protocols import functions_of
from capc.inference.supply import CORRECTION_SECONDS, STOCK_SECONDS, Supply
from capc.inference.transfer_forms import transferable

DOCUMENT = Path(__file__).parents[2] / "docs" / "nonlinear-layers.md"
RATES = np.geomspace(1e5, 1e11, 100)
SLOW = Link.parse("2ms,10mbit")


def test_two_bytes_are_worth_the_work_below_some_200_mbit() -> None:
    found = [Supply.over(Link(0.0, rate)).tree_depth for rate in RATES]
    assert found == sorted(found, reverse=True)
    even = 16 / (CORRECTION_SECONDS[DEEP_TREES] - CORRECTION_SECONDS[SHALLOW_TREES])
    assert 1e8 < even < 4e8
    assert Supply.over(Link(0.0, 0.99 * even)).tree_depth == DEEP_TREES
    assert Supply.over(Link(0.0, 1.01 * even)).tree_depth == SHALLOW_TREES
    assert Supply.over(WITHIN_A_MACHINE).tree_depth == SHALLOW_TREES


def test_a_stock_is_for_batches_of_which_ten_pay_for_it() -> None:
    assert Supply.over(WITHIN_A_MACHINE).stock_from == 1 << 20
    found = [Supply.over(Link(0.0, rate)).stock_from for rate in RATES]
    assert found == sorted(found)  # the faster the line, the more transfers it needs
    assert found[-1] == 1 << 20
    for rate in (1e6, 1e7, 1e8):
        supply, link = Supply.over(Link(0.0, rate)), Link(0.0, rate)
        corrected = CORRECTION_SECONDS[supply.tree_depth]
        corrected += link.seconds(lookup_bytes.correction_bytes(supply.tree_depth), 0)
        drawn = STOCK_SECONDS + link.seconds(STOCK_TRANSFER_BYTES, 0)
        start = 0.1 + link.seconds(lookup_bytes.stock_start_bytes(supply.tree_depth), 0)
        spared = 10 * supply.stock_from * (corrected - drawn)
        assert spared == pytest.approx(start, rel=1e-4)


def test_the_delay_of_a_line_changes_nothing() -> None:
    """The querying party knows the rate of a measured line, and no delay."""
    for rate in RATES:
        assert Supply.over(Link(0.3, rate)) == Supply.over(Link(0.0, rate))


def relus(count: int) -> Network:
    random = np.random.default_rng(3)
    return Network(
        (
            Input("x", (), (4,)),
            Dense("d", ("x",), (count,), random.normal(0, 0.3, (4, count)), np.zeros(count)),
            Relu("r", ("d",), (count,)),
            Dense("e", ("r",), (3,), random.normal(0, 0.1, (count, 3)), np.zeros(3)),
        )
    )


@pytest.mark.parametrize("from_stock", [False, True], ids=["corrected", "stock"])
def test_runs_over_a_slow_line_are_exact(from_stock: bool) -> None:
    count = 800 if from_stock else 100
    network = quantize(relus(count), FixedPoint(37, 12), (0.0, 1.0))
    functions = functions_of(network, transferable(network))
    plan = nonlinear_plans(network, functions, 1, Supply.over(SLOW))["r"]
    assert (plan.from_stock, plan.tree_depth) == (from_stock, DEEP_TREES)
    pixels = np.random.default_rng(5).uniform(0, 1, (1, 4))
    assert_bit_for_bit(network, pixels, choice=NonlinearChoice("transfers", SLOW))


def test_rates_that_no_line_has_are_decided_too() -> None:
    slowest = Supply.over(Link(0.0, 1e-3))
    assert slowest.tree_depth == DEEP_TREES
    assert 0 < slowest.stock_from < 1 << 20
    assert Supply.over(Link(0.0, math.inf)) == Supply.over(WITHIN_A_MACHINE)


def test_the_documented_figures() -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    for depth, seeds in ((SHALLOW_TREES, 16), (DEEP_TREES, 256)):
        row = f"{128 // depth} trees of {seeds} seeds | {lookup_bytes.correction_bytes(depth)} |"
        assert f"{row} {1e9 * CORRECTION_SECONDS[depth]:.0f} ns |" in text
    assert f"| {STOCK_TRANSFER_BYTES:.2f} | {1e9 * STOCK_SECONDS:.0f} ns |" in text
    sent = [f"{lookup_bytes.seed_bytes(depth) / 1e6:.1f}" for depth in (SHALLOW_TREES, DEEP_TREES)]
    assert f"seeds of {sent[0]} MB, or {sent[1]} with 256 seeds" in text
    for rate, said in (
        (1e8, "70,000 transfers on at 100"),
        (1e7, "44,000 at 10"),
        (1e9, "430,000"),
    ):
        assert said in text
        count = int(said.split()[0].replace(",", ""))
        assert Supply.over(Link(0.0, rate)).stock_from == pytest.approx(count, rel=0.02)
