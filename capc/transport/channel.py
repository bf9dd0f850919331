"""A framed connection between two parties, with byte and round counts."""

from __future__ import annotations

import json
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol

from capc.errors import PeerGoneError, ProtocolError, SilentPeerError
from capc.transport.framing import HEADER, MessageType, decode_header, encode_header
from capc.transport.limits import DEFAULT_LIMITS, Limits
from capc.transport.outgoing_line import OutgoingLine
from capc.transport.read_ahead import AHEAD_BYTES, ReadAhead
from capc.transport.stream import Stream

FIRST_BYTES = 1 << 24  # of memory for a message; more is taken as its bytes arrive
_BESIDE_SECONDS = 0.002  # no event says that there is work; what arrives ends the wait
_BLOCKED_SECONDS = 0.05  # of a send, before a look at what has arrived
_JOIN_BELOW_BYTES = 1 << 16  # one write for header and payload, where copying is cheap


@dataclass(frozen=True)
class Traffic:
    """Bytes on this side of a connection, headers included, and rounds.

    A round is a turn from sending to receiving: the number of times this side waits for the peer.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    rounds: int = 0

    def __sub__(self, earlier: Traffic) -> Traffic:
        return Traffic(
            self.bytes_sent - earlier.bytes_sent,
            self.bytes_received - earlier.bytes_received,
            self.rounds - earlier.rounds,
        )

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.rounds + other.rounds,
        )


class Counted(Protocol):
    """Whatever counts its traffic."""

    @property
    def traffic(self) -> Traffic:
        """Counts since it was opened."""


def total_traffic(connections: Sequence[Counted]) -> Traffic:
    """The sum over several connections."""
    return reduce(add, (connection.traffic for connection in connections), Traffic())


class Channel:
    """Typed messages over a connected socket. Not thread-safe: one thread a channel at a time.

    While `send` waits for the peer to read, it takes in what the peer sends: AHEAD_BYTES of it at
    most (capc.transport.read_ahead).

    `party` is the peer's name in the protocol. `peer` is what errors call it: that name too, until
    whoever knows the peer's host writes it there. `line` hears of all that is sent; whoever knows
    its rate writes another one there.

    Every failure of the peer (gone, silent, slow, another version, an unexpected type, a length
    over the caller's limit) is a ProtocolError that names the peer.

    The socket's timeout bounds the wait for the first byte of a message, and for the peer to
    begin to read one. From then on a message of n bytes has `limits.message_seconds` (or the
    timeout, where that is less) and n / `limits.bytes_per_second` seconds, however it is cut into
    pieces.
    """

    def __init__(
        self,
        connection: socket.socket | Stream,
        party: str,
        traffic: Traffic | None = None,
        limits: Limits = DEFAULT_LIMITS,
        first: tuple[MessageType, bytearray] | None = None,
    ) -> None:
        """`traffic` is what was sent and received before the channel was made.

        `first` is a message of the peer's, received by then, which `recv` has not given yet.
        """
        self._stream: Stream = (
            ReadAhead(connection) if isinstance(connection, socket.socket) else connection
        )
        self.party = party
        self.peer = party
        self._limits = limits
        self._traffic = Traffic() if traffic is None else traffic
        timeout = connection.gettimeout()
        self._wait_seconds = math.inf if timeout is None else timeout
        self._sent_last = False
        self._first = first
        self._aside: deque[bytearray] = deque()
        self._aside_type: MessageType | None = None
        self._aside_left = 0
        self._beside: Callable[[], bool] | None = None
        self.line = OutgoingLine()

    @property
    def traffic(self) -> Traffic:
        """Counts since the connection was opened."""
        return self._traffic

    @property
    def has_ended(self) -> bool:
        """Whether the peer sends nothing more; what it has sent before may not be received yet."""
        return self._stream.has_ended

    def unconfirmed(self) -> int:
        """Bytes that were sent and of whose arrival nothing is known yet."""
        return self._stream.unconfirmed()

    def wait_at_most(self, seconds: float) -> None:
        """From here on wait no longer than this for the peer to begin a message."""
        self._wait_seconds = seconds

    def set_aside(self, message_type: MessageType, max_bytes: int) -> None:
        """From here on `max_bytes` more of messages of this type may come between others.

        They are kept until `recv` asks for that type. They answer nothing, so that they count as no
        round. A channel sets one type aside.
        """
        self._aside_type = message_type
        self._aside_left += max_bytes

    def while_waiting(self, work: Callable[[], bool] | None) -> None:
        """From here on, `recv` does this work while the peer sends nothing; None ends it.

        It is done again every few milliseconds, for as long as it returns True. It may send, and
        receive what is set aside.
        """
        self._beside = work

    def take_in(self) -> None:
        """Set aside messages of that type that are the next and have arrived whole. Never waits."""
        while self._aside_type is not None and self._first is None:
            waiting, start = self._arrived()
            if waiting < HEADER.size:
                return
            message_type, length = decode_header(start)
            if message_type is not self._aside_type or waiting < HEADER.size + length:
                return
            self._put_aside(self._next_message(message_type, self._aside_left, math.inf)[1])

    @property
    def has_aside(self) -> bool:
        """Whether a message of the type that is set aside waits for `recv`."""
        return bool(self._aside)

    def send(self, message_type: MessageType, payload: bytes | bytearray | memoryview) -> None:
        """Send one message."""
        view = memoryview(payload).cast("B")
        header = encode_header(message_type, len(view))
        deadline = time.monotonic() + self._wait_seconds + self._message_seconds(len(view))
        try:
            if len(view) < _JOIN_BELOW_BYTES:
                self._write(memoryview(header + view), deadline)
            else:
                self._write(memoryview(header), deadline)
                self._write(view, deadline)
        except TimeoutError:
            said = f"{self.peer} did not accept the data in time"
            raise SilentPeerError(self.party, said) from None
        except (OSError, ValueError) as error:
            raise PeerGoneError(f"{self.peer} is gone ({error})") from None
        self._traffic += Traffic(bytes_sent=len(header) + len(view))
        self.line.sent(len(header) + len(view))
        self._sent_last = True

    def recv(self, expected: MessageType, max_bytes: int) -> bytearray:
        """Receive the payload of one message, which must have the expected type.

        `max_bytes` is the length that the caller has worked out, or the largest that is allowed.
        """
        while True:
            until = self._work_beside(expected)
            if self._is_aside(expected):
                self._require_length(len(self._aside[0]), expected, max_bytes)
                return self._aside.popleft()
            message_type, payload = self._next_message(expected, max_bytes, until)
            if message_type is expected:
                break
            self._put_aside(payload)
        if expected is not self._aside_type:
            self._traffic += Traffic(rounds=1 if self._sent_last else 0)
            self._sent_last = False
        return payload

    def _work_beside(self, expected: MessageType) -> float:
        """Do what `while_waiting` asks for until `recv` can go on.

        Returns the moment by which the next message has to begin. A message that will be set aside
        has its time, as any other; after that it is for `recv`.
        """
        received, begun = self._traffic.bytes_received, math.inf
        until = time.monotonic() + self._wait_seconds
        while not self._is_aside(expected) and self._beside is not None and self._beside():
            self.take_in()
            now = time.monotonic()
            if self._traffic.bytes_received > received:
                received, begun = self._traffic.bytes_received, math.inf
                until = now + self._wait_seconds
            waiting, start = self._arrived()
            if waiting == 0 and now >= until:
                break
            begun = min(begun, now) if waiting else math.inf
            if now - begun > self._message_seconds(waiting) or self._must_receive(waiting, start):
                return now + self._wait_seconds
            if not self._is_aside(expected):
                self._stream.wait_for_more(waiting, _BESIDE_SECONDS)
        return until

    def _is_aside(self, message_type: MessageType) -> bool:
        return message_type is self._aside_type and self.has_aside

    def _must_receive(self, waiting: int, start: bytes) -> bool:
        """Whether what has arrived is not to be set aside, or not as a whole; or is the last."""
        if self._first is not None or self.has_ended:
            return True
        if waiting < HEADER.size:
            return False
        message_type, length = decode_header(start)
        return message_type is not self._aside_type or HEADER.size + length > AHEAD_BYTES

    def _arrived(self) -> tuple[int, bytes]:
        try:
            return self._stream.arrived(HEADER.size)
        except (OSError, ValueError) as error:
            raise PeerGoneError(f"{self.peer} is gone ({error})") from None

    def _next_message(
        self, expected: MessageType, max_bytes: int, until: float
    ) -> tuple[MessageType, bytearray]:
        """One of the expected type, or of the one that is set aside; it begins by that moment."""
        first, self._first = self._first, None
        if first is not None:
            message_type, length = first[0], len(first[1])
        else:
            start = self._read(1, until)
            begun = time.monotonic()
            rest = self._read(HEADER.size - 1, begun + self._message_seconds(0))
            message_type, length = decode_header(start + rest)
        if message_type is not expected:
            if message_type is not self._aside_type:
                raise ProtocolError(f"{self.peer} sent {message_type.name}, not {expected.name}")
            max_bytes = self._aside_left
        self._require_length(length, message_type, max_bytes)
        payload = (
            self._read(length, begun + self._message_seconds(length)) if first is None else first[1]
        )
        self._traffic += Traffic(bytes_received=HEADER.size + length)
        return message_type, payload

    def _put_aside(self, payload: bytearray) -> None:
        self._aside.append(payload)
        self._aside_left -= len(payload)

    def _require_length(self, length: int, message_type: MessageType, max_bytes: int) -> None:
        if length > max_bytes:
            raise ProtocolError(
                f"{self.peer} announced {length} bytes of {message_type.name}; at most {max_bytes} "
                "are allowed"
            )
        if length > self._limits.message_mib << 20:
            raise ProtocolError(
                f"{self.peer} announced {length} bytes of {message_type.name}, more than this "
                f"party's message_mib of {self._limits.message_mib} MiB"
            )

    def send_json(self, message_type: MessageType, value: dict[str, Any]) -> None:
        """Send a small structured message."""
        self.send(message_type, json.dumps(value, separators=(",", ":")).encode())

    def recv_json(self, expected: MessageType, max_bytes: int) -> dict[str, Any]:
        """Receive a small structured message: a JSON object of at most `max_bytes`."""
        return json_object(self.recv(expected, max_bytes), expected, self.peer)

    def duplex(self, message_type: MessageType) -> TypedDuplex:
        """The channel as a Duplex whose messages all have one type."""
        return TypedDuplex(self, message_type)

    def detach(self) -> ssl.SSLSocket:
        """The TLS connection, for another use; the channel sends and receives no more."""
        stream = self._stream
        if not isinstance(stream, ReadAhead) or not isinstance(stream.connection, ssl.SSLSocket):
            raise TypeError("the channel has no TLS connection of its own")
        if not stream.is_empty:
            raise ProtocolError(f"{self.peer} sent more than this party had asked for")
        connection = stream.connection
        connection.settimeout(None if self._wait_seconds == math.inf else self._wait_seconds)
        return connection

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass
        finally:
            self._stream.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _message_seconds(self, length: int) -> float:
        limits = self._limits
        return min(limits.message_seconds, self._wait_seconds) + length / limits.bytes_per_second

    def _write(self, view: memoryview, deadline: float) -> None:
        """While the peer takes nothing, what is set aside is taken in: it may wait for that."""
        while view:
            self._set_timeout(deadline, _BLOCKED_SECONDS if self._aside_left else math.inf)
            try:
                view = view[self._stream.send(view) :]
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise
                self.take_in()

    def _read(self, length: int, deadline: float) -> bytearray:
        """Exactly `length` bytes; memory grows with those that have arrived."""
        buffer = bytearray(min(length, FIRST_BYTES))
        have = 0
        try:
            while have < length:
                if have == len(buffer):
                    buffer.extend(bytes(min(have, length - have)))
                self._set_timeout(deadline)
                with memoryview(buffer) as whole, whole[have:] as rest:
                    count = self._stream.recv_into(rest)
                if count == 0:
                    raise PeerGoneError(f"{self.peer} closed the connection")
                have += count
        except TimeoutError:
            what = f"{have} of {length} bytes" if have else "nothing"
            raise SilentPeerError(self.party, f"{self.peer} sent {what} in time") from None
        except (OSError, ValueError) as error:
            raise PeerGoneError(f"{self.peer} is gone ({error})") from None
        return buffer

    def _set_timeout(self, deadline: float, most: float = math.inf) -> None:
        left = min(deadline - time.monotonic(), most)
        if left == math.inf:
            self._stream.settimeout(None)
            return
        if left <= 0:
            raise TimeoutError
        self._stream.settimeout(left)


def json_object(payload: bytes | bytearray, kind: MessageType, peer: str) -> dict[str, Any]:
    """The JSON object that a message of `peer` holds; ProtocolError where it is none."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProtocolError(f"{peer} sent a {kind.name} that is not JSON") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"{peer} sent a {kind.name} that is not a JSON object")
    return value


@dataclass(frozen=True)
class TypedDuplex:
    """A Duplex over one message type of a channel."""

    channel: Channel
    message_type: MessageType

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        """Send one message of this type."""
        self.channel.send(self.message_type, payload)

    def recv(self, max_bytes: int) -> bytearray:
        """Receive one message, which must be of this type; ProtocolError otherwise."""
        return self.channel.recv(self.message_type, max_bytes)
