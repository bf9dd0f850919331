"""The guardian: its words of step 3, whom it tells what it admits, and what stays charged."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import Int64
from capc.parties.config import PrivacySettings
from capc.parties.messages import Admission, Batch, send_vote_share
from capc.parties.privacy_guardian import BatchNoise, Guardian, draw_noise
from capc.parties.runtime import Runtime
from capc.parties.vote_collection import Votes
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism
from capc.privacy.voting_rules import VotingRule
from capc.transport.channel import Channel, Traffic
from capc.transport.framing import MessageType

CLASSES, N_QUERIES, BATCH = 3, 6, 4
VOTES = Votes(np.array([[1, 2, (1 << 32) - 1]]), 10)
END = Batch(0, 0)


class Program:
    """A circuit program that keeps the words it is fed."""

    traffic = Traffic()

    def __init__(self) -> None:
        self.words: list[list[list[int]]] = []

    def prepare(self, count: int) -> None:
        pass

    def evaluate(self, words: Int64) -> Int64:
        self.words.append(words.tolist())
        return np.ones((len(words), 1), dtype=np.int64)


class Unproven(Program):
    """One whose peer returns no label of the output that it claims."""

    def evaluate(self, words: Int64) -> Int64:
        raise ProtocolError("sum_histogram failed: the peer returned no label of this output")


def runtime_with(settings: PrivacySettings, n_parties: int = 10) -> Runtime:
    units = 256 if settings.distributed else 1
    config = SimpleNamespace(
        privacy=settings,
        n_parties=n_parties,
        fewest=n_parties,
        may_lose_parties=False,
        rule=VotingRule("plurality", CLASSES),
        n_queries=N_QUERIES,
        batch_size=BATCH,
        vote_units=units,
        verify=False,
        step_by_step=False,
    )
    control = SimpleNamespace(
        progress=lambda *_: None,
        timing=lambda *_, **__: None,
        spent=lambda *_: None,
        refused=lambda *_: None,
        stopping=lambda: False,
    )
    return Runtime(cast(Any, config), cast(Any, control), cast(Any, None))


def guardian(program: Program, threshold: int | None, **privacy: Any) -> Guardian:
    settings = PrivacySettings(1.0, threshold, 1.0, None, 1e-5, "improved", **privacy)
    if settings.distributed:
        settings = PrivacySettings(1.0, threshold, 0.0, None, 1e-5, "improved", **privacy)
    return Guardian(runtime_with(settings), cast(Any, None), {}, cast(Any, program))


def test_the_words_are_those_of_the_circuit() -> None:
    program = Program()
    noise = BatchNoise(np.array([[-2, 0, 5]]), np.array([-3]))
    for threshold in (None, 4):
        answered = guardian(program, threshold)._noisy_argmax(VOTES, noise)
        assert answered.tolist() == [1]
    noisy = [(1 << 32) - 1, 2, 4]
    below = [(1 << 32) - 6, (1 << 32) - 5, (1 << 32) - 8]
    assert program.words == [[noisy], [noisy + below]]


@pytest.mark.parametrize(("voters", "majority"), [(10, 5), (7, 3)])
def test_a_majority_is_one_of_those_who_answered(voters: int, majority: int) -> None:
    program = Program()
    party = guardian(program, None)
    party._rule = VotingRule("binary", CLASSES)
    noise = BatchNoise(np.zeros((1, CLASSES), dtype=np.int64), np.array([0]))
    party._noisy_argmax(Votes(np.array([[1, 2, 3]]), voters), noise)
    assert program.words == [[[majority, 1], [majority, 2], [majority, 3]]]


def test_under_distributed_noise_the_counts_are_compared_as_they_come() -> None:
    """No noise is added, and the threshold is counted in the parts of a vote that they have."""
    program = Program()
    party = guardian(program, 4, noise="distributed", colluding=1)
    party._noisy_argmax(VOTES, party._noise_of(Batch(0, 1)))
    low = (1 << 32) - 4 * 256
    assert program.words == [[[1, 2, (1 << 32) - 1, low + 1, low + 2, low - 1]]]


@pytest.mark.parametrize("threshold", [None, 4])
@pytest.mark.parametrize("reach", [(1 << 31) - 10, -(1 << 31) - 1])
def test_noise_that_would_wrap_never_reaches_the_circuit(threshold: int | None, reach: int) -> None:
    program = Program()
    noise = BatchNoise(np.array([[0, reach, 0]]), np.array([0]))
    with pytest.raises(ConfigError, match="use a smaller sigma"):
        guardian(program, threshold)._noisy_argmax(VOTES, noise)
    assert program.words == []


class Ends:
    """A guardian between a querying party and two answering parties, and what these hold."""

    def __init__(self, path: Path, program: Program) -> None:
        self._pairs = [socket.socketpair() for _ in range(3)]
        for pair in self._pairs:
            for end in pair:
                end.settimeout(2)
        theirs = [Channel(other, "guardian") for _, other in self._pairs]
        names = ("querying", "answering-0", "answering-1")
        ours = [Channel(own, name) for (own, _), name in zip(self._pairs, names, strict=True)]
        self.querying, self.answering = theirs[0], theirs[1:]
        settings = PrivacySettings(40.0, None, 0.0, None, 1e-5, "improved")
        runtime = runtime_with(settings, n_parties=2)
        self.account = AccountFile(path)
        self.party = Guardian(
            runtime,
            ours[0],
            dict(zip(names[1:], ours[1:], strict=True)),
            cast(Any, program),
            account=self.account,
            noise=draw_noise(runtime.config, settings),
        )

    def ask(self, *batches: Batch) -> None:
        """All messages of a run in which the answering parties send their shares at once."""
        for batch in batches:
            batch.send(self.querying)
            for channel in self.answering if batch.count else ():
                send_vote_share(channel, batch, np.zeros((batch.count, CLASSES), dtype=np.int64))

    def told(self, channel: Channel) -> Batch | None:
        return Batch.receive(channel, MessageType.ADMISSION)

    def close(self) -> None:
        self.account.close()
        for pair in self._pairs:
            for end in pair:
                end.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "account.json"


@pytest.fixture
def ends(path: Path, request: pytest.FixtureRequest) -> Iterator[Ends]:
    made = Ends(path, getattr(request, "param", Program)())
    yield made
    made.close()


GNMAX = Mechanism("gnmax", 40.0)


def test_each_answering_party_is_told_what_was_admitted_and_of_the_end(
    ends: Ends, path: Path
) -> None:
    ends.ask(Batch(0, 2), Batch(2, 4), END)
    ends.party.serve()
    for channel in ends.answering:
        assert [ends.told(channel) for _ in range(3)] == [Batch(0, 2), Batch(2, 4), None]
    assert Admission.receive(ends.querying, 2).admitted == 2
    assert Accountant.load(path).counts == {GNMAX: 6}


def test_the_worst_case_is_charged_before_anybody_is_told(
    ends: Ends, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[int] = []
    send = Channel.send

    def noted(channel: Channel, message_type: MessageType, payload: Any) -> None:
        if channel.peer != "guardian":  # the guardian's own ends
            charged.append(Accountant.load(path).counts.get(GNMAX, 0))
        send(channel, message_type, payload)

    ends.ask(Batch(0, 2), END)
    monkeypatch.setattr(Channel, "send", noted)
    ends.party.serve()
    assert charged == [2] * len(charged)
    assert len(charged) == 2 + 1 + 2  # admissions, the querying party's, the end


@pytest.mark.parametrize("ends", [Unproven], indirect=True)
def test_an_outcome_that_is_not_proven_stays_charged_as_the_worst_case(
    ends: Ends, path: Path
) -> None:
    ends.ask(Batch(0, 3), END)
    with pytest.raises(ProtocolError, match="no label of this output"):
        ends.party.serve()
    ends.account.close()
    assert Accountant.load(path).counts == {GNMAX: 3}


@pytest.mark.parametrize("again", [Batch(0, 2), Batch(1, 1), Batch(2, 5), Batch(5, 2)])
def test_a_querying_party_that_asks_out_of_order_is_named(
    ends: Ends, path: Path, again: Batch
) -> None:
    """A query asked twice, more than a batch, or queries that the run does not have."""
    ends.ask(Batch(0, 2))
    again.send(ends.querying)
    with pytest.raises(ProtocolError, match=r"^querying named"):
        ends.party.serve()
    for channel in ends.answering:
        assert ends.told(channel) == Batch(0, 2)
        with pytest.raises(ProtocolError, match="sent nothing in time"):
            channel.wait_at_most(0.01)
            ends.told(channel)
    assert Accountant.load(path).counts == {GNMAX: 2}
