"""How the C library hands out the arrays and ciphertexts of a query, 128 KiB to some MiB each."""

from __future__ import annotations

import ctypes

# M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of <malloc.h>
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_KEPT_BYTES = 1 << 25  # the most that glibc takes as M_MMAP_THRESHOLD
_KEPT_BYTES = 1 << 28


def keep_freed_memory() -> bool:
    """Have this process reuse freed memory instead of returning it to the kernel at once.

    glibc maps every block from 128 KiB on afresh, and the kernel clears each page of it: most of
    the time of reading a ciphertext. At most 256 MiB stay. All threads share one heap: with heaps
    of their own each keeps what it has freed, and a querying party has a thread for each peer.
    False where there is no glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES),
        (_TRIM_THRESHOLD, _KEPT_BYTES),
        (_ARENA_MAX, 1),
    )
    taken = [mallopt(name, value) for name, value in settings]
    return all(taken)


def give_back_freed_memory() -> bool:
    """Return all pages that hold nothing to the kernel; False where there is no glibc.

    It clears those that are used again, so that this is for processes that are many on a machine,
    before each waits for the others.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True
