"""How the C library hands out the arrays and ciphertexts of a query, 128 KiB to some MiB each."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
_LARGEST_KEPT_BYTES = 1 << 25  # the most that glibc takes as M_MMAP_THRESHOLD
_KEPT_BYTES = 1 << 28


def keep_freed_memory() -> bool:
    """Have this process reuse freed memory instead of returning it to the kernel at once.

    glibc maps every block from 128 KiB on afresh, and the kernel clears each page of it: most of
    the time of reading a ciphertext. At most 256 MiB stay. False where there is no glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES), mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    return all(kept)
