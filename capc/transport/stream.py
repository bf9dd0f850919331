"""What a channel asks of a connection, whether it is one socket or outlives several."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """What a channel asks of a connection."""

    @property
    def has_ended(self) -> bool:
        """Whether the peer sends nothing more."""

    def gettimeout(self) -> float | None:
        """As of a socket; the others too."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Of the next `send` or `recv_into`, which raise TimeoutError."""

    def send(self, view: memoryview, /) -> int:
        """Send some bytes."""

    def recv_into(self, view: memoryview, /) -> int:
        """Receive some bytes; 0 at the end."""

    def arrived(self, count: int, /) -> tuple[int, bytes]:
        """How many bytes wait to be received, and the first of them. It does not wait."""

    def wait_for_more(self, count: int, seconds: float, /) -> None:
        """Wait until more bytes than that can be received, or the end is there, or it is late."""

    def unconfirmed(self) -> int:
        """Bytes that were sent and of whose arrival nothing is known yet."""

    def shutdown(self, how: int, /) -> None:
        """End it, both ways."""

    def close(self) -> None:
        """Close it."""
