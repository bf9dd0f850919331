"""`python -m capc.harness.models_table`: every model of the table encrypted, one row each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from rich.table import Table

from capc.console import table_console
from capc.errors import CapcError
from capc.harness.benchmarks.models import MODELS, ModelRow, measure_model
from capc.harness.settings import REPOSITORY
from capc.harness.tables import csv_line, replace_file

COLUMNS = tuple(field.name for field in fields(ModelRow))
TABLE = REPOSITORY / "results" / "bench" / "models.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the CSV; status 1 where a model differs from the reference."""
    chosen = _parser().parse_args(arguments)
    console = table_console()
    rows: list[ModelRow] = []
    for name in chosen.models:
        console.print(f"{name} …", highlight=False)
        try:
            rows.append(measure_model(name, chosen.images, chosen.queries))
        except CapcError as error:
            console.print(f"error: {name}: {error}", soft_wrap=True, highlight=False)
            return 1
        _write(chosen.out, rows)
    console.print(_table(rows))
    console.print(f"written to {chosen.out}", soft_wrap=True)
    return 0 if all(row.agrees for row in rows) else 1


def _write(path: Path, rows: Sequence[ModelRow]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [csv_line(COLUMNS), *(csv_line(astuple(row)) for row in rows)]
    replace_file(path, b"".join(lines))


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m capc.harness.models_table",
        description="Runs one encrypted query of each model between two processes, compares it "
        "with the plain reference bit for bit, and the reference with TensorFlow.",
        epilog="example: python -m capc.harness.models_table --models resnet-8,mobilenet-v2-0.35",
    )
    parser.add_argument(
        "--models", type=_names, default=list(MODELS), help=f"from {', '.join(MODELS)}; default all"
    )
    parser.add_argument(
        "--images", type=int, default=50, help="compared with TensorFlow; default %(default)s"
    )
    parser.add_argument(
        "--queries", type=int, default=3, help="encrypted, one by one; default %(default)s"
    )
    parser.add_argument("--out", type=Path, default=TABLE, help="default %(default)s")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(f"no model '{name}'; there are {', '.join(MODELS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
