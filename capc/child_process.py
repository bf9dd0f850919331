"""The end of a child process as an event: something to wait on that needs no polling."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading


class ExitWatch:
    """A descriptor that becomes readable when a child process has ended."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._descriptor = self._pidfd(child.pid)
        if self._descriptor is None:
            self._descriptor, write_end = os.pipe()
            threading.Thread(target=self._wait, args=(child, write_end), daemon=True).start()

    @staticmethod
    def _pidfd(pid: int) -> int | None:
        if sys.platform != "linux":
            return None
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
        return None

    @staticmethod
    def _wait(child: subprocess.Popen[bytes], write_end: int) -> None:
        child.wait()
        os.close(write_end)

    def fileno(self) -> int:
        """The descriptor; ValueError after `close`."""
        if self._descriptor is None:
            raise ValueError("the watch is closed")
        return self._descriptor

    def close(self) -> None:
        """Give the descriptor back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the child has ended, and reap it; False where it still runs after `seconds`.

    Popen.wait with a time limit polls; this does not.
    """
    if child.poll() is not None:
        return True
    with contextlib.closing(ExitWatch(child)) as watch:
        ready, _, _ = select.select([watch], [], [], seconds)
    if not ready:
        return False
    child.wait()
    return True
