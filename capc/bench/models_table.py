"""`capc models-table`: every model of the table encrypted, one row each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from rich.table import Table

from capc.bench.areas.models import MODELS, ModelRow, measure_model
from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import table_console
from capc.harness.tables import write_table
from capc.inference.choice_flags import add_nonlinear, nonlinear_choice

COLUMNS = tuple(field.name for field in fields(ModelRow))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the CSV; status 3 where a model differs from the reference."""
    options = _parser().parse_args(arguments)
    choice = nonlinear_choice(options)
    path = Path(options.results_dir)
    path = path if path.suffix == ".csv" else path / "models.csv"
    console = table_console()
    rows: list[ModelRow] = []
    for name in options.models:
        console.print(f"{name} …", highlight=False)
        rows.append(measure_model(name, options.images, options.queries, choice))
        write_table(path, COLUMNS, (astuple(row) for row in rows), make_folder=True)
    console.print(_table(rows))
    console.print(f"written to {path}", soft_wrap=True)
    return ExitStatus.OK if all(row.agrees for row in rows) else ExitStatus.DISAGREES


def _table(rows: Sequence[ModelRow]) -> Table:
    table = Table(title="One encrypted query; equal: bit for bit; in brackets: different labels")
    columns = ("model", "ring", "config", "equal", "labels", "error", "offline", "online", "MB")
    for column in columns:
        table.add_column(column, justify="left" if column in ("model", "config") else "right")
    for row in rows:
        table.add_row(
            row.model,
            f"{row.ring_bits}/{row.fraction_bits}",
            Path(row.config).stem,
            "yes" if row.agrees else "NO",
            f"{row.labels_equal}/{row.images} ({row.distinct_labels})",
            f"{row.max_logit_error:.2g} of {row.max_logit:.2g}",
            f"{row.offline_s:.2f} s",
            f"{row.online_s:.2f} s",
            f"{(row.offline_bytes + row.online_bytes) / 1e6:.1f}",
        )
    return table


def _parser() -> Parser:
    parser = Parser(
        "capc models-table",
        description="Runs one encrypted query of each model between two processes. Compares it "
        "with the plain reference\nbit for bit, and the reference with TensorFlow.",
        examples=["capc models-table --models resnet-8,mobilenet-v2-0.35"],
    )
    parser.add_argument(
        "--models", type=_names, default=list(MODELS), help=f"from {', '.join(MODELS)}; default all"
    )
    parser.add_argument(
        "--images",
        type=whole_number(1),
        default=50,
        help="compared with TensorFlow; default %(default)s",
    )
    parser.add_argument(
        "--queries",
        type=whole_number(1),
        default=3,
        help="encrypted, one by one; default %(default)s",
    )
    add_nonlinear(parser)
    add_results_dir(parser, "results/bench", "where models.csv goes", "--out")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(f"no model '{name}'; there are {', '.join(MODELS)}")
    return names
