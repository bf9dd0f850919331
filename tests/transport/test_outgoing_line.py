"""Which messages wait until a party's line is free."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from capc.transport import outgoing_line
from capc.transport.outgoing_line import OutgoingLine

RATE = 8e6  # a byte takes a microsecond
ROUND_TRIP = 0.04


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(outgoing_line, "time", clock)
    yield clock


def test_a_line_of_which_nothing_is_known_is_free(clock: Clock) -> None:
    line = OutgoingLine()
    line.sent(1 << 40)
    assert line.has_room(1 << 40)
    assert line.answer_at() == clock.now


def test_what_can_wait_queues_up_for_20_ms_at_most(clock: Clock) -> None:
    line = OutgoingLine(RATE)
    line.sent(20_000)
    assert line.has_room(1 << 20), "however long it is itself"
    line.sent(1)
    assert not line.has_room(0)
    clock.now += 1e-3
    assert line.has_room(0)


def test_it_has_left_before_the_line_is_needed(clock: Clock) -> None:
    line = OutgoingLine(RATE, ROUND_TRIP)
    line.sent(10_000)
    line.keep_from(line.answer_at())
    assert line.answer_at() == pytest.approx(clock.now + 0.05)
    assert line.has_room(39_000)
    assert not line.has_room(41_000)
    clock.now += 0.045
    assert line.has_room(4_000)
    assert not line.has_room(6_000)
    line.keep_from(math.inf)
    assert line.has_room(6_000)


def test_a_line_that_is_slower_than_its_rate_is_seen(clock: Clock) -> None:
    """A round trip of bytes is unconfirmed on any line that is busy; more of them wait in it."""
    unconfirmed = 40_000
    line = OutgoingLine(RATE, ROUND_TRIP, lambda: unconfirmed)
    assert line.has_room(0)
    assert line.answer_at() == clock.now + ROUND_TRIP
    unconfirmed = 61_000
    assert not line.has_room(0)
    assert line.answer_at() == pytest.approx(clock.now + 0.021 + ROUND_TRIP)
