"""`capc bench`: measure, print one table an area, and leave it in results/bench/<area>.csv."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from capc.bench.rows import Row, write_rows
from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import bytes_text, seconds_text, table_console
from capc.errors import CapcError, ConfigError

AREAS = {
    "gc": "capc.bench.areas.gc",
    "linear_layers": "capc.bench.areas.linear_layers",
    "inference": "capc.bench.areas.inference",
    "protocol": "capc.bench.areas.protocol",
    "privacy": "capc.bench.areas.privacy",
    "learning": "capc.bench.areas.learning",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a measured program failed; the other areas are still measured."""
    options = _parser().parse_args(argv)
    if unknown := set(options.areas) - set(AREAS):
        raise ConfigError(f"{sorted(unknown)[0]} is not an area; choose from {', '.join(AREAS)}")
    console = table_console(160)
    status = ExitStatus.OK
    for area in options.areas or AREAS:
        path = Path(options.results_dir) / f"{area}.csv"
        try:
            rows = importlib.import_module(AREAS[area]).run(options.repeat)
            write_rows(path, rows)
        except CapcError as error:
            sys.stderr.write(f"capc bench: error: {area}: {error}\n")
            status = ExitStatus.FAILED
            continue
        show(console, area, rows)
        console.print(f"{path}; load of the machine now: {_load()}", highlight=False)
    return status


def _parser() -> Parser:
    parser = Parser(
        "capc bench",
        description="Measure, each peer in the same run as ours: a table and a CSV for each area.",
        examples=["capc bench inference --repeat=50", "make bench AREA=gc"],
    )
    parser.add_argument("areas", nargs="*", metavar="area", help=f"of {', '.join(AREAS)}; all")
    parser.add_argument(
        "--repeat", type=whole_number(1, 100_000), default=30, help="repetitions (default: 30)"
    )
    add_results_dir(parser, "results/bench", "where the CSVs go", "--output")
    return parser


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
