"""What this machine gives this process: cores, memory within the limits set on it, and packages.

A container sees all cores and all memory of its host; what it may use stands in its control
groups, of version 1 or 2.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")


def cores() -> int:
    """Processors that this process may run on at once, at least 1: affinity and quotas count."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, *(max(1, math.ceil(quota)) for quota in _quotas()), allowed))


def memory_bytes() -> int | None:
    """Memory that this process may use, in bytes: the machine's, or less by a limit on it."""
    limits = list(_memory_limits())
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    for line in _text(_MEMORY).splitlines():
        if line.startswith("MemTotal:"):
            limits.append(int(line.split()[1]) * 1024)
    return min(limits, default=None)


def package_version(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _quotas() -> Iterator[float]:
    """Processors by the quotas of this process's groups and of those above them."""
    for folder in _folders("cpu"):
        quota = _text(folder / "cpu.max").split()
        if not quota:
            quota = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        try:
            share, period = (int(word) for word in quota)
        except ValueError:  # "max", or no such file
            continue
        if share > 0 and period > 0:
            yield share / period


def _memory_limits() -> Iterator[int]:
    for folder in _folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            word = _text(folder / name).strip()
            if word.isdecimal():
                yield int(word)


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it, under either version."""
    for line in _text(OWN_GROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = GROUPS / controllers if controllers else GROUPS
        place = top / path.lstrip("/")
        if not place.is_dir():
            place = top  # a container's own group is mounted as the top
        while place != GROUPS.parent and top in (place, *place.parents):
            yield place
            place = place.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
