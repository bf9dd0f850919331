"""The end of a child process as an event: something to wait on that needs no polling."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
# Looked up now: between fork and exec nothing may be loaded.
_prctl: Callable[..., int] | None = None
if sys.platform == "linux":
    with contextlib.suppress(OSError, AttributeError):
        _prctl = ctypes.CDLL(None).prctl


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
        if not readable(watch.fileno(), seconds):
            return False
    child.wait()
    return True


def readable(descriptor: int, seconds: float) -> bool:
    """Whether a descriptor, of any number, is readable within `seconds`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """What a child does before its program starts, as Popen's `preexec_fn`, to end with us.

    The system sends it `number` when the thread that started it ends, however it ends; where this
    process has ended before that was arranged, the child ends at once. None where no system does
    this.
    """
    if _prctl is None:
        return None
    parent, prctl = os.getpid(), _prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + int(number))

    return arrange


def end_this_process_with_its_parent(parent: int | None = None) -> None:
    """The same for a child that runs already: `parent` started it (default: multiprocessing)."""
    started = multiprocessing.parent_process()
    if parent is None and started is not None:
        parent = started.pid
    if _prctl is not None and parent is not None:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def start_child(
    command: Sequence[str], *, ends_by: signal.Signals = signal.SIGKILL, **options: Any
) -> subprocess.Popen[bytes]:
    """Popen of a child that ends with this process, as `end_with_parent` says."""
    # In the child one system call is made, and nothing is loaded or locked, whatever threads run.
    arrange = end_with_parent(ends_by)
    return subprocess.Popen(command, preexec_fn=arrange, **options)  # noqa: PLW1509


def run_child(
    command: Sequence[str], *, ends_by: signal.Signals = signal.SIGKILL, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """subprocess.run of a child that ends with this process, as `end_with_parent` says."""
    arrange = end_with_parent(ends_by)
    return subprocess.run(command, preexec_fn=arrange, **options)  # noqa: PLW1510


def process_mark(pid: int) -> str:
    """A process for good: its number and when it started, which no later process shares."""
    return f"{pid}.{_started(pid) or ''}"


def has_ended(mark: str) -> bool:
    """Whether the process of a `process_mark` is known to have ended."""
    pid, _, started = mark.partition(".")
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    now = _started(int(pid))
    return bool(started) and now is not None and now != started


def _started(pid: int) -> str | None:
    """Ticks from the machine's start to the process's; None where there is no /proc."""
    try:
        # pid (name) state parent ...; the name may hold spaces and brackets
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
