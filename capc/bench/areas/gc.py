"""Area gc: the engine of gc-emp-test between two processes, and EMP where it was built."""

from __future__ import annotations

import os
import subprocess

from capc.bench.rows import Row, parse_rows, skipped
from capc.errors import ConfigError, ProgramError
from capc.files import IN_CLONE, REPOSITORY

_FOLDER = REPOSITORY / "gc-emp-test" / "bin"
#: Programs on EMP, and the row that stands for each where it is not built.
_PEERS = {
    "bench_emp": ("relu_1080x47", "emp-0.3", "EMP 0.3"),
    "bench_emp_dev": ("relu_1080x47", "emp-dev", "EMP's development line"),
    "bench_emp_dev_transfers": ("transfers_silent", "emp-dev", "EMP's development line"),
}


def run(repeat: int) -> list[Row]:
    """Rows of bench_gc and, in the same run, of the same benchmarks on EMP (docs/emp.md).

    ConfigError where bench_gc is not built, ProgramError where a program fails.
    """
    rows = _rows("bench_gc", repeat)
    if rows is None:
        missing = "gc-emp-test/bin/bench_gc is not built; run `make setup`"
        raise ConfigError(missing if IN_CLONE else f"{missing} in a clone: a wheel is without it")
    for program, (benchmark, implementation, name) in _PEERS.items():
        peer = _rows(program, repeat)
        rows += peer or [skipped(benchmark, implementation, f"{name} is not installed")]
    return rows


def _rows(program: str, repeat: int) -> list[Row] | None:
    path = _FOLDER / program
    if not os.access(path, os.X_OK):
        return None
    result = subprocess.run(
        [str(path), "--repeat", str(repeat)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = result.stderr.strip().splitlines()[-1:] or [f"status {result.returncode}"]
        raise ProgramError(f"{program} failed: {said[0]}")
    return parse_rows(result.stdout)
