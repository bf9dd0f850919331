"""A socket whose `send` takes in what the peer sends, so that two parties may send at once.

Where both wait in `send` and neither reads, no byte moves any more. Here a send that has to wait
keeps what arrives for `recv_into`. So a protocol may have both parties send, as long as one of them
has at most AHEAD_BYTES under way that the other has not asked for.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import time
from functools import cached_property

from capc.transport.tcp import unconfirmed_bytes

AHEAD_BYTES = 8 << 20
"""The most that is kept of what the peer sent before this side asked for it."""

_PIECE_BYTES = 1 << 16


class ReadAhead:
    """What a `Channel` asks of a connection, over a connected socket, plain or of TLS."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._timeout = connection.gettimeout()
        self._ahead = bytearray()
        self._ended = False  # at the peer, and all of it is in `_ahead`
        self._poll = select.poll()

    @property
    def has_ended(self) -> bool:
        """Whether the peer sends nothing more; what it has sent may not be read yet."""
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP)
        return self._ended or bool(poll.poll(0))

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for `recv_into`."""
        return not self._ahead

    def gettimeout(self) -> float | None:
        """Seconds that `send` and `recv_into` wait, None for ever."""
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        """The same, to be set."""
        self._timeout = seconds

    def send(self, view: memoryview) -> int:
        """Send some bytes; how many. TimeoutError where the peer takes none in time."""
        deadline = self._deadline()
        while True:
            try:
                return self.connection.send(view)
            except ssl.SSLWantReadError:
                events = select.POLLIN
            except (BlockingIOError, ssl.SSLWantWriteError):
                events = select.POLLOUT
            may_read = len(self._ahead) < AHEAD_BYTES and not self._ended
            if self._wait(events | (select.POLLIN if may_read else 0), deadline) and may_read:
                self._take_in()

    def recv_into(self, view: memoryview) -> int:
        """Receive some bytes; 0 at the end. TimeoutError where none arrive in time."""
        if self._ahead:
            count = min(len(view), len(self._ahead))
            with memoryview(self._ahead) as kept:
                view[:count] = kept[:count]
            del self._ahead[:count]
            return count
        if self._ended:
            return 0
        deadline = self._deadline()
        while True:
            try:
                return self.connection.recv_into(view)
            except ssl.SSLWantWriteError:
                events = select.POLLOUT
            except (BlockingIOError, ssl.SSLWantReadError):
                events = select.POLLIN
            self._wait(events, deadline)

    def arrived(self, count: int) -> tuple[int, bytes]:
        """How many bytes wait for `recv_into`, and the first of them. It does not wait."""
        self.connection.setblocking(False)
        if not self._ended:
            self._take_in()
        return len(self._ahead), bytes(self._ahead[:count])

    def wait_for_more(self, count: int, seconds: float) -> None:
        """Wait until more bytes than that can be received, or the end is there, or it is late."""
        if len(self._ahead) <= count and not self._ended:
            with contextlib.suppress(TimeoutError):
                self._wait(select.POLLIN, time.monotonic() + seconds)

    def unconfirmed(self) -> int:
        """Bytes that were sent and of whose arrival nothing is known yet."""
        return unconfirmed_bytes(self.connection)

    def shutdown(self, how: int) -> None:
        """End it, both ways."""
        self.connection.shutdown(how)

    def close(self) -> None:
        """Close it."""
        self.connection.close()

    def _deadline(self) -> float:
        self.connection.setblocking(False)
        return math.inf if self._timeout is None else time.monotonic() + self._timeout

    def _wait(self, events: int, deadline: float) -> bool:
        """Until one of the events, or TimeoutError. Whether there is something to read."""
        self._poll.register(self.connection, events)
        left = None if deadline == math.inf else math.ceil(1000 * (deadline - time.monotonic()))
        ready = self._poll.poll(left if left is None else max(0, left))
        if not ready:
            raise TimeoutError
        return bool(ready[0][1] & select.POLLIN)

    @cached_property
    def _piece(self) -> memoryview:
        return memoryview(bytearray(_PIECE_BYTES))

    def _take_in(self) -> None:
        """What has arrived, as far as there is room."""
        while (room := AHEAD_BYTES - len(self._ahead)) > 0:
            try:
                count = self.connection.recv_into(self._piece[:room])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not count:
                self._ended = True
                return
            self._ahead += self._piece[:count]
