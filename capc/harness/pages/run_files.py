"""The pages in a results folder: report.html of a run, and index.html over all runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capc.errors import FileError
from capc.files import read_bounded, read_json, write_whole
from capc.harness.pages.index_page import index_page
from capc.harness.pages.run_page import run_page
from capc.harness.pages.tables_of_run import Row, Tables, rows_of

REPORT, INDEX = "report.html", "index.html"
_MAX_RUNS = 500


def write_pages(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the page of a run, and the list of runs beside it; FileError where that fails."""
    report = folder / REPORT
    write_whole(report, run_page(record, tables_of(folder)), error=FileError)
    write_whole(folder.parent / INDEX, index_page(_runs(folder.parent)), error=FileError)
    return report


def tables_of(folder: Path) -> Tables:
    """The public tables of a run; empty where it did not get so far."""
    return Tables(*(_rows(folder / f"{name}.csv") for name in ("queries", "timings", "summary")))


def _rows(path: Path) -> list[Row]:
    try:
        return rows_of(read_bounded(path).decode(errors="replace"))
    except OSError:
        return []


def _runs(results: Path) -> list[tuple[Mapping[str, Any], bool]]:
    """The records of the newest runs, newest first, and whether each has a page."""
    found: list[tuple[Mapping[str, Any], bool]] = []
    for folder in sorted(results.iterdir(), reverse=True):
        if len(found) == _MAX_RUNS or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            record = read_json(folder / "run.json")
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("run_id") == folder.name:
            found.append((record, (folder / REPORT).is_file()))
    return found
