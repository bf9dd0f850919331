"""`make bench`: measure, print one table an area, and leave it in results/bench/<area>.csv."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from capc.console import table_console
from capc.errors import CapcError
from capc.harness.benchmarks.rows import Row, write_rows
from capc.harness.view import bytes_text, seconds_text

AREAS = {
    "gc": "capc.harness.benchmarks.circuits",
    "inference": "capc.harness.benchmarks.inference",
    "protocol": "capc.harness.benchmarks.protocol",
    "privacy": "capc.harness.benchmarks.privacy",
    "learning": "capc.harness.benchmarks.learning",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where a measured program failed."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure, each peer in the same run as ours.",
        epilog="example: make bench AREA=inference ARGS=--repeat=50",
    )
    parser.add_argument("areas", nargs="*", metavar="area", help=f"of {', '.join(AREAS)}; all")
    parser.add_argument("--repeat", type=int, default=30, help="repetitions (default: 30)")
    parser.add_argument("--output", type=Path, default=Path("results/bench"), help="folder")
    options = parser.parse_args(argv)
    if unknown := set(options.areas) - set(AREAS):
        parser.error(f"{sorted(unknown)[0]} is no area; there are {', '.join(AREAS)}")
    if not 1 <= options.repeat <= 100_000:
        parser.error(f"--repeat is {options.repeat}; allowed are 1 to 100000")
    console = table_console(160)
    status = 0
    for area in options.areas or AREAS:
        path = options.output / f"{area}.csv"
        try:
            rows = importlib.import_module(AREAS[area]).run(options.repeat)
            write_rows(path, rows)
        except CapcError as error:
            sys.stderr.write(f"bench {area}: {error}\n")
            status = 1
            continue
        show(console, area, rows)
        console.print(f"{path}; load of the machine now: {_load()}", highlight=False)
    return status


def show(console: Console, area: str, rows: Sequence[Row]) -> None:
    """One area's table; the ratio is to our first row of the same benchmark."""
    table = Table(title=area, box=box.SIMPLE)
    table.add_column("benchmark", no_wrap=True)
    table.add_column("implementation", no_wrap=True)
    for name in ("n", "median", "p10", "p90", "sent", "received", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note")
    ours: dict[str, float] = {}
    for row in rows:
        if row.median_s is not None and row.implementation.startswith("builtin"):
            ours.setdefault(row.benchmark, row.median_s)
    for row in rows:
        reference = ours.get(row.benchmark)
        ratio = row.median_s / reference if row.median_s and reference else None
        table.add_row(
            row.benchmark,
            row.implementation,
            str(row.n),
            *("" if v is None else seconds_text(v) for v in (row.median_s, row.p10_s, row.p90_s)),
            *("" if v is None else bytes_text(v) for v in (row.bytes_sent, row.bytes_received)),
            "" if ratio is None else f"{ratio:.2f}",
            row.note,
        )
    console.print(table)


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
