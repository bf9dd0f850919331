"""Memory that is freed stays with the process until it gives it back."""

from __future__ import annotations

import subprocess
import sys

FAULTS = """
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

# Eight threads, each of which frees 8 MiB before the next begins; then all of it is given back.
RESIDENT = """
import sys, threading
from pathlib import Path
import numpy as np
from capc.he.allocation import give_back_freed_memory, keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def query():
    [np.ones(1 << 16, dtype=np.uint8) for _ in range(128)]
def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])
query()
before, freed, end = pages(), threading.Semaphore(0), threading.Event()
def thread():
    query()
    freed.release()
    end.wait()
threads = [threading.Thread(target=thread) for _ in range(8)]
for one in threads:
    one.start()
    freed.acquire()
kept = pages()
assert give_back_freed_memory()
print(kept - before, kept - pages())
end.set()
"""


def numbers(program: str, mode: str) -> list[int]:
    """What a program prints in a process of its own."""
    command = [sys.executable, "-c", program, mode]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(word) for word in said.split()]


def test_freed_memory_is_used_again() -> None:
    """Twenty times 1024 pages; the plain process says whether this machine can show it at all."""
    (kept,), (plain,) = numbers(FAULTS, "keep"), numbers(FAULTS, "plain")
    assert kept < 1000
    assert plain > 5 * kept


def test_threads_share_what_they_free_and_give_it_back() -> None:
    """Each of eight threads frees 2048 pages, in one heap which all of them use."""
    (grown, given_back), (apart, _) = numbers(RESIDENT, "keep"), numbers(RESIDENT, "plain")
    assert grown < 1024 < 2048 < apart
    assert given_back > 1024
