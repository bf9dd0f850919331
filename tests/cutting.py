"""A relay between two parties that cuts their connections, as a network does."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence

HOST = "127.0.0.1"
TO_TARGET, TO_CALLER = 0, 1
_LINGER = struct.pack("ii", 1, 0)  # a close is then an RST
_PIECE = 1 << 16


class Cutting:
    """Hands on connections at `port` to the port `target`.

    `cuts` are (direction, bytes): the first connections are cut, one after the other, once so many
    bytes have gone that way. After each cut nobody gets through for `down_seconds`.
    """

    def __init__(
        self, target: int, cuts: Sequence[tuple[int, int]] = (), down_seconds: float = 0.0
    ) -> None:
        self._target = target
        self._cuts = list(cuts)
        self._down_seconds = down_seconds
        self._up_at = 0.0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.connections = 0
        self.made_cuts = 0
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self) -> None:
        """End all connections now, both ways, without a word of either side."""
        with self._lock:
            ended, self._open = self._open, []
            self.made_cuts += bool(ended)
            self._up_at = time.monotonic() + self._down_seconds
        for one in ended:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                one.shutdown(socket.SHUT_RD)  # whoever reads it wakes up
            one.close()

    def close(self) -> None:
        """Let nobody through any more."""
        self._down_seconds = 1e9
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Cutting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._up_at:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                caller.close()
                continue
            try:
                target = socket.create_connection((HOST, self._target))
            except OSError:
                caller.close()
                continue
            direction, most = self._cuts.pop(0) if self._cuts else (TO_TARGET, None)
            with self._lock:
                self.connections += 1
                self._open += [caller, target]
            for way, ends in enumerate(((caller, target), (target, caller))):
                limit = most if way == direction else None
                threading.Thread(target=self._copy, args=(*ends, limit), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        with contextlib.suppress(OSError):
            while most is None or most > 0:
                piece = source.recv(_PIECE if most is None else min(most, _PIECE))
                if not piece:
                    break
                sink.sendall(piece)
                most = None if most is None else most - len(piece)
        if most == 0:
            self.cut()
            return
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_WR)
