"""The small messages between parties: batches of queries, vote shares, program addresses."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.inference.layout import IMAGES_TOGETHER
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

MAX_BATCH = IMAGES_TOGETHER
MAX_BYTES = 1 << 13  # of a message in JSON
_MAX_QUERY = (1 << 63) - 1
_VOTES = struct.Struct("<QII")


@dataclass(frozen=True)
class Batch:
    """Queries `first` to `first + count - 1` of a run."""

    first: int
    count: int

    def send(self, channel: Channel) -> None:
        """Announce the batch to a peer."""
        channel.send_json(MessageType.QUERY, {"first": self.first, "count": self.count})

    @classmethod
    def receive(cls, channel: Channel) -> Batch | None:
        """The next batch, or None when the querying party has no more queries."""
        value = channel.recv_json(MessageType.QUERY, MAX_BYTES)
        first, count = value.get("first"), value.get("count")
        if type(first) is not int or type(count) is not int:
            raise ProtocolError(f"{channel.peer} sent an invalid batch header")
        if not 0 <= first <= _MAX_QUERY or not 0 <= count <= MAX_BATCH:
            raise ProtocolError(f"{channel.peer} sent an invalid batch header")
        return cls(first, count) if count else None

    @staticmethod
    def send_end(channel: Channel) -> None:
        """No more queries."""
        Batch(0, 0).send(channel)


@dataclass(frozen=True)
class Admission:
    """How many queries of a batch the privacy budget admits, and why not all of them."""

    admitted: int
    reason: str

    def send(self, channel: Channel) -> None:
        """Tell the querying party."""
        channel.send_json(MessageType.ADMISSION, {"admitted": self.admitted, "reason": self.reason})

    @classmethod
    def receive(cls, channel: Channel, most: int) -> Admission:
        """The guardian's answer to a batch of `most` queries; ProtocolError for a larger number."""
        value = channel.recv_json(MessageType.ADMISSION, MAX_BYTES)
        admitted, reason = value.get("admitted"), value.get("reason")
        if type(admitted) is not int or not 0 <= admitted <= most or type(reason) is not str:
            raise ProtocolError(f"{channel.peer} sent an invalid number of admitted queries")
        return cls(admitted, reason)


@dataclass(frozen=True, repr=False)
class ProgramAddress:
    """Where a circuit program listens and the key of its link, for the one peer that may know."""

    port: int
    key: bytes

    def send(self, channel: Channel) -> None:
        """Tell the peer whose program is to connect."""
        channel.send_json(MessageType.PROGRAM, {"port": self.port, "key": self.key.hex()})

    @classmethod
    def receive(cls, channel: Channel) -> ProgramAddress:
        """What the peer sent; ProtocolError where it is no port or no key."""
        value = channel.recv_json(MessageType.PROGRAM, MAX_BYTES)
        port = value.get("port")
        try:
            key = bytes.fromhex(value["key"])
        except (KeyError, TypeError, ValueError):
            raise ProtocolError(
                f"{channel.peer} sent an invalid key for its circuit program"
            ) from None
        if type(port) is not int or not 0 < port < 1 << 16:
            raise ProtocolError(f"{channel.peer} sent an invalid port for its circuit program")
        return cls(port, key)


def send_vote_share(channel: Channel, batch: Batch, votes: Int64) -> None:
    """Step 2: shares modulo 2^32 of the votes, int64 (count, C)."""
    count, classes = votes.shape
    payload = votes.astype("<u4").tobytes()
    channel.send(MessageType.VOTE_SHARE, _VOTES.pack(batch.first, count, classes) + payload)


def receive_vote_share(channel: Channel, batch: Batch, classes: int) -> Int64:
    """Step 2: the shares of one answering party for one batch, int64 (count, C) below 2^32."""
    length = _VOTES.size + 4 * batch.count * classes
    payload = channel.recv(MessageType.VOTE_SHARE, length)
    expected = _VOTES.pack(batch.first, batch.count, classes)
    if len(payload) != length or payload[: _VOTES.size] != expected:
        raise ProtocolError(f"{channel.peer} sent vote shares of the wrong queries or classes")
    shares = np.frombuffer(payload, dtype="<u4", offset=_VOTES.size)
    return shares.astype(np.int64).reshape(batch.count, classes)
