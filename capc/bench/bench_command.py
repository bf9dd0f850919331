"""`capc bench`: measure, print one table an area, and leave it in results/bench/<area>.csv."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from capc.bench.bench_page import HEAD, LEGEND, bench_page, cells
from capc.bench.rows import Row, parse_rows, write_rows
from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import show_table, table_console
from capc.errors import CapcError, ConfigError
from capc.files import read_bounded
from capc.harness.pages.run_files import write_report
from capc.harness.rundir import machine

AREAS = {
    "gc": "capc.bench.areas.gc",
    "linear_layers": "capc.bench.areas.linear_layers",
    "inference": "capc.bench.areas.inference",
    "protocol": "capc.bench.areas.protocol",
    "privacy": "capc.bench.areas.privacy",
    "learning": "capc.bench.areas.learning",
    "network": "capc.bench.areas.network",
}
_ASKED_FOR = "network"  # takes most of an hour, and root


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a measured program failed; the other areas are still measured."""
    options = _parser().parse_args(argv)
    if unknown := set(options.areas) - set(AREAS):
        raise ConfigError(f"{sorted(unknown)[0]} is not an area; choose from {', '.join(AREAS)}")
    console = table_console(160)
    status = ExitStatus.OK
    for area in options.areas or [area for area in AREAS if area != _ASKED_FOR]:
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
    console.print(LEGEND, style="dim", highlight=False)
    console.print(f"report: {write_page(Path(options.results_dir))}", highlight=False)
    return status


def _parser() -> Parser:
    parser = Parser(
        "capc bench",
        description="Measure, each peer in the same run as ours: a table and a CSV for each area.",
        examples=["capc bench inference --repeat=50", "make bench AREA=gc"],
    )
    parser.add_argument(
        "areas", nargs="*", metavar="area", help=f"of {', '.join(AREAS)}; all but {_ASKED_FOR}"
    )
    parser.add_argument(
        "--repeat", type=whole_number(1, 100_000), default=30, help="repetitions (default: 30)"
    )
    add_results_dir(parser, "results/bench", "where the CSVs go", "--output")
    return parser


def show(console: Console, area: str, rows: Sequence[Row]) -> None:
    """One area's table; the ratio is to our first row of the same benchmark."""
    show_table(console, area, HEAD, cells(rows), range(2, len(HEAD) - 1))


def write_page(folder: Path) -> Path:
    """The page of all areas whose tables lie in the folder; FileError where that fails.

    A table of another version, with other columns, is left out.
    """
    areas = {}
    for area in AREAS:
        with contextlib.suppress(OSError, ValueError):
            areas[area] = parse_rows(read_bounded(folder / f"{area}.csv").decode())
    return write_report(folder, bench_page(areas, machine(), _load()))


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())
