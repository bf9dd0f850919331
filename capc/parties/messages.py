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
    """Queries `first` to `first + count - 1` of a run.

    The querying party announces it (QUERY); the guardian tells each answering party on a connection
    of their own which one it admitted (ADMISSION). A count of 0 means no more queries.
    """

    first: int
    count: int

    def __str__(self) -> str:
        if self.count == 1:
            return f"query {self.first}"
        return f"queries {self.first} to {self.first + self.count - 1}"

    def send(self, channel: Channel, message_type: MessageType = MessageType.QUERY) -> None:
        """Tell a peer of the batch."""
        channel.send_json(message_type, {"first": self.first, "count": self.count})

    @classmethod
    def receive(
        cls, channel: Channel, message_type: MessageType = MessageType.QUERY
    ) -> Batch | None:
        """The next batch, or None when there are no more queries."""
        value = channel.recv_json(message_type, MAX_BYTES)
        first, count = value.get("first"), value.get("count")
        if (
            type(first) is not int
            or type(count) is not int
            or not (0 <= first <= _MAX_QUERY and 0 <= count <= MAX_BATCH)
        ):
            raise ProtocolError(f"{channel.peer} sent an invalid batch header")
        return cls(first, count) if count else None

    @staticmethod
    def send_end(channel: Channel, message_type: MessageType = MessageType.QUERY) -> None:
        """No more queries."""
        Batch(0, 0).send(channel, message_type)


class BatchOrder:
    """The batches of one run as one party is told of them: each query once, in order.

    At most `batch_size` at once, and none from `n_queries` on; ProtocolError names who said so.
    """

    def __init__(self, n_queries: int, batch_size: int) -> None:
        self._n_queries = n_queries
        self._batch_size = batch_size
        self._next = 0

    def check(self, batch: Batch, peer: str) -> None:
        """Take the next batch."""
        end = batch.first + batch.count
        if batch.first < self._next or end > self._n_queries or batch.count > self._batch_size:
            raise ProtocolError(
                f"{peer} named {batch}; allowed are queries {self._next} to "
                f"{self._n_queries - 1}, at most {self._batch_size} at once, each once"
            )
        self._next = end


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
