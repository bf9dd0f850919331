"""Ctrl-C and its kin as events that a selector can wait for."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, unless something handles them.

    A signal that was ignored when this process started stays ignored. Without effect outside the
    main thread.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    changed = []
    with contextlib.suppress(ValueError):
        for number in ENDING[1:]:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, interrupt)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


class SignalEvents:
    """Ctrl-C and its kin as readable events; without effect outside the main thread.

    Signals that are ignored when the block is entered stay ignored.
    """

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._restore: list[tuple[signal.Signals, Any]] = []
        self._previous = -1

    def __enter__(self) -> SignalEvents:
        with contextlib.suppress(ValueError):
            self._previous = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
            for number in ENDING:
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it: it stays so
                    self._restore.append((number, signal.signal(number, self._ignore)))
        return self

    @staticmethod
    def _ignore(number: int, frame: FrameType | None) -> None:
        pass

    def fileno(self) -> int:
        """Readable once a signal has come."""
        return self._read.fileno()

    def clear(self) -> bool:
        """Whether one of the signals came since the last call."""
        ours = {int(number) for number, _ in self._restore}
        with contextlib.suppress(BlockingIOError):
            return any(byte in ours for byte in self._read.recv(4096))
        return False

    def __exit__(self, *_: object) -> None:
        if self._restore:
            signal.set_wakeup_fd(self._previous)
            for number, handler in self._restore:
                signal.signal(number, handler)
        self._read.close()
        self._write.close()
