"""Memory that is freed stays with the process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
import numpy as np
from capc.he.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def query():
    return [np.ones(1 << 19, dtype=np.uint8) for _ in range(8)]
query()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    query()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    command = [sys.executable, "-c", PROGRAM, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_freed_memory_is_used_again() -> None:
    """Twenty times 1024 pages; the plain process says whether this machine can show it at all."""
    kept, plain = page_faults("keep"), page_faults("plain")
    assert kept < 1000
    assert plain > 5 * kept
