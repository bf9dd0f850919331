"""A connection that outlives cuts of the network: bytes arrive once, in order, or it fails in time.

Each side keeps what the other has not acknowledged. Where the TLS connection below breaks, a
`Mender` brings another one with the same peer, both sides say how far they have received, and what
is missing is sent again: the same bytes. So a cut changes when bytes arrive, and nothing else.

Inside TLS, in both directions, are records: a type (1 byte) and a number (8 bytes, little endian).
DATA has so many bytes after it; ACKNOWLEDGED says how many the peer's owner has read in all; END
that no more follow, ENDED that END has arrived.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import ssl
import struct
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from capc.errors import ProtocolError
from capc.transport.tcp import notice_silence, unconfirmed_bytes

logger = logging.getLogger(__name__)

WINDOW_BYTES = 8 << 20
"""The most that is kept for the peer, and the most of the peer's that waits to be read."""

_ACKNOWLEDGE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 18
_RECORD = struct.Struct("<BQ")


class _Record(IntEnum):
    DATA = 1
    ACKNOWLEDGED = 2
    END = 3
    ENDED = 4


class Mender(Protocol):
    """How a stream gets another connection with its peer."""

    @property
    def has_offer(self) -> bool:
        """Whether the peer has opened another connection by itself."""

    def mend(self, received: int, until: float) -> tuple[ssl.SSLSocket, int]:
        """A connection, and how many bytes the peer has received; it is told our `received`.

        Raises OSError or ProtocolError where there is none until that moment (monotonic seconds).
        """

    def close(self) -> None:
        """The stream is over: it takes no other connection."""


class LastingStream:
    """What a `Channel` asks of a socket, over one TLS connection after the other.

    A thread of its own owns the connection. So a cut is mended while the stream's user computes, or
    waits for another peer. Methods are for one user thread at a time.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        mender: Mender,
        *,
        peer: str,
        reconnect_seconds: float,
        on_mend: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`on_mend` is told how many seconds a cut took, in the stream's own thread."""
        self._mender = mender
        self._peer = peer
        self._reconnect_seconds = reconnect_seconds
        self._on_mend = on_mend
        self._timeout = connection.gettimeout()
        self._changed = threading.Condition()
        # Guarded by `_changed`. Positions count the bytes of one direction from its beginning.
        self._inbox = bytearray()
        self._consumed = self._told = 0
        self._kept = bytearray()
        self._kept_from = 0
        self._acknowledged = 0
        self._closing = self._peer_ended = self._over = False
        self._failure = ""
        self._connection = connection  # which only the stream's thread sends and receives on
        # Of the stream's thread alone.
        self._received = self._written = 0
        self._end_written = self._end_arrived = self._must_acknowledge = self._must_say_ended = (
            False
        )
        self._header = bytearray()
        self._data_left = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(
            target=self._run, args=(connection,), name="link", daemon=True
        )
        self._thread.start()

    # -- what its user calls ---------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Whether the peer sends nothing more; what it has sent may not be read yet."""
        with self._changed:
            return self._peer_ended or self._over

    def gettimeout(self) -> float | None:
        """Seconds that `send` and `recv_into` wait, None for ever."""
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        """The same, to be set."""
        self._timeout = seconds

    def send(self, view: memoryview) -> int:
        """Take some of the bytes, at least one; how many. They are kept until they have arrived.

        TimeoutError where the peer reads nothing in time; OSError where it is gone.
        """
        with self._changed:
            if not self._changed.wait_for(self._can_send, self._timeout):
                raise TimeoutError
            self._require_open()
            if self._peer_ended:
                raise ConnectionError("it has closed the connection")
            taken = view[: min(self._room(), _PIECE_BYTES)]
            self._kept += taken
        self.wake()
        return len(taken)

    def recv_into(self, view: memoryview) -> int:
        """Some bytes, 0 at the peer's end. TimeoutError and OSError as in `send`."""
        with self._changed:
            if not self._changed.wait_for(self._can_receive, self._timeout):
                raise TimeoutError
            if not self._inbox:
                self._require_open()
                return 0
            count = min(len(view), len(self._inbox))
            view[:count] = self._inbox[:count]
            del self._inbox[:count]
            self._consumed += count
            due = self._consumed - self._told >= _ACKNOWLEDGE_BYTES
        if due:
            self.wake()
        return count

    def arrived(self, count: int) -> tuple[int, bytes]:
        """How many bytes wait for `recv_into`, and the first of them. It does not wait."""
        with self._changed:
            return len(self._inbox), bytes(self._inbox[:count])

    def wait_for_more(self, count: int, seconds: float) -> None:
        """Wait until more bytes than that can be received, or the end is there, or it is late."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._inbox) > count or self._peer_ended or self._over, seconds
            )

    def unconfirmed(self) -> int:
        """Bytes that were sent and of whose arrival nothing is known yet."""
        with self._changed:
            unwritten = self._kept_from + len(self._kept) - self._written
        return unwritten + unconfirmed_bytes(self._connection)

    def shutdown(self, _how: int) -> None:
        """Nothing: `close` says to the peer that this is the end."""

    def close(self) -> None:
        """Nothing more is sent or read; what was sent still arrives. It does not wait."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.wake()

    def wait_closed(self, until: float) -> None:
        """After `close`: once the peer has received everything, at the moment `until` at most."""
        self._thread.join(max(0.0, until - time.monotonic()))

    def wake(self) -> None:
        """Have the stream's thread look at what has changed."""
        with self._changed:
            if not self._over:
                os.eventfd_write(self._wake, 1)

    def _room(self) -> int:
        return WINDOW_BYTES - (self._kept_from + len(self._kept) - self._acknowledged)

    def _can_send(self) -> bool:
        return self._room() > 0 or self._peer_ended or self._closing or self._over

    def _can_receive(self) -> bool:
        return bool(self._inbox) or self._peer_ended or self._closing or self._over

    def _require_open(self) -> None:
        if self._failure:
            raise ConnectionError(self._failure)
        if self._closing:
            raise ConnectionError("this party has closed the connection")

    # -- the stream's thread ---------------------------------------------------------------

    def _run(self, connection: ssl.SSLSocket) -> None:
        failure = ""
        try:
            while True:
                try:
                    self._carry(connection)
                    break
                except OSError as error:
                    connection.close()
                    if self._peer_ended:
                        break
                    connection = self._connection = self._mended(error)
        except (OSError, ProtocolError) as error:
            failure = str(error)
        except Exception as error:  # the user has to hear of it, in place of silence
            logger.exception("the connection with %s", self._peer)
            failure = f"internal error: {error}"
        finally:
            connection.close()
            self._mender.close()
            with self._changed:
                self._failure, self._over = failure, True
                os.close(self._wake)
                self._changed.notify_all()

    def _mended(self, cut: OSError) -> ssl.SSLSocket:
        """Another connection, on which both sides go on where they were."""
        began = time.monotonic()
        # After `close` it is no news any more: the last line of a log says why the party ended.
        level = logging.DEBUG if self._closing else logging.WARNING
        logger.log(level, "the connection with %s was cut (%s)", self._peer, cut)
        try:
            connection, theirs = self._mender.mend(self._received, began + self._reconnect_seconds)
        except (OSError, ProtocolError) as error:
            raise ConnectionError(
                f"the connection was cut and not mended within {self._reconnect_seconds:g} "
                f"seconds: {error}"
            ) from None
        try:
            self._go_back_to(theirs)
        except ProtocolError:
            connection.close()
            raise
        seconds = time.monotonic() - began
        logger.log(level, "the connection with %s is mended after %.1f s", self._peer, seconds)
        self._on_mend(seconds)
        return connection

    def _go_back_to(self, received: int) -> None:
        """The peer has so many bytes: what follows is written again."""
        with self._changed:
            self._forget_until(received)
        self._written = received
        self._end_written, self._must_acknowledge = False, True
        self._must_say_ended = self._peer_ended
        self._header.clear()
        self._data_left = 0

    def _carry(self, connection: ssl.SSLSocket) -> None:
        """Bytes both ways until the end that both know of; OSError where the connection breaks."""
        notice_silence(connection, self._reconnect_seconds)
        connection.setblocking(False)
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        buffer = memoryview(bytearray(_PIECE_BYTES))
        out = memoryview(b"")
        while True:
            self._read_all(connection, buffer)
            out = self._write_all(connection, out)
            if not out and self._is_done():
                return
            poll.register(connection, select.POLLIN | (select.POLLOUT if out else 0))
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            if self._mender.has_offer:
                raise ConnectionResetError("the peer has opened another one")

    def _read_all(self, connection: ssl.SSLSocket, buffer: memoryview) -> None:
        while True:
            try:
                count = connection.recv_into(buffer)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if count == 0:
                raise ConnectionResetError("it ended without a word")
            self._take_in(buffer[:count])

    def _write_all(self, connection: ssl.SSLSocket, out: memoryview) -> memoryview:
        """What could not be written now, and has to be the first the next time."""
        while out := out or memoryview(self._next_record()):
            try:
                out = out[connection.send(out) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
        return out

    def _is_done(self) -> bool:
        with self._changed:
            all_written = self._written == self._kept_from + len(self._kept)
            known = self._end_arrived and all_written
            return self._closing and not self._must_say_ended and (known or self._peer_ended)

    def _next_record(self) -> bytes:
        """The next to be written, empty where there is none."""
        with self._changed:
            if self._must_say_ended:
                self._must_say_ended = False
                return _RECORD.pack(_Record.ENDED, 0)
            if self._must_acknowledge or self._consumed - self._told >= _ACKNOWLEDGE_BYTES:
                self._must_acknowledge, self._told = False, self._consumed
                return _RECORD.pack(_Record.ACKNOWLEDGED, self._consumed)
            start = self._written - self._kept_from
            data = bytes(self._kept[start : start + _PIECE_BYTES])
            if data:
                self._written += len(data)
                return _RECORD.pack(_Record.DATA, len(data)) + data
            if self._closing and not self._end_written:
                self._end_written = True
                return _RECORD.pack(_Record.END, 0)
        return b""

    def _take_in(self, view: memoryview) -> None:
        """What has arrived; ProtocolError for what no peer of this version sends."""
        while view:
            if self._data_left:
                data = view[: self._data_left]
                self._deliver(data)
                self._data_left -= len(data)
                view = view[len(data) :]
                continue
            missing = _RECORD.size - len(self._header)
            self._header += view[:missing]
            view = view[missing:]
            if len(self._header) == _RECORD.size:
                kind, number = _RECORD.unpack(self._header)
                self._header.clear()
                self._heed(kind, number)

    def _deliver(self, data: memoryview) -> None:
        with self._changed:
            if self._peer_ended or len(self._inbox) + len(data) > WINDOW_BYTES:
                raise ProtocolError("it sent more than it may")
            if not self._closing:  # else nobody reads it
                self._inbox += data
            else:
                self._consumed += len(data)
            self._received += len(data)
            self._changed.notify_all()

    def _heed(self, kind: int, number: int) -> None:
        if kind == _Record.DATA and 0 < number <= WINDOW_BYTES:
            self._data_left = number
        elif kind == _Record.ACKNOWLEDGED:
            with self._changed:
                self._forget_until(max(number, self._kept_from))
                self._acknowledged = max(number, self._acknowledged)
                self._changed.notify_all()
        elif kind == _Record.END:
            with self._changed:
                self._peer_ended = self._must_say_ended = True
                self._changed.notify_all()
        elif kind == _Record.ENDED and self._end_written:
            self._end_arrived = True
        else:
            raise ProtocolError(f"it sent an invalid record of type {kind}")

    def _forget_until(self, position: int) -> None:
        """The peer has received so much: it need not be kept. Needs `_changed`."""
        if not self._kept_from <= position <= self._kept_from + len(self._kept):
            raise ProtocolError(
                f"it says that it has received {position} bytes; possible are {self._kept_from} "
                f"to {self._kept_from + len(self._kept)}"
            )
        del self._kept[: position - self._kept_from]
        self._kept_from = position
