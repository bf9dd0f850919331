"""A framed connection between two parties, with byte and round counts."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from types import TracebackType
from typing import Any, Protocol

from capc.errors import PeerGoneError, ProtocolError
from capc.transport.duplex import MAX_MESSAGE_BYTES
from capc.transport.framing import HEADER, MessageType, decode_header, encode_header

MAX_JSON_BYTES = 1 << 20
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

    Every failure of the peer (gone, silent beyond the socket's timeout, another version, an
    unexpected type, a length over the caller's limit) is a ProtocolError that names the peer.
    """

    def __init__(self, connection: socket.socket, peer: str) -> None:
        self._socket = connection
        self.peer = peer
        self._traffic = Traffic()
        self._sent_last = False

    @property
    def traffic(self) -> Traffic:
        """Counts since the connection was opened."""
        return self._traffic

    def send(self, message_type: MessageType, payload: bytes | bytearray | memoryview) -> None:
        """Send one message."""
        view = memoryview(payload).cast("B")
        header = encode_header(message_type, len(view))
        try:
            if len(view) < _JOIN_BELOW_BYTES:
                self._socket.sendall(header + view)
            else:
                self._socket.sendall(header)
                self._socket.sendall(view)
        except TimeoutError:
            raise ProtocolError(f"{self.peer} did not accept the data in time") from None
        except (OSError, ValueError) as error:
            raise PeerGoneError(f"{self.peer} is gone ({error})") from None
        self._traffic += Traffic(bytes_sent=len(header) + len(view))
        self._sent_last = True

    def recv(self, expected: MessageType, max_bytes: int = MAX_MESSAGE_BYTES) -> bytearray:
        """Receive the payload of one message, which must have the expected type."""
        message_type, length = decode_header(self._read(HEADER.size))
        if message_type is not expected:
            raise ProtocolError(f"{self.peer} sent {message_type.name}, not {expected.name}")
        if length > max_bytes:
            raise ProtocolError(
                f"{self.peer} announced {length} bytes of {expected.name}; at most {max_bytes} are "
                "allowed"
            )
        payload = self._read(length)
        self._traffic += Traffic(
            bytes_received=HEADER.size + length, rounds=1 if self._sent_last else 0
        )
        self._sent_last = False
        return payload

    def send_json(self, message_type: MessageType, value: dict[str, Any]) -> None:
        """Send a small structured message."""
        self.send(message_type, json.dumps(value, separators=(",", ":")).encode())

    def recv_json(self, expected: MessageType) -> dict[str, Any]:
        """Receive a small structured message: a JSON object of at most 1 MiB."""
        payload = self.recv(expected, MAX_JSON_BYTES)
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError):
            raise ProtocolError(f"{self.peer} sent a {expected.name} that is not JSON") from None
        if not isinstance(value, dict):
            raise ProtocolError(f"{self.peer} sent a {expected.name} that is not a JSON object")
        return value

    def duplex(self, message_type: MessageType) -> TypedDuplex:
        """The channel as a Duplex whose messages all have one type."""
        return TypedDuplex(self, message_type)

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass
        finally:
            self._socket.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, length: int) -> bytearray:
        buffer = bytearray(length)
        view = memoryview(buffer)
        try:
            while view:
                count = self._socket.recv_into(view)
                if count == 0:
                    raise PeerGoneError(f"{self.peer} closed the connection")
                view = view[count:]
        except TimeoutError:
            raise ProtocolError(f"{self.peer} sent nothing in time") from None
        except (OSError, ValueError) as error:
            raise ProtocolError(f"{self.peer} is gone ({error})") from None
        return buffer


@dataclass(frozen=True)
class TypedDuplex:
    """A Duplex over one message type of a channel."""

    channel: Channel
    message_type: MessageType

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        """Send one message of this type."""
        self.channel.send(self.message_type, payload)

    def recv(self, max_bytes: int = MAX_MESSAGE_BYTES) -> bytearray:
        """Receive one message, which must be of this type; ProtocolError otherwise."""
        return self.channel.recv(self.message_type, max_bytes)
