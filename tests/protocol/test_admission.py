"""A querying party that deviates: an answering party serves what the guardian admitted, no more."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from protocol_runs import Runner

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.parties.answering_party import AnsweringParty
from capc.parties.messages import Batch, receive_vote_share
from capc.parties.runtime import Runtime
from capc.privacy.voting_rules import VotingRule
from capc.transport.channel import Channel, Traffic
from capc.transport.framing import MessageType

CLASSES = 3
END = Batch(0, 0)


class Served:
    """Inference and circuit program in one, which note what they are asked to prepare."""

    traffic = Traffic()

    def __init__(self) -> None:
        self.prepared: list[int] = []

    def prepare(self, count: int, fixed: Int64 | None = None) -> None:
        if fixed is None:
            self.prepared.append(count)

    def evaluate_hidden(self, prepared: object) -> None:
        pass

    def evaluate_logits(self, prepared: object) -> Int64:
        return np.zeros((1, CLASSES), dtype=np.int64)

    def evaluate(self, words: Int64) -> None:
        pass


class Ends:
    """An answering party and both of its peers' ends."""

    def __init__(self, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
        for pair in pairs:
            for end in pair:
                end.settimeout(0.3)
        (ours, theirs), (own, other) = pairs
        self.querying, self.guardian = Channel(theirs, "answering-0"), Channel(other, "answering-0")
        config = SimpleNamespace(
            rule=VotingRule("plurality", CLASSES),
            verify=False,
            step_by_step=False,
            n_queries=20,
            batch_size=5,
            own_noise=None,
            takes_turns=False,
        )
        control = SimpleNamespace(
            progress=lambda *_: None, timing=lambda *_, **__: None, stopping=lambda: False
        )
        self.served = Served()
        self.party = AnsweringParty(
            cast(Any, Runtime(cast(Any, config), cast(Any, control), cast(Any, None))),
            Channel(ours, "querying"),
            Channel(own, "guardian"),
            cast(Any, self.served),
            cast(Any, self.served),
            ring_bits=37,
        )

    def announce(self, *batches: Batch) -> None:
        for batch in batches:
            batch.send(self.querying)

    def admit(self, *batches: Batch) -> None:
        for batch in batches:
            batch.send(self.guardian, MessageType.ADMISSION)


@pytest.fixture
def ends() -> Iterator[Ends]:
    pairs = [socket.socketpair(), socket.socketpair()]
    yield Ends(pairs)
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize(
    ("admitted", "announced", "served"),
    [
        ([], [Batch(0, 1)], []),
        ([Batch(0, 1)], [Batch(0, 5)], []),
        ([Batch(0, 5)], [Batch(0, 1)], []),
        ([Batch(0, 1)], [Batch(1, 1)], []),
        ([Batch(0, 1)], [Batch(0, 1), Batch(0, 1)], [1]),
        ([Batch(0, 1), Batch(1, 1)], [Batch(0, 1), Batch(0, 1)], [1]),
        ([Batch(0, 1), END], [Batch(0, 1), Batch(1, 1)], [1]),
        ([Batch(0, 1)], [END], []),
        ([Batch(0, 1)], [Batch(0, 1), END], [1]),
    ],
    ids=[
        "never asked",
        "more than admitted",
        "fewer than admitted",
        "another query",
        "the same again",
        "the same again in place of the next",
        "after the end",
        "the end in place of a query",
        "an end that the guardian was not told",
    ],
)
def test_what_the_guardian_did_not_admit_is_never_prepared(
    ends: Ends, admitted: list[Batch], announced: list[Batch], served: list[int]
) -> None:
    ends.announce(*announced)
    ends.admit(*admitted)
    with pytest.raises(ProtocolError, match=r"^querying "):
        ends.party.serve()
    assert ends.served.prepared == served


@pytest.mark.parametrize("again", [Batch(0, 2), Batch(1, 1), Batch(2, 6), Batch(18, 3)])
def test_a_guardian_that_admits_out_of_order_is_named(ends: Ends, again: Batch) -> None:
    ends.announce(Batch(0, 2), again)
    ends.admit(Batch(0, 2), again)
    with pytest.raises(ProtocolError, match=r"^guardian named"):
        ends.party.serve()
    assert ends.served.prepared == [2]


def test_what_is_admitted_is_served_to_the_end(ends: Ends) -> None:
    ends.announce(Batch(0, 2), Batch(2, 5), Batch(9, 1), END)
    ends.admit(Batch(0, 2), Batch(2, 5), Batch(9, 1), END)
    ends.party.serve()
    assert ends.served.prepared == [2, 5, 1]
    for batch in (Batch(0, 2), Batch(2, 5), Batch(9, 1)):
        assert receive_vote_share(ends.guardian, batch, CLASSES).shape == (batch.count, CLASSES)


def test_a_run_ends_with_the_name_of_the_party_that_asks_for_more_than_was_admitted(
    run_protocol: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = run_protocol(
        *("--n_parties=2", "--n_queries=5", "--batch_size=5", "--cpu", "--sigma=2"),
        modules={
            "querying": "greedy_querying",
            "answering": "capc.parties.answering_party",
            "guardian": "capc.parties.privacy_guardian",
        },
    )
    assert finished.status == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "querying announced queries 0 to 4, but the guardian admitted query 0" in shown
    timings = finished.table("timings")
    assert set(timings.query("party.str.startswith('answering')")["phase"]) == {"setup"}
