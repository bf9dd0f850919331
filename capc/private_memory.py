"""A process that holds secrets: no core file of it, and no other process that reads its memory."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Leave no core file, and let no other process of this user trace this one.

    A program that is started from here has to do so for itself; a fork keeps it. What /proc holds
    of this process belongs to root from now on; the process itself still reads its own.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
