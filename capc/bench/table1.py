"""`capc table1`: the paper's Table 1 (seconds, batch of 1, CryptoNets-ReLU), ours beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
from rich.console import Console

from capc.bench.runs import measured_run
from capc.bench.table1_page import (
    HEAD,
    LEGEND,
    NOT_THE_SAME,
    Cell,
    draw_table1,
    table1_page,
    text_rows,
)
from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import show_table
from capc.errors import FileError
from capc.files import write_whole
from capc.harness.pages.run_files import write_report
from capc.harness.paper import (
    LATER_SECONDS,
    PAPER_GROUPS,
    PAPER_NOTE,
    STEP_1A_SECONDS,
    STEP_1A_UNENCRYPTED_SECONDS,
)
from capc.harness.rundir import machine
from capc.harness.tables import write_table

CONFIGS = {8192: "config/10.json", 16384: "config/11.json", 32768: "config/12.json"}
UNENCRYPTED = "no encryption"
_PHASES = ("offline", "online")


def main(argv: Sequence[str] | None = None) -> int:
    """Run all four rows, print the table, write results/table1.csv, .txt and a page; the status."""
    options = _parser().parse_args(argv)
    folder = Path(options.results_dir)
    cells: list[Cell] = []
    for degree, config in CONFIGS.items():
        cells += measured_cells(f"N = {degree}", config, options.n_queries, degree, options.repeat)
    cells += measured_cells(UNENCRYPTED, CONFIGS[8192], options.n_queries, None, options.repeat)
    names = tuple(field.name for field in fields(Cell))
    write_table(folder / "table1.csv", names, (astuple(cell) for cell in cells), make_folder=True)
    text = io.StringIO()
    for console in (Console(width=120), Console(file=text, width=120)):
        show(console, cells)
    write_whole(folder / "table1.txt", text.getvalue(), error=FileError)
    pictures = draw_table1(folder / "table1", cells)
    command = f"capc table1 --n_queries={options.n_queries} --repeat={options.repeat}"
    content = table1_page(cells, pictures[1].read_bytes(), machine(), command)
    report = write_report(folder / "table1", content)
    Console(width=120).print(f"report: {report}", highlight=False, soft_wrap=True)
    return ExitStatus.OK


def _parser() -> Parser:
    parser = Parser(
        "capc table1",
        description=__doc__,
        examples=["capc table1 --n_queries=5 --repeat=3", "make table1"],
    )
    parser.add_argument(
        "--n_queries", type=whole_number(1), default=20, help="queries a run (default: 20)"
    )
    parser.add_argument(
        "--repeat",
        type=whole_number(1, 1000),
        default=1,
        help="runs a row, each with processes of its own; n counts the queries of all (default: 1)",
    )
    add_results_dir(parser, "results", "where table1.csv and table1.txt go", "--output")
    return parser


def measured_cells(
    row: str, config: str, n_queries: int, degree: int | None, repeat: int
) -> list[Cell]:
    """The three cells of one row; `degree` None is the row without encryption."""
    flags = (f"--n_queries={n_queries}", *(() if degree else ("--cpu",)))
    runs = [measured_run(config=config, flags=flags) for _ in range(repeat)]
    cells = []
    for steps, members in PAPER_GROUPS.items():
        seconds = [found for run in runs for found in run.per_query(members, _PHASES)]
        online = [found for run in runs for found in run.per_query(members, ("online",))]
        paper = LATER_SECONDS.get(steps)
        if paper is None:
            paper = STEP_1A_SECONDS[degree] if degree else STEP_1A_UNENCRYPTED_SECONDS
        mean = float(np.mean(seconds))
        cells.append(
            Cell(
                row, steps, len(seconds), mean, float(np.std(seconds)), float(np.mean(online)),
                *paper, paper[0] / mean,
            )
        )  # fmt: skip
    return cells


def show(console: Console, cells: Sequence[Cell]) -> None:
    """Ours, of which online, the paper's, and how many times faster; all times in milliseconds."""
    title = "Table 1: milliseconds per query, mean ± deviation"
    show_table(console, title, HEAD, text_rows(cells), range(2, len(HEAD)))
    console.print(LEGEND, style="dim", highlight=False)
    here = machine()
    console.print(f"ours: {here['cpu']}, {here['cores']} cores, every party on it", style="dim")
    console.print(f"paper: {PAPER_NOTE}. {NOT_THE_SAME}", style="dim", highlight=False)
