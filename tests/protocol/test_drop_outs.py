"""Queries that go on without answering parties that are dead or late (--min_parties)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from protocol_runs import Runner

from capc.errors import ProtocolError
from capc.fixed_point import VOTE_BITS, Int64, modulo, uniform_bits
from capc.parties.messages import Batch, send_vote_share
from capc.parties.own_noise import MaskedNoise
from capc.parties.pairwise_masks import PairwiseMasks
from capc.parties.vote_collection import Votes, VotesOfSome
from capc.parties.voters import MaskedFor, receive_voters, send_present, send_voters
from capc.privacy.accountant import Accountant
from capc.privacy.noise_ahead import NoiseAhead
from capc.privacy.rdp import Mechanism
from capc.transport.channel import Channel
from capc.transport.tls import Identity

BATCH, CLASSES = Batch(4, 2), 3
NAMES = [f"answering-{index}" for index in range(4)]


def test_a_query_survives_an_answering_party_that_is_killed(
    run_protocol: Runner, tmp_path: Path
) -> None:
    """Every label equals the reference of those who answered, share by share and noise by noise."""
    account = tmp_path / "account.json"
    finished = run_protocol(
        *("--n_parties=4", "--min_parties=2", "--n_queries=2", "--cpu", "--verify", "--sigma=2"),
        *("--noise=distributed", f"--account={account}"),
        modules={
            "querying": "capc.parties.querying_party",
            "answering": "dying_answering",
            "guardian": "capc.parties.privacy_guardian",
        },
        environment={"CAPC_TEST_DIE": "answering-1 2 online"},
    )
    assert finished.status == 0
    assert finished.table("queries")["voters"].tolist() == [3, 3]
    assert set(finished.table("private/check")["reference_agrees"]) == {True}
    assert set(finished.record["left_out"]) == {"answering-1"}
    assert Accountant.load(account).counts == {Mechanism("distributed", 2.0, parties=2): 2}


def config_of(name: str, *, fewest: int = 2, distributed: bool = True) -> Any:
    return SimpleNamespace(
        party=name,
        n_parties=len(NAMES),
        fewest=fewest,
        patience_seconds=2.0,
        distributed_noise=distributed,
        rule=SimpleNamespace(counts=CLASSES),
    )


class Ends:
    """The guardian's collection, its querying party, and four answering parties."""

    def __init__(self, **config: Any) -> None:
        self.pairs = {name: socket.socketpair() for name in ("querying", *NAMES)}
        for pair in self.pairs.values():
            for end in pair:
                end.settimeout(5)
        ours = {name: Channel(pair[0], name) for name, pair in self.pairs.items()}
        self.theirs = {name: Channel(pair[1], "guardian") for name, pair in self.pairs.items()}
        self.left_out: dict[str, str] = {}
        self.charged: list[Batch] = []
        self.votes = VotesOfSome(
            *({name: ours[name] for name in NAMES}, ours["querying"], config_of("-", **config)),
            left_out=self.left_out.__setitem__,
            again=self.charged.append,
        )
        self.identities = {name: Identity.create(name) for name in NAMES}
        self.sent: dict[str, Int64] = {}
        self.noise = {name: np.full((8, CLASSES), place + 1) for place, name in enumerate(NAMES)}

    def masked(self, name: str) -> MaskedNoise:
        others = {who: own.certificate for who, own in self.identities.items() if who != name}
        rows = iter(np.split(self.noise[name] * 10 ** np.repeat(range(4), 2)[:, None], 4))
        noise = cast(NoiseAhead, SimpleNamespace(take=lambda count: next(rows)))
        return MaskedNoise(noise, PairwiseMasks(self.identities[name], others, b"run"))

    def answer(self, name: str, share: Int64) -> None:
        """What an honest answering party does in step 2."""
        self.sent[name] = self.masked(name).send_among_voters(
            self.theirs[name], BATCH, share, config_of(name)
        )

    def collect(self, parts: dict[str, Callable[[], None]], cast_by: list[str]) -> Votes:
        """Each in its thread, the guardian here; the querying party has votes of `cast_by`."""
        threads = [threading.Thread(target=part) for part in parts.values()]
        for thread in threads:
            thread.start()
        send_voters(self.theirs["querying"], BATCH, cast_by)
        try:
            return self.votes.collect(BATCH)
        finally:
            for thread in threads:
                thread.join()

    def close(self) -> None:
        for channel in self.theirs.values():
            channel.close()


@pytest.fixture
def shares() -> dict[str, Int64]:
    return {name: uniform_bits(VOTE_BITS, (BATCH.count, CLASSES)) for name in NAMES}


def test_masks_cancel_among_those_who_answer_when_one_is_lost_before_the_set_is_fixed(
    shares: dict[str, Int64],
) -> None:
    ends = Ends()
    ends.theirs[NAMES[1]].close()
    rest = [NAMES[0], NAMES[2], NAMES[3]]
    votes = ends.collect({n: lambda n=n: ends.answer(n, shares[n]) for n in rest}, NAMES)  # type: ignore[misc]
    assert votes.voters == 3
    assert receive_voters(ends.theirs["querying"], BATCH, NAMES) == set(rest)
    expected = sum(shares[name] + ends.sent[name] for name in rest)
    np.testing.assert_array_equal(votes.share, modulo(VOTE_BITS, np.asarray(expected)))
    assert (list(ends.left_out), ends.charged) == ([NAMES[1]], [])
    ends.close()


def test_one_lost_after_the_set_is_fixed_has_the_others_mask_anew_with_other_noise(
    shares: dict[str, Int64],
) -> None:
    """It is charged again, for what was sent the first time may have been seen."""
    ends = Ends()
    lost = NAMES[2]

    def leave() -> None:
        send_present(ends.theirs[lost], BATCH, "0" * 32)
        MaskedFor.receive(ends.theirs[lost], BATCH)
        ends.theirs[lost].close()

    rest = [name for name in NAMES if name != lost]
    parts: dict[str, Callable[[], None]] = {
        n: lambda n=n: ends.answer(n, shares[n])  # type: ignore[misc]
        for n in rest
    }
    votes = ends.collect(parts | {lost: leave}, NAMES)
    assert (votes.voters, ends.charged) == (3, [BATCH])
    for place, name in enumerate(NAMES):
        if name != lost:
            assert (ends.sent[name] == 10 * (place + 1)).all(), "the second block of noise"
    expected = sum(shares[name] + ends.sent[name] for name in rest)
    np.testing.assert_array_equal(votes.share, modulo(VOTE_BITS, np.asarray(expected)))
    ends.close()


def test_no_mask_comes_twice_whatever_set_attempt_or_token_changes() -> None:
    ends = Ends()
    masks = ends.masked(NAMES[0])._masks
    tokens = {name: f"{place:032x}" for place, name in enumerate(NAMES)}
    fewer = {name: tokens[name] for name in NAMES[:3]}
    named = [
        *(MaskedFor(1, tokens), MaskedFor(2, tokens), MaskedFor(2, fewer)),
        MaskedFor(1, tokens | {NAMES[0]: "f" * 32}),
    ]
    drawn = [masks.of(BATCH, CLASSES, among=one.tokens, context=one.context) for one in named]
    drawn.append(masks.of(BATCH, CLASSES))
    assert len(np.unique(drawn)) == np.size(drawn)
    ends.close()


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (MaskedFor(2, {}), "settled queries 4 to 5 without"),
        (MaskedFor(2, dict.fromkeys(NAMES, "0" * 32)), "do not follow"),
        (MaskedFor(1, dict.fromkeys(NAMES, "0" * 32)), "do not follow"),
        (MaskedFor(1, dict.fromkeys(NAMES[1:], "0" * 32)), "do not follow"),
    ],
)
def test_an_answering_party_sends_nothing_for_a_set_that_does_not_follow(
    named: MaskedFor, reason: str
) -> None:
    ends = Ends()
    guardian = Channel(ends.pairs[NAMES[0]][0], NAMES[0])
    named.send(guardian, BATCH)
    share: Int64 = np.zeros((BATCH.count, CLASSES), dtype=np.int64)
    with pytest.raises(ProtocolError, match=reason):
        ends.answer(NAMES[0], share)
    ends.close()


def test_too_few_parties_end_the_run_with_the_reason(shares: dict[str, Int64]) -> None:
    ends = Ends(fewest=3, distributed=False)
    for name in NAMES[:2]:
        ends.theirs[name].close()
    for name in NAMES[2:]:
        send_vote_share(ends.theirs[name], BATCH, shares[name])
    with pytest.raises(ProtocolError, match=r"2 of 4 answering parties are left, .* needs 3"):
        ends.collect({}, NAMES)
    ends.close()


def test_an_answering_party_refuses_fewer_voters_than_a_query_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its noise suffices for no fewer."""
    ends = Ends()
    token = "1" * 32
    monkeypatch.setattr("capc.parties.own_noise.new_token", lambda: token)
    MaskedFor(1, {NAMES[0]: token}).send(Channel(ends.pairs[NAMES[0]][0], NAMES[0]), BATCH)
    with pytest.raises(ProtocolError, match="named 1 voters, and a query needs 2"):
        ends.answer(NAMES[0], np.zeros((BATCH.count, CLASSES), dtype=np.int64))
    ends.close()
