"""The first words between two parties: what differs is named, and nothing is believed unchecked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from capc.errors import ProtocolError
from capc.parties.federation import terms
from capc.parties.federation.terms import (
    Greeting,
    receive_run,
    run_of,
    send_refusal,
    send_run,
    send_running,
)
from capc.transport import framing
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

NONCES = {"querying": "1" * 64, "answering-0": "2" * 64, "guardian": "3" * 64}
OURS = Greeting({"num_classes": 10, "privacy.sigma": 7.0}, NONCES["querying"], "", "0" * 64)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair()
    with Channel(one, "guardian (host:7000)") as ours, Channel(other, "us") as theirs:
        yield ours, theirs


def test_a_greeting_is_there_and_back(ends: tuple[Channel, Channel]) -> None:
    OURS.send(ends[1])
    assert Greeting.receive(ends[0]) == OURS


def test_another_version_is_named(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "VERSION", 3)
    OURS.send(ends[1])
    monkeypatch.setattr(terms, "VERSION", 2)
    with pytest.raises(ProtocolError, match=r"^guardian \(host:7000\) speaks version 3"):
        Greeting.receive(ends[0])


def test_frames_of_another_version_are_named_too(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "VERSION", framing.VERSION + 1)
    OURS.send(ends[1])
    monkeypatch.undo()
    with pytest.raises(ProtocolError, match=r"^guardian \(host:7000\): the peer speaks version"):
        Greeting.receive(ends[0])


@pytest.mark.parametrize(
    "change", [{"terms": 3}, {"nonce": "x"}, {"run": 1}, {"log": None}, {"nonce": "1" * 65}]
)
def test_what_is_no_greeting_is_refused(
    ends: tuple[Channel, Channel], change: dict[str, Any]
) -> None:
    ends[1].send_json(MessageType.HELLO, {"version": terms.VERSION, **vars(OURS), **change})
    with pytest.raises(ProtocolError, match="invalid greeting"):
        Greeting.receive(ends[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_classes": 9}, "num_classes = 9, and querying has 10"),
        ({"privacy.sigma": 7.5}, "privacy.sigma = 7.5, and querying has 7.0"),
        ({"extra": "a\nb"}, "extra = a?b, and querying has null"),
    ],
)
def test_a_term_that_differs_is_named_with_the_party(change: dict[str, Any], said: str) -> None:
    theirs = replace(OURS, terms={**OURS.terms, **change})
    with pytest.raises(ProtocolError) as caught:
        OURS.require_same(theirs, "querying", "answering-0 (host:7000)")
    assert str(caught.value).startswith(f"answering-0 (host:7000) has {said}")


def test_a_missing_term_and_another_run_are_noticed() -> None:
    with pytest.raises(ProtocolError, match=r"privacy\.sigma"):
        OURS.require_same(replace(OURS, terms={"num_classes": 10}), "querying", "guardian")
    with pytest.raises(ProtocolError, match="another run"):
        OURS.require_same(replace(OURS, run="4" * 64), "querying", "guardian")


def test_all_compute_one_name_of_the_run(ends: tuple[Channel, Channel]) -> None:
    send_run(ends[1], NONCES)
    named = receive_run(ends[0], "querying", OURS, set(NONCES))
    name = named.run
    assert named.present == frozenset(NONCES)
    assert name == run_of(OURS.terms, NONCES)
    others = {**NONCES, "guardian": "4" * 64}
    assert name != run_of(OURS.terms, others)


@pytest.mark.parametrize(
    "nonces",
    [
        {**NONCES, "querying": "5" * 64},
        {name: NONCES[name] for name in ("querying", "guardian")},
        {**NONCES, "answering-1": "5" * 64},
        {**NONCES, "guardian": "short"},
    ],
    ids=["an old run's", "a party is missing", "one too many", "no nonce"],
)
def test_a_run_without_this_partys_fresh_nonce_is_refused(
    ends: tuple[Channel, Channel], nonces: dict[str, str]
) -> None:
    """Else a guardian could give two runs one name, and masks would be used twice."""
    send_run(ends[1], nonces)
    with pytest.raises(ProtocolError, match="invalid name of the run"):
        receive_run(ends[0], "querying", OURS, set(NONCES))


@pytest.mark.parametrize("when", ["in place of a greeting", "after it"])
def test_a_refusal_is_told_on(ends: tuple[Channel, Channel], when: str) -> None:
    send_refusal(ends[1], "answering-0 has\x1b other terms")
    with pytest.raises(ProtocolError, match=r"begins no run: answering-0 has\? other terms"):
        if when == "after it":
            receive_run(ends[0], "querying", OURS, set(NONCES))
        else:
            Greeting.receive(ends[0])


def test_a_run_may_begin_without_parties_that_it_does_not_need(
    ends: tuple[Channel, Channel],
) -> None:
    everybody = {*NONCES, "answering-1"}
    for fewest, fits in ((1, True), (2, False), (None, False)):
        send_run(ends[1], NONCES)
        if fits:
            named = receive_run(ends[0], "querying", OURS, everybody, fewest)
            assert named.present == frozenset(NONCES)
            continue
        with pytest.raises(ProtocolError, match="invalid name of the run"):
            receive_run(ends[0], "querying", OURS, everybody, fewest)


def test_only_an_answering_party_joins_a_run_that_goes_on(ends: tuple[Channel, Channel]) -> None:
    """And only where a query can do without it, so that its masks rest on fresh tokens."""
    answering = replace(OURS, nonce=NONCES["answering-0"])
    send_running(ends[1], b"r" * 32)
    named = receive_run(ends[0], "answering-0", answering, set(NONCES), 1)
    assert (named.run, named.present) == (b"r" * 32, None)
    for own, fewest in (("answering-0", None), ("querying", 1)):
        send_running(ends[1], b"r" * 32)
        with pytest.raises(ProtocolError, match="invalid name of the run"):
            receive_run(ends[0], own, answering, set(NONCES), fewest)
