"""`capc table1`: the paper's Table 1 (seconds, batch of 1, CryptoNets-ReLU), ours beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from capc.bench.runs import measured_run
from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import seconds_text
from capc.errors import FileError
from capc.files import write_whole
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


@dataclass(frozen=True)
class Cell:
    """One figure: ours is the mean and standard deviation over `n` queries, as the paper's is."""

    row: str
    steps: str
    n: int
    mean_s: float
    deviation_s: float
    online_mean_s: float
    paper_s: float
    paper_deviation_s: float
    ratio: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run all four rows, print the table, write results/table1.csv and .txt; the exit status."""
    options = _parser().parse_args(argv)
    folder = Path(options.results_dir)
    cells: list[Cell] = []
    for degree, config in CONFIGS.items():
        cells += measured_cells(f"N = {degree}", config, options.n_queries, degree)
    cells += measured_cells(UNENCRYPTED, CONFIGS[8192], options.n_queries, None)
    names = tuple(field.name for field in fields(Cell))
    write_table(folder / "table1.csv", names, (astuple(cell) for cell in cells), make_folder=True)
    text = io.StringIO()
    for console in (Console(width=120), Console(file=text, width=120)):
        show(console, cells)
    write_whole(folder / "table1.txt", text.getvalue(), error=FileError)
    return ExitStatus.OK


def _parser() -> Parser:
    parser = Parser(
        "capc table1", description=__doc__, examples=["capc table1 --n_queries=5", "make table1"]
    )
    parser.add_argument(
        "--n_queries", type=whole_number(1), default=20, help="queries a row (default: 20)"
    )
    add_results_dir(parser, "results", "where table1.csv and table1.txt go", "--output")
    return parser


def measured_cells(row: str, config: str, n_queries: int, degree: int | None) -> list[Cell]:
    """The three cells of one row; `degree` None is the row without encryption."""
    flags = (f"--n_queries={n_queries}", *(() if degree else ("--cpu",)))
    finished = measured_run(config=config, flags=flags)
    cells = []
    for steps, members in PAPER_GROUPS.items():
        seconds = finished.per_query(members, _PHASES)
        online = finished.per_query(members, ("online",))
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
    """Ours, of which online, the paper's, and how many times faster."""
    table = Table(box=box.SIMPLE, title="Table 1: seconds per query, mean ± standard deviation")
    for name in ("row", "steps"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "ours", "of which online", "paper (CPU)", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        table.add_row(
            cell.row,
            cell.steps,
            str(cell.n),
            f"{seconds_text(cell.mean_s)} ± {seconds_text(cell.deviation_s)}",
            seconds_text(cell.online_mean_s),
            f"{seconds_text(cell.paper_s)} ± {seconds_text(cell.paper_deviation_s)}",
            f"{cell.ratio:.1f}x",
        )
    console.print(table)
    here = machine()
    console.print(f"ours: {here['cpu']}, {here['cores']} cores, every party on it", style="dim")
    console.print(f"paper: {PAPER_NOTE}; its steps 1a on a GPU without encryption: 3.15 s")
