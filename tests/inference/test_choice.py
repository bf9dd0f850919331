"""Which non-linear layers run by transfers: by what was agreed on, the same at both parties."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from padded_pool import convolution, padded_maximum
from two_party import assert_bit_for_bit, assert_disagreement, run

from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import FixedPoint
from capc.gc import layer_pieces
from capc.gc.lookup_layers import LookupLayer
from capc.gc.lookups import DEEP_TREES
from capc.graph.layers import (
    BoundedRelu,
    Dense,
    Input,
    Layer,
    LeakyRelu,
    Network,
    PiecewiseLinear,
    QuantizedNetwork,
    Relu,
    Reshape,
    Square,
)
from capc.graph.quantize import quantize
from capc.inference import layout
from capc.inference.choice import GARBLED, NonlinearChoice, both_costs, described
from capc.inference.layout import LOCAL_SUPPLY, nonlinear_plans
from capc.inference.link import WITHIN_A_MACHINE, Link, beyond_loopback
from capc.inference.link_probe import answer, measure
from capc.inference.plan import plan_to_json, public_part, transfers_from_json
from capc.inference.protocols import circuits_of, functions_of
from capc.inference.supply import Supply
from capc.inference.transfer_forms import transferable
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

TRANSFERS, AUTO = NonlinearChoice("transfers"), NonlinearChoice("auto")
MEASURED = NonlinearChoice.of("auto", "measured")
SLOW = Link.parse("2ms,100mbit")
FAR = Link.parse("2s,10gbit")


def network(*, pool_first: bool = False) -> QuantizedNetwork:
    """Convolution, ReLU, padded maximum, bounded ReLU, tanh, dense; or the maximum before."""
    random = np.random.default_rng(11)
    middle: tuple[Layer, ...] = (Relu("r", ("c",), (6, 6, 2)), padded_maximum("r"))
    if pool_first:
        middle = (padded_maximum("c"), Relu("r", ("p",), (6, 6, 2)))
    layers: tuple[Layer, ...] = (
        *convolution(random, 0.4),
        *middle,
        Reshape("f", (middle[-1].name,), (72,)),
        Dense("d", ("f",), (12,), random.normal(0, 0.3, (72, 12)), np.zeros(12)),
        BoundedRelu("b", ("d",), (12,), cap=6.0),
        Dense("e", ("b",), (8,), random.normal(0, 0.3, (12, 8)), np.zeros(8)),
        PiecewiseLinear("s", ("e",), (8,), function="tanh"),
        Dense("z", ("s",), (3,), random.normal(0, 0.3, (8, 3)), np.zeros(3)),
    )
    return quantize(Network(layers), FixedPoint(41, 8), (0.0, 1.0))


def test_a_layer_has_both_forms_where_look_ups_are_exact() -> None:
    assert transferable(network()) == {"r", "p", "b"}
    # Before the shift of a ReLU the difference of two numbers may leave the ring.
    assert transferable(network(pool_first=True)) == {"r", "b"}


def activations(fraction_bits: int, slope: float) -> QuantizedNetwork:
    """Dense layers with a square and a leaky ReLU behind them, in a ring of 41 bits."""
    random = np.random.default_rng(12)
    layers: tuple[Layer, ...] = (
        Input("x", (), (6,)),
        Dense("d", ("x",), (8,), random.normal(0, 0.4, (6, 8)), np.zeros(8)),
        LeakyRelu("l", ("d",), (8,), slope=slope),
        Dense("e", ("l",), (8,), random.normal(0, 0.4, (8, 8)), np.zeros(8)),
        Square("s", ("e",), (8,)),
        Dense("z", ("s",), (3,), random.normal(0, 0.4, (8, 3)), np.zeros(3)),
    )
    return quantize(Network(layers), FixedPoint(41, fraction_bits), (-1.0, 1.0))


@pytest.mark.parametrize("slope", [0.2, 0.0])
def test_squares_and_leaky_relus_have_both_forms(slope: float) -> None:
    given = activations(8, slope)
    assert transferable(given) == {"l", "s"}
    images = np.random.default_rng(6).uniform(-1, 1, (9, 6))
    assert_bit_for_bit(given, images, choice=TRANSFERS)


def test_public_figures_that_leave_no_form_by_transfers() -> None:
    given = activations(13, 0.99999)  # a slope that rounds to 1
    square = given.layer("s")
    assert isinstance(square, Square)
    wide = replace(square, value_bits=27)  # the sum in shares has no bit to spare
    layers = tuple(wide if layer.name == "s" else layer for layer in given.layers)
    assert transferable(replace(given, layers=layers)) == set()
    assert circuits_of(replace(given, layers=layers)).keys() == {"l", "s"}


def test_all_that_can_run_by_transfers() -> None:
    images = np.random.default_rng(5).uniform(0, 1, (2, 6, 6, 1))
    assert_bit_for_bit(network(), images, choice=TRANSFERS)


def test_no_look_ups_are_ahead_of_the_query_after_some_that_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The maximum would be too much to keep; what comes after it must be used after it."""
    monkeypatch.setattr(layout, "MAX_KEPT_BYTES", 30_000)
    given = network()
    plans = nonlinear_plans(given, functions_of(given, transferable(given)), 1)
    assert {name: plan.ahead for name, plan in plans.items()} == {
        **{"r": True, "p": False, "b": False},
        "s": False,  # too large by itself
    }
    assert_bit_for_bit(
        given, np.random.default_rng(5).uniform(0, 1, (1, 6, 6, 1)), choice=TRANSFERS
    )


def test_all_layers_of_a_batch_share_a_stock_or_none_does() -> None:
    """What counts is their sum, over the queries of the batch."""
    given = network()
    functions = functions_of(given, transferable(given))
    counts = {
        name: math.prod(given.layer(name).shape) * function.transfers
        for name, function in functions.items()
        if isinstance(function, LookupLayer)
    }
    assert len(counts) == 3
    supply = Supply(DEEP_TREES, stock_from=2 * sum(counts.values()))
    for queries in (1, 2):
        plans = nonlinear_plans(given, functions, queries, supply)
        assert {plan.tree_depth for plan in plans.values()} == {DEEP_TREES}
        drawing = {name for name, plan in plans.items() if plan.from_stock}
        assert drawing == (set(counts) if queries == 2 else set())


def test_the_choice_by_the_line() -> None:
    given = network()
    assert GARBLED.transfers(given) == set()
    assert TRANSFERS.transfers(given) == transferable(given)
    # Within a machine bytes and round trips cost next to nothing, and look-ups do less work.
    assert AUTO.transfers(given) == {"r", "p", "b"}
    assert NonlinearChoice("auto", FAR).transfers(given) == set()  # round trips cost most
    assert NonlinearChoice("auto", SLOW).transfers(given) == {"r", "p"}  # few values stay garbled


def test_auto_takes_the_cheaper_of_the_two_expectations(monkeypatch: pytest.MonkeyPatch) -> None:
    given = network()
    for link in (WITHIN_A_MACHINE, SLOW, FAR, Link.parse("40ms,100mbit")):
        costs = both_costs(given, link)
        assert {name for name, (_, looked_up) in costs.items() if looked_up is None} == {"s"}
        chosen = NonlinearChoice("auto", link).transfers(given)
        for name in transferable(given):
            garbled, looked_up = costs[name]
            assert looked_up is not None
            assert (name in chosen) == (looked_up.seconds(link) < garbled.seconds(link))
    # A layer that runs in pieces, one behind the other, takes the round trips of one.
    whole = costs["b"][1]
    monkeypatch.setattr(layer_pieces, "PIECE_INSTANCES", 5)
    pieces = both_costs(given, WITHIN_A_MACHINE)["b"][1]
    assert whole is not None and pieces is not None
    assert pieces.online_bytes > whole.online_bytes
    assert pieces.online_rounds == whole.online_rounds


def test_both_parties_say_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(network(), np.zeros((1, 6, 6, 1)), choice=TRANSFERS)
    said = [record.message for record in caplog.records if "non-linear" in record.message]
    supply = (
        "; oblivious transfers by corrections of 4 bytes, or from a stock in batches of 1,048,576 "
        "and more"
    )
    assert f"non-linear layers by transfers: r, p, b; garbled: s{supply}" in said
    assert (
        "answering-0: non-linear layers by transfers: layer-2, layer-3, layer-6; garbled: layer-8"
        + supply
        in said
    )
    assert described(network(), (), LOCAL_SUPPLY) == "non-linear layers garbled: r, p, b, s"


def test_another_choice_than_agreed_ends_the_session() -> None:
    message = r"agreed on \(--nonlinear\): layer-2, layer-3"
    assert_disagreement(network(), TRANSFERS, GARBLED, message)


def test_the_line_is_measured_where_the_parties_meet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert_bit_for_bit(network(), np.zeros((1, 6, 6, 1)), choice=MEASURED)
    assert any("the line to querying: " in record.message for record in caplog.records)


class SlowChannel(Channel):
    """Takes a while before it says anything."""

    def send(self, message_type: MessageType, payload: bytes | bytearray | memoryview) -> None:
        time.sleep(0.02)
        super().send(message_type, payload)


def test_a_slow_peer_looks_like_a_slow_line() -> None:
    left, right = socket.socketpair()
    with Channel(left, "querying") as asking, SlowChannel(right, "answering-0") as answering:
        thread = threading.Thread(target=answer, args=(answering,))
        thread.start()
        link = measure(asking)
        thread.join()
    assert 0.02 <= link.round_trip < 2.0
    assert link.rate > 0


def test_a_plan_that_names_what_is_no_layer() -> None:
    plan = public_part(network())
    good = plan_to_json(plan, {3, 2})
    assert transfers_from_json(good, plan) == {"layer-2", "layer-3"}
    for bad in ([99], [-1], ["2"], [2.0], [True], [[2]], 3, None):
        with pytest.raises(ProtocolError, match="transfers"):
            transfers_from_json({**good, "transfers": bad}, plan)
    with pytest.raises(ValueError, match="layer-8 has no form by transfers"):
        functions_of(plan, {"layer-8"})


@pytest.mark.parametrize("text", ["", "40ms", "100mbit", "40 ms,1mbit", "1ms,0mbit", "9999s,1mbit"])
def test_links_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--link is"):
        Link.parse(text)


def test_a_choice_goes_into_a_file_and_comes_back() -> None:
    for choice in (GARBLED, AUTO, MEASURED, NonlinearChoice("auto", SLOW)):
        assert NonlinearChoice.of(choice.way, choice.to_fields()["link"]) == choice


def test_links() -> None:
    assert Link.parse("40ms,100mbit") == Link(0.04, 1e8, "40ms,100mbit")
    assert Link.parse("0.5us,2.5gbit").seconds(2.5e9, 2e6) == pytest.approx(9.0)
    assert WITHIN_A_MACHINE.seconds(1e12, 1e6) == 0.0
    assert beyond_loopback(Link(1e-4, 7e9)) == WITHIN_A_MACHINE
    for slower in (Link(1e-3, 7e9), Link(1e-4, 1e9)):
        assert beyond_loopback(slower) == slower
    assert SLOW.described() == "2 ms there and back, 100 Mbit/s"
