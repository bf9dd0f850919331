"""A port of this machine for a program that listens on loopback alone.

The circuit programs listen on 127.0.0.1 and secure their link themselves (TLS 1.3 under a key that
only the two sides have). A relay gives one of them an address that a peer on another machine can
reach. It sees what any wire between the two sees: ciphertext.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from capc.transport.endpoints import LOOPBACK, listening
from capc.transport.limits import DEFAULT_LIMITS
from capc.transport.tcp import ask_when_idle

_MOST_BYTES = 1 << 18  # read at a time
_ASK_SECONDS = 15  # of an idle link: no router on its way forgets it


class Relay:
    """Hands on each connection at `host`:`port` to the port `target` of this machine.

    `port` 0 takes any free one, and is then that one. A stream ends with the one that it is copied
    from. Beyond `most` connections at a time, new ones are closed at once, and `on_refusal` is
    told: the program keeps its true peer and greets the others. Raises ConfigError where the port
    is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        target: int,
        *,
        most: int = DEFAULT_LIMITS.program_connections,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        self._listener = listening(host, port)
        self.port = int(self._listener.getsockname()[1])
        self._target = target
        self._most = most
        self._on_refusal = on_refusal
        self._closed = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._take, name="relay", daemon=True).start()

    def close(self) -> None:
        """End every connection, and stop listening; safe to call twice."""
        with self._lock:
            self._closed = True
            ended = [self._listener, *self._open]
            self._open.clear()
        for one in ended:  # whoever waits for it gets an end of file or an error
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> None:
        while True:
            try:
                outside, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return
            try:
                inside = socket.create_connection((LOOPBACK, self._target))
            except OSError:  # the program has its peer, and listens no more
                outside.close()
                continue
            self._join(outside, inside)

    def _join(self, outside: socket.socket, inside: socket.socket) -> None:
        with self._lock:
            refused = self._closed or len(self._open) >= 2 * self._most
            if not refused:
                self._open |= {outside, inside}
        if refused:
            outside.close()
            inside.close()
            self._on_refusal()
            return
        ask_when_idle(outside, _ASK_SECONDS)
        ends = [threading.Event(), threading.Event()]
        for place, (source, sink) in enumerate(((outside, inside), (inside, outside))):
            sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(
                target=self._copy,
                args=(source, sink, ends[place], ends[1 - place]),
                name="relay",
                daemon=True,
            ).start()

    def _copy(
        self,
        source: socket.socket,
        sink: socket.socket,
        own: threading.Event,
        other: threading.Event,
    ) -> None:
        """One direction, to its end; who ends last closes both sockets."""
        buffer = memoryview(bytearray(_MOST_BYTES))
        with contextlib.suppress(OSError):
            while count := source.recv_into(buffer):
                sink.sendall(buffer[:count])
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        with self._lock:
            own.set()
            if not other.is_set():
                return
            self._open -= {source, sink}
        source.close()
        sink.close()
