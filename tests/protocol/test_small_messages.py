"""The small messages between parties, from a peer that means harm."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from capc.errors import ProtocolError
from capc.parties.messages import MAX_BATCH, MAX_BYTES, Admission, Batch, ProgramAddress
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

GOOD = {"first": 3, "count": MAX_BATCH}


def received(kind: MessageType, value: dict[str, Any]) -> Batch | Admission | ProgramAddress | None:
    left, right = socket.socketpair()
    with Channel(left, "the peer") as one, Channel(right, "us") as other:
        other.send_json(kind, value)
        if kind is MessageType.QUERY:
            return Batch.receive(one)
        if kind is MessageType.ADMISSION:
            return Admission.receive(one, MAX_BATCH)
        return ProgramAddress.receive(one)


def test_the_largest_batch_is_taken() -> None:
    assert received(MessageType.QUERY, GOOD) == Batch(3, MAX_BATCH)


@pytest.mark.parametrize(
    "change",
    [
        {"count": MAX_BATCH + 1},
        {"count": 1 << 20},
        {"count": -1},
        {"first": -1},
        {"first": 1 << 64},
    ],
)
def test_a_batch_beyond_the_limits_is_refused_before_anything_is_prepared(
    change: dict[str, int],
) -> None:
    with pytest.raises(ProtocolError, match="invalid batch header"):
        received(MessageType.QUERY, {**GOOD, **change})


@pytest.mark.parametrize("kind", [MessageType.QUERY, MessageType.ADMISSION, MessageType.PROGRAM])
def test_a_long_one_is_not_read(kind: MessageType) -> None:
    with pytest.raises(ProtocolError, match="announced"):
        received(kind, {**GOOD, "more": "x" * MAX_BYTES})
