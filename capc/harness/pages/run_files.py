"""The pages in a results folder: report.html of a run, and index.html over all that is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capc.errors import FileError
from capc.files import read_bounded, read_json, write_whole
from capc.harness.pages.index_page import index_page
from capc.harness.pages.learn_page import learn_page
from capc.harness.pages.run_page import run_page
from capc.harness.pages.tables_of_run import Row, Tables, rows_of

REPORT, INDEX = "report.html", "index.html"
_MAX_RUNS, _RESULTS = 500, "results"
_PLACES = {
    f"learning/*/{REPORT}": "learning experiment",
    f"sweeps/*/{REPORT}": "sweep",
    f"bench/{REPORT}": "benchmarks",
    f"table1/{REPORT}": "the paper's Table 1",
    f"scaling/{REPORT}": "scaling",
    f"artefact/{INDEX}": "artefact",
}
"""Pages that a results folder may have beside those of runs, and what they are."""


def write_pages(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the page of a run, and the list of runs beside it; FileError where that fails."""
    report = folder / REPORT
    write_whole(report, run_page(record, tables_of(folder)), error=FileError)
    write_index(folder.parent)
    return report


def write_index(results: Path) -> None:
    """Write the list of what is in a results folder; FileError where that fails."""
    content = index_page(_runs(results), _others(results))
    write_whole(results / INDEX, content, error=FileError)


def write_report(folder: Path, content: str, name: str = REPORT) -> Path:
    """Write the page of an experiment or of benchmarks, and list it; FileError where that fails.

    The list is that of the folder `results` where this one has its usual place in it.
    """
    report = folder / name
    write_whole(report, content, make_folder=True, error=FileError)
    for results in folder.absolute().parents[:2]:
        place = report.absolute().relative_to(results)
        if results.name == _RESULTS and any(map(place.match, _PLACES)):
            write_index(results)
    return report


def write_learn_page(folder: Path) -> Path:
    """Write the page of an experiment from the files that it left; FileError where that fails."""
    tables = {name: rows_at(folder / f"{name}.csv") for name in ("queries", "summary", "sweep")}
    pictures = {
        path.stem: read_bounded(path) for path in sorted((folder / "figures").glob("*.png"))
    }
    return write_report(folder, learn_page(read_json(folder / "run.json"), tables, pictures))


def _others(results: Path) -> list[tuple[str, str, float]]:
    """What has a page and is no run: what it is, its address, when the page was written."""
    return [
        (kind, str(page.relative_to(results)), page.stat().st_mtime)
        for place, kind in _PLACES.items()
        for page in sorted(results.glob(place))
    ]


def tables_of(folder: Path) -> Tables:
    """The public tables of a run; empty where it did not get so far."""
    return Tables(*(rows_at(folder / f"{name}.csv") for name in ("queries", "timings", "summary")))


def rows_at(path: Path) -> list[Row]:
    """The whole rows of a CSV file; none where there is no such file."""
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
