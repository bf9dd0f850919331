"""Set-up that fails half-way: the circuit programs that are started by then are ended."""

from __future__ import annotations

import socket
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from capc.fixed_point import FixedPoint
from capc.gc.programs import CircuitProgram
from capc.parties import answering_party, querying_party
from capc.parties.messages import ProgramAddress
from capc.parties.runtime import ReportedError, Runtime
from capc.privacy.voting_rules import VotingRule
from capc.roles import GUARDIAN, QUERYING
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

RING = FixedPoint(ring_bits=41, fraction_bits=12)
CLASSES = 3


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[CircuitProgram]:
    """The circuit programs that the party starts."""
    programs: list[CircuitProgram] = []
    begin = CircuitProgram.__init__

    def noted(self: CircuitProgram, *words: Any, **named: Any) -> None:
        begin(self, *words, **named)
        programs.append(self)

    monkeypatch.setattr(CircuitProgram, "__init__", noted)
    return programs


def runtime(channels: dict[str, Channel]) -> Runtime:
    """A party's, whose peers are at the other ends of these channels."""
    config: Any = SimpleNamespace(
        rule=VotingRule("plurality", CLASSES),
        **{"n_parties": len(channels) - 1, "timeout_seconds": 20.0, "patience_seconds": 20.0},
        **dict.fromkeys(("step_by_step", "debug", "with_threshold", "distributed_noise"), False),
        **{"may_lose_parties": False, "ring": None, "vote_shift": 0, "gc_backend": "builtin"},
        **{"address": "127.0.0.1", "party": "this"},
        **{"conversations": len(channels) - 1, "takes_turns": False},
    )
    control, meeting = MagicMock(), MagicMock()
    control.wait_for_peers.return_value = {name: SimpleNamespace(name=name) for name in channels}
    meeting.connect.side_effect = lambda peer: channels[peer.name]
    meeting.accept.side_effect = lambda listener, peers: {name: channels[name] for name in peers}
    meeting.program_host.return_value = "127.0.0.1"
    meeting.address.side_effect = lambda program: nullcontext(ProgramAddress(1, program.key))
    return Runtime(config, control, meeting)


def test_of_a_querying_party_whose_second_peer_sends_no_address(
    started: list[CircuitProgram], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying_party, "load_queries", lambda config: np.zeros((1, 2)))
    plan = SimpleNamespace(plan=SimpleNamespace(fixed_point=RING))
    monkeypatch.setattr(querying_party, "inference_starter", lambda config: lambda channel: plan)
    with ExitStack() as ending:
        ours, theirs = {}, {}
        for name in ("answering-0", "answering-1", GUARDIAN):
            near, far = socket.socketpair()
            ours[name] = ending.enter_context(Channel(near, name))
            theirs[name] = ending.enter_context(Channel(far, QUERYING))
        garbler = ending.enter_context(
            CircuitProgram.garbler("argmax_1", ring_bits=RING.ring_bits, classes=CLASSES)
        )
        ProgramAddress(garbler.port, garbler.key).send(theirs["answering-0"])
        theirs["answering-1"].send_json(MessageType.PROGRAM, {"port": 0, "key": ""})
        with pytest.raises(ReportedError) as failed:
            querying_party.take_part(runtime(ours))
    assert "answering-1 sent an invalid port" in str(failed.value.__cause__)
    assert len(started) == 2, "the test's own, and one of the party's"
    assert not Path(f"/proc/{started[1].pid}").exists()


def test_of_an_answering_party_whose_peer_is_gone(
    started: list[CircuitProgram], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering_party, "load_model", lambda c: SimpleNamespace(fixed_point=RING))
    for name in ("draw_own_noise", "start_inference"):
        monkeypatch.setattr(answering_party, name, lambda *_: None)
    near, far = socket.socketpair()
    far.close()
    channels = {name: Channel(near, name) for name in (QUERYING, GUARDIAN)}
    with pytest.raises(ReportedError) as failed:
        answering_party.take_part(runtime(channels))
    assert "querying is gone" in str(failed.value.__cause__)
    (program,) = started
    assert not Path(f"/proc/{program.pid}").exists()
