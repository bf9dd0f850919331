"""The CSV files of a run: column names, rows that survive a crash, and the summary.

A change of a column name belongs in CHANGELOG.md.
"""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.errors import FileError
from capc.files import OWNER, write_whole
from capc.harness.paper import PAPER_GROUPS, PAPER_NOTE, paper_seconds
from capc.roles import PHASES, QUERYING

QUERY_COLUMNS = (
    "query",
    "true_label",
    "label",
    "answered",
    "voters",
    "epsilon_spent",
    "delta",
    "conversion",
    "insecure",
)
MODEL_COLUMNS = ("party", "prepared_model")
CHECK_COLUMNS = (
    "query",
    "plain_label",
    "integer_label",
    "reference_agrees",
    "max_logit_error",
)
TIMING_COLUMNS = (
    "query",
    "party",
    "step",
    "phase",
    "seconds",
    "bytes_sent",
    "bytes_received",
    "rounds",
    "insecure",
)
SUMMARY_COLUMNS = (
    "step",
    "phase",
    "median_s",
    "p10_s",
    "p90_s",
    "n",
    "bytes_median",
    "paper_s",
    "ratio",
    "insecure",
    "note",
)
ALL_PHASES = "offline+online"


class RowWriter:
    """Appends rows to a CSV file of its owner alone: those of one call whole at once, or none.

    When the disk is full the file keeps every earlier row, and a FileError says so.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = tuple(columns)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, OWNER)
        except OSError as error:
            raise FileError(f"cannot create {path}: {error.strerror}") from None
        self._size = 0
        self._write([self._columns])

    def append(self, *rows: Mapping[str, object]) -> None:
        """Write rows; absent columns stay empty, unknown ones are an error."""
        for row in rows:
            if unknown := row.keys() - self._columns:
                raise ValueError(f"{self._path.name} has no column {min(unknown)}")
        self._write([row.get(name) for name in self._columns] for row in rows)

    def _write(self, rows: Iterable[Iterable[object]]) -> None:
        lines = csv_lines(rows)
        try:
            written = os.write(self._file, lines)
        except OSError as error:
            raise FileError(self._complaint(error.strerror)) from None
        if written < len(lines):
            os.ftruncate(self._file, self._size)
            raise FileError(self._complaint("No space left on device"))
        self._size += written

    def _complaint(self, reason: str | None) -> str:
        return f"cannot write {self._path}: {reason}; the rows written so far are kept"

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    """A CSV line for each row; None is empty, truth is true or false."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}"
    return value


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Iterable[object]],
    *,
    make_folder: bool = False,
) -> None:
    """Replace a CSV file of its owner alone, whole or not at all. FileError where that fails."""
    content = csv_lines([columns, *rows])
    write_whole(path, content, make_folder=make_folder, error=FileError)


def summarise(
    timings: Path,
    *,
    degree: int,
    unencrypted: bool,
    insecure: str,
    beside_paper: bool = True,
) -> list[dict[str, Any]]:
    """Rows of summary.csv from timings.csv.

    A step's time for one query is the querying party's, which takes part in every step; where it
    has none, that of the party that took longest. (The others also wait within a step for what
    comes before it.) The bytes are those that all parties sent. Groups of steps, offline and
    online together and as the querying party saw them, stand beside the paper's where the run is
    what the paper timed.
    """
    times_of = _step_times(timings)
    by_step: dict[tuple[str, str], list[_StepTime]] = defaultdict(list)
    for (_, step, phase), time in times_of.items():
        by_step[step, phase].append(time)
    rows = [
        _summary_row(step, phase, [time.seconds for time in times], [time.sent for time in times])
        for (step, phase), times in by_step.items()
    ]
    rows.sort(key=lambda row: (row["step"], PHASES.index(row["phase"])))
    for name, steps in PAPER_GROUPS.items():
        seconds: dict[str, float] = defaultdict(float)
        sent: dict[str, int] = defaultdict(int)
        for (query, step, phase), time in times_of.items():
            if step in steps and phase != "setup":
                seconds[query] += time.asked or 0.0
                sent[query] += time.sent
        if seconds:
            row = _summary_row(name, ALL_PHASES, list(seconds.values()), list(sent.values()))
            paper: dict[str, Any] = {}
            if beside_paper:
                paper = _beside_the_paper(row, degree=degree, unencrypted=unencrypted)
            rows.append({**row, **paper})
    return [{**row, "insecure": insecure} for row in rows]


def _beside_the_paper(row: Mapping[str, Any], *, degree: int, unencrypted: bool) -> dict[str, Any]:
    figure = paper_seconds(row["step"], degree=degree, unencrypted=unencrypted)
    if figure is None:
        return {}
    ratio = figure / row["median_s"] if row["median_s"] else None
    return {"paper_s": figure, "ratio": ratio, "note": PAPER_NOTE}


@dataclass
class _StepTime:
    """A step and phase of one query: seconds of the slowest party and, where it has any, of QP's.

    `sent`: bytes, by all parties.
    """

    longest: float = 0.0
    asked: float | None = None
    sent: int = 0

    @property
    def seconds(self) -> float:
        return self.longest if self.asked is None else self.asked


def _step_times(timings: Path) -> dict[tuple[str, str, str], _StepTime]:
    """By query (empty: set-up), step and phase."""
    # pandas does this in fewer lines, and takes half a second to import.
    found: dict[tuple[str, str, str], _StepTime] = defaultdict(_StepTime)
    with timings.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            time, seconds = found[row["query"], row["step"], row["phase"]], float(row["seconds"])
            time.longest = max(time.longest, seconds)
            time.sent += int(row["bytes_sent"])
            if row["party"] == QUERYING:
                time.asked = (time.asked or 0.0) + seconds
    return found


def _summary_row(
    step: str, phase: str, seconds: Sequence[float], sent: Sequence[int]
) -> dict[str, Any]:
    """Of the queries' seconds and bytes."""
    low, median, high = np.quantile(seconds, (0.1, 0.5, 0.9))
    return {
        "step": step,
        "phase": phase,
        "median_s": float(median),
        "p10_s": float(low),
        "p90_s": float(high),
        "n": len(seconds),
        "bytes_median": int(np.median(sent)),
    }


def write_summary(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write summary.csv."""
    write_table(
        path, SUMMARY_COLUMNS, ([row.get(name) for name in SUMMARY_COLUMNS] for row in rows)
    )
