"""Rows of a benchmark table: medians with their spread, and the bytes that travelled."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from capc.harness.tables import write_table


@dataclass(frozen=True)
class Row:
    """One measurement: seconds, and the bytes that the measured party sent and received.

    Ours and each peer are rows of one `benchmark`. A row without figures says in `note` why.
    """

    benchmark: str
    implementation: str
    n: int
    median_s: float | None
    p10_s: float | None
    p90_s: float | None
    bytes_sent: int | None
    bytes_received: int | None
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def measured(
    benchmark: str,
    implementation: str,
    seconds: Sequence[float],
    *,
    traffic: tuple[int, int] | None = None,
    note: str = "",
) -> Row:
    """The row of one or more repetitions; `traffic` is bytes sent and received in each."""
    p10, median, p90 = (float(value) for value in np.percentile(seconds, (10, 50, 90)))
    sent, received = traffic or (None, None)
    return Row(benchmark, implementation, len(seconds), median, p10, p90, sent, received, note)


def skipped(benchmark: str, implementation: str, reason: str) -> Row:
    """A row without figures."""
    return Row(benchmark, implementation, 0, None, None, None, None, None, f"skipped: {reason}")


def ratios(rows: Sequence[Row]) -> list[float | None]:
    """Each median over that of our first row of the same benchmark; None without a comparison."""
    ours: dict[str, float] = {}
    measured_rows: Counter[str] = Counter()
    for row in rows:
        if row.median_s is not None:
            measured_rows[row.benchmark] += 1
            if row.implementation.startswith("builtin"):
                ours.setdefault(row.benchmark, row.median_s)
    return [
        row.median_s / ours[row.benchmark]
        if row.median_s and row.benchmark in ours and measured_rows[row.benchmark] > 1
        else None
        for row in rows
    ]


def parse_rows(text: str) -> list[Row]:
    """The rows of a CSV with these columns; ValueError for another table."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"the columns are {reader.fieldnames}, not {COLUMNS}")
    return [
        Row(
            benchmark=line["benchmark"],
            implementation=line["implementation"],
            n=int(line["n"]),
            median_s=_number(line["median_s"]),
            p10_s=_number(line["p10_s"]),
            p90_s=_number(line["p90_s"]),
            bytes_sent=_whole(line["bytes_sent"]),
            bytes_received=_whole(line["bytes_received"]),
            note=line["note"],
        )
        for line in reader
    ]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace a table, whole or not at all."""
    write_table(path, COLUMNS, (astuple(row) for row in rows), make_folder=True)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _whole(text: str) -> int | None:
    return int(text) if text else None
