"""Connections that have not said yet who they are, side by side: none makes another wait.

Whoever reaches a port can open a connection and say nothing. Each one here has a short time for
all of its handshake, and only so many are held: a new one takes the place of the oldest.
"""

from __future__ import annotations

import errno
import logging
import math
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from capc.errors import ConfigError, ProtocolError
from capc.transport.framing import HEADER, MessageType, decode_header
from capc.transport.limits import DEFAULT_LIMITS, Limits

logger = logging.getLogger(__name__)

_LOG_SECONDS = 60.0
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Result = TypeVar("Result")
Greeting: TypeAlias = Generator[int, None, Result]
"""Work on one connection that never blocks: it yields the selector's event that it waits for."""


@dataclass(frozen=True, eq=False)
class _Stranger(Generic[Result]):
    descriptor: int
    greeting: Greeting[Result]
    deadline: float


class Doorway(Generic[Result]):
    """Takes connections from a listening socket and greets them all at the same time.

    `greet(connection)` owns its connection, which does not block, until it returns; where it
    fails or is ended early it closes it. Connections that fail are counted, and logged together.
    """

    def __init__(
        self,
        listener: socket.socket,
        greet: Callable[[socket.socket], Greeting[Result]],
        *,
        expected: int = 1,
        limits: Limits = DEFAULT_LIMITS,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        """`expected` peers may arrive at the same time without one displacing another.

        `on_refusal` is told of each connection that is dropped.
        """
        self._listener = listener
        self._greet = greet
        self._most = limits.strangers + expected
        self._handshake_seconds = limits.handshake_seconds
        self._on_refusal = on_refusal
        self._strangers: dict[int, _Stranger[Result]] = {}  # by descriptor, the oldest first
        self._dropped, self._reason = 0, ""
        self._next_line = time.monotonic() + _LOG_SECONDS
        listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def next(self, deadline: float = math.inf) -> Result | None:
        """What the next greeting that succeeds returns; None at the deadline (monotonic seconds).

        Raises ConfigError where the system has no room for even one connection.
        """
        while (now := time.monotonic()) < deadline:
            self._drop_late(now)
            self._log(now)
            # The first deadline is the oldest stranger's.
            first = next(iter(self._strangers.values()), None)
            until = min(deadline, math.inf if first is None else first.deadline)
            for key, _ in self._selector.select(None if until == math.inf else until - now):
                if key.fileobj is self._listener:
                    done = self._take()
                elif key.fd in self._strangers:  # else dropped for one that came meanwhile
                    done = self._step(self._strangers[key.fd])
                else:
                    continue
                if done is not None:
                    return done
        return None

    def refuse(self, reason: str) -> None:
        """Count one whose greeting went well, and that is not wanted all the same."""
        self._dropped += 1
        self._reason = reason
        self._on_refusal()

    def close(self) -> None:
        """Drop who is still there; log how many were dropped."""
        for stranger in list(self._strangers.values()):
            self._forget(stranger)
            stranger.greeting.close()
        self._selector.close()
        self._log(math.inf)

    def __enter__(self) -> Doorway[Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> Result | None:
        """One connection, if there is one."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM and not self._drop_oldest("there was no room for it"):
                raise ConfigError(
                    f"no connection can be taken: {error.strerror}; allow more open files "
                    "(ulimit -n)"
                ) from None
            return None  # gone before it was taken; or it is there the next time
        if len(self._strangers) >= self._most:
            self._drop_oldest("too many came at a time")
        connection.setblocking(False)
        stranger = _Stranger(
            connection.fileno(), self._greet(connection), time.monotonic() + self._handshake_seconds
        )
        self._selector.register(stranger.descriptor, selectors.EVENT_READ)
        self._strangers[stranger.descriptor] = stranger
        return self._step(stranger)

    def _step(self, stranger: _Stranger[Result]) -> Result | None:
        try:
            event = next(stranger.greeting)
        except StopIteration as end:
            self._forget(stranger)
            result: Result = end.value
            return result
        except (OSError, ProtocolError) as error:
            self._forget(stranger)
            self.refuse(str(error))
            return None
        self._selector.modify(stranger.descriptor, event)
        return None

    def _drop_late(self, now: float) -> None:
        for stranger in list(self._strangers.values()):
            if stranger.deadline > now:
                break
            self._drop(stranger, f"no handshake within {self._handshake_seconds:g} seconds")

    def _drop_oldest(self, reason: str) -> bool:
        """False where there is none."""
        oldest = next(iter(self._strangers.values()), None)
        if oldest is not None:
            self._drop(oldest, reason)
        return oldest is not None

    def _drop(self, stranger: _Stranger[Result], reason: str) -> None:
        self._forget(stranger)
        stranger.greeting.close()
        self.refuse(reason)

    def _forget(self, stranger: _Stranger[Result]) -> None:
        # A greeting that failed has closed its connection: the selector may know it no more.
        self._selector.unregister(stranger.descriptor)
        del self._strangers[stranger.descriptor]

    def _log(self, now: float) -> None:
        """One line at the end, or one a minute, however many were dropped."""
        if self._dropped and now >= self._next_line:
            logger.warning("%d connections were dropped, the last: %s", self._dropped, self._reason)
            self._dropped, self._next_line = 0, now + _LOG_SECONDS


def secure(connection: socket.socket, context: ssl.SSLContext) -> Greeting[ssl.SSLSocket]:
    """The server's side of a TLS handshake; OSError where it fails."""
    try:
        secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    except OSError:
        connection.close()
        raise
    try:
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                yield selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                yield selectors.EVENT_WRITE
    except BaseException:  # also where the greeting is ended early
        secured.close()
        raise


def first_message(
    connection: socket.socket, expected: MessageType, max_bytes: int
) -> Greeting[bytearray]:
    """The payload of a first message; ProtocolError where it is another, or too long.

    The connection stays open in any case.
    """
    return (yield from first_of(connection, {expected: max_bytes}))[1]


def first_of(
    connection: socket.socket, most_bytes: Mapping[MessageType, int]
) -> Greeting[tuple[MessageType, bytearray]]:
    """The same for a first message of one of several types, each with its longest payload."""
    message_type, length = decode_header((yield from _read(connection, HEADER.size)))
    if length > most_bytes.get(message_type, -1):
        raise ProtocolError(f"it begins with {length} bytes of {message_type.name}")
    return message_type, (yield from _read(connection, length))


def _read(connection: socket.socket, length: int) -> Greeting[bytearray]:
    data = bytearray()
    while len(data) < length:
        try:
            part = connection.recv(length - len(data))
        except (BlockingIOError, ssl.SSLWantReadError):
            yield selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            yield selectors.EVENT_WRITE
        else:
            if not part:
                raise ProtocolError("it was closed by its peer")
            data += part
    return data
