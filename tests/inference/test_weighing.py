"""Packings for a slow line: fewer bytes, the same integers, the same packings at both parties."""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

import numpy as np
import pytest
from two_party import TINY, assert_bit_for_bit, assert_disagreement, run

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint
from capc.gc import layer_pieces
from capc.graph.layers import (
    Conv2D,
    Dense,
    Input,
    Layer,
    Network,
    QuantizedNetwork,
    Relu,
    Reshape,
)
from capc.graph.quantize import quantize
from capc.inference import supply
from capc.inference.choice import NonlinearChoice
from capc.inference.costs import linear_plans, query_costs, total_cost
from capc.inference.link import WITHIN_A_MACHINE, Link
from capc.inference.weighing import link_from_json, rate_to_json, weighing_of
from capc.transport.framing import HEADER

SLOW = NonlinearChoice.of("transfers", "1ms,100kbit")


def network() -> QuantizedNetwork:
    """Convolution of one channel to 48, ReLU, 48 to 48, ReLU, dense."""
    random = np.random.default_rng(3)
    same = ((1, 1), (1, 1))
    kernels = [random.normal(0, 0.1, (3, 3, channels, 48)) for channels in (1, 48)]
    zeros = np.zeros(48)
    layers: tuple[Layer, ...] = (
        Input("x", (), (8, 8, 1)),
        Conv2D("c", ("x",), (8, 8, 48), kernels[0], zeros, padding=same),
        Relu("r", ("c",), (8, 8, 48)),
        Conv2D("e", ("r",), (8, 8, 48), kernels[1], zeros, padding=same),
        Relu("s", ("e",), (8, 8, 48)),
        Reshape("f", ("s",), (3072,)),
        Dense("d", ("f",), (5,), random.normal(0, 0.1, (3072, 5)), np.zeros(5)),
    )
    return quantize(Network(layers), FixedPoint(41, 10), (0.0, 1.0))


def encrypted_bytes(link: Link) -> int:
    plans = linear_plans(network(), TINY, 1, link).values()
    return sum(plan.bytes_to_server + plan.bytes_to_client for plan in plans)


def test_bytes_and_round_trips_are_those_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a query whose replies are merged; the keys for that belong to set-up.

    Products may arrive in either phase over a line, so that bytes are those of both. Without a
    stock, of whose rounds a query is foretold its share alone, and with layers in one piece: more
    are waited for more often.
    """
    monkeypatch.setattr(supply, "_START_BATCHES", 1e-9)
    monkeypatch.setattr(layer_pieces, "_PIECES", 1)
    given = network()
    assert weighing_of(given, TINY, SLOW.link).merged > 1
    expected = total_cost(query_costs(given, TINY, 1, SLOW.transfers(given), SLOW.link))
    counts: list[Any] = []
    run(given, np.zeros((1, 8, 8, 1)), TINY, counts, SLOW)
    both = counts[2] - counts[0]
    moved = both.bytes_sent + both.bytes_received
    promised = expected.offline_bytes + expected.online_bytes
    assert promised <= moved <= promised + 80 * HEADER.size
    rounds = [(after - before).rounds for before, after in itertools.pairwise(counts)]
    assert rounds == [expected.offline_rounds, expected.online_rounds]


def test_a_slower_line_moves_fewer_bytes() -> None:
    given = network()
    slow, fast = (encrypted_bytes(link) for link in (SLOW.link, WITHIN_A_MACHINE))
    assert slow < 0.9 * fast
    assert (
        weighing_of(given, TINY, SLOW.link).merged
        > weighing_of(given, TINY, WITHIN_A_MACHINE).merged
    )
    # The keys are not worth it where a query is small next to them.
    layers = (Input("x", (), (4,)), Dense("d", ("x",), (3,), np.ones((4, 3)), np.zeros(3)))
    small = quantize(Network(layers), FixedPoint(41, 10), (0.0, 1.0))
    assert weighing_of(small, TINY, SLOW.link).merged == 1


def test_a_machine_counts_as_a_line_of_a_gigabit() -> None:
    given = network()
    within, *others = (
        weighing_of(given, TINY, link)
        for link in (WITHIN_A_MACHINE, Link(0.0, 1e9), Link(0.0, 1e12), Link(0.0, 0.9e9))
    )
    assert within == others[0] == others[1] != others[2]
    assert within.polynomial_cost > 0


def test_another_line_than_agreed_ends_the_session() -> None:
    message = r"another line than was agreed on \(--link\)"
    assert_disagreement(network(), SLOW, NonlinearChoice("transfers"), message)


def test_a_line_is_measured_for_packings_alone_too(caplog: pytest.LogCaptureFixture) -> None:
    """What was agreed on for non-linear layers still counts."""
    caplog.set_level(logging.INFO)
    measured = NonlinearChoice.of("garbled", "measured")
    layers = (Input("x", (), (4,)), Dense("d", ("x",), (3,), np.ones((4, 3)), np.zeros(3)))
    small = quantize(Network(layers), FixedPoint(41, 10), (0.0, 1.0))
    assert_bit_for_bit(small, np.zeros((1, 4)), choice=measured)
    assert any("the line to querying: " in record.message for record in caplog.records)
    assert not measured.is_the_peers


def test_rates_in_a_plan() -> None:
    for link in (WITHIN_A_MACHINE, SLOW.link):
        assert link_from_json({"rate": rate_to_json(link)}).rate == link.rate
    for bad in (0, -1.0, math.inf, math.nan, 10**400, "fast", True, [1]):
        with pytest.raises(ProtocolError, match="how fast the line is"):
            link_from_json({"rate": bad})
