"""The one thing that protocol code asks of a connection: whole messages, in order, both ways."""

from __future__ import annotations

import queue
from typing import Protocol

from capc.errors import ProtocolError


class Duplex(Protocol):
    """Ordered messages between two parties; a peer that is gone is a ProtocolError."""

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        """Send one message."""

    def recv(self, max_bytes: int) -> bytes | bytearray | memoryview:
        """Receive one message; a longer one than `max_bytes` is a ProtocolError."""


class MemoryDuplex:
    """One end of an in-process connection, for tests and for both parties in one program."""

    def __init__(
        self,
        inbox: queue.SimpleQueue[bytes],
        outbox: queue.SimpleQueue[bytes],
        timeout_seconds: float,
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._timeout_seconds = timeout_seconds
        self.bytes_sent = 0
        self.messages_sent = 0

    @classmethod
    def pair(cls, timeout_seconds: float = 60.0) -> tuple[MemoryDuplex, MemoryDuplex]:
        """Two connected ends; a receive that waits longer than the timeout is a ProtocolError."""
        left: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        right: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        return cls(left, right, timeout_seconds), cls(right, left, timeout_seconds)

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        """Send one message; it never waits."""
        message = bytes(payload)
        self.bytes_sent += len(message)
        self.messages_sent += 1
        self._outbox.put(message)

    def recv(self, max_bytes: int) -> bytes:
        """Receive one message; ProtocolError in place of a wait beyond the timeout."""
        try:
            message = self._inbox.get(timeout=self._timeout_seconds)
        except queue.Empty:
            raise ProtocolError("the peer sent nothing in time") from None
        if len(message) > max_bytes:
            raise ProtocolError(f"the peer sent {len(message)} bytes; at most {max_bytes} expected")
        return message
