"""The table of a sweep: one row per run, from the files that the runs left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capc.command_line import ExitStatus
from capc.files import read_json
from capc.harness.launchers.processes import last_lines
from capc.harness.pages.run_files import rows_at
from capc.harness.pages.tables_of_run import number
from capc.harness.sweep import LEARN, Sweep
from capc.harness.sweep_run import SCREEN, ended
from capc.harness.tables import ALL_PHASES

OUTCOME = ("status", "reason", "seconds", "answered", "labels_right", "agreement", "epsilon")
_NOT_RUN = "not run yet, or stopped"


def sweep_rows(sweep: Sweep, folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """A row for each point of the grid, in its order; `folders` has the place of each key."""
    found = []
    for point in sweep.points:
        folder = folders[point.key]
        row: dict[str, Any] = {"run": point.key, **point.settings}
        how = ended(folder)
        if how is None:
            found.append(row | {"reason": _NOT_RUN})
            continue
        status = int(how["status"])
        row |= {"status": status, "seconds": how["seconds"]}
        if status != ExitStatus.OK:
            row["reason"] = _reason(folder)
        figures = _figures_of_learning if sweep.command == LEARN else _figures_of_run
        found.append(row | figures(folder / "results"))
    return found


def columns_of(sweep: Sweep, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The key, what was varied, how it ended, and then all figures of any row."""
    first = ["run", *sweep.columns, *OUTCOME]
    return [*first, *dict.fromkeys(name for row in rows for name in row if name not in first)]


def _figures_of_run(results: Path) -> dict[str, Any]:
    """Outputs of the protocol, whether the check agreed, and medians per step and phase."""
    run = results / "latest"
    queries = rows_at(run / "queries.csv")
    answered = [row for row in queries if row["answered"] == "true"]
    figures: dict[str, Any] = {
        "answered": len(answered),
        "epsilon": _most(queries, "epsilon_spent"),
    }
    if any(row["true_label"] for row in answered):
        figures["labels_right"] = sum(row["label"] == row["true_label"] for row in answered)
    figures["agreement"] = _agreement(run)
    for row in rows_at(run / "summary.csv"):
        if row["phase"] != ALL_PHASES:
            step = f"{row['step']}_{row['phase']}"
            figures[f"{step}_s"] = number(row["median_s"])
            figures[f"{step}_bytes"] = number(row["bytes_median"])
    return figures


def _reason(folder: Path) -> str:
    """Why a run failed: as its record says, else by the last line that it said."""
    try:
        record = read_json(folder / "results" / "latest" / "run.json")
    except (OSError, ValueError):
        return next(iter(last_lines(folder / SCREEN, 1)), "it said nothing")
    failure = record.get("failure")
    if isinstance(failure, dict):
        return f"{failure['party'] or 'the run'} failed: {failure['reason']}"
    return str(failure or "; ".join(record.get("complaints", ())))


def _agreement(run: Path) -> str | None:
    """As the screen says it for a run as a whole: which queries differ would tell of votes."""
    found = {row["reference_agrees"] for row in rows_at(run / "private" / "check.csv")}
    if not found:
        return None
    return "no" if "false" in found else "not compared" if "" in found else "yes"


def _figures_of_learning(results: Path) -> dict[str, Any]:
    """Answers over all querying parties and seeds, means of accuracies, seconds per stage."""
    folder = next((path.parent for path in sorted(results.glob("*/run.json"))), results)
    queries = [row for row in rows_at(folder / "queries.csv") if row["party"] != "-1"]
    figures: dict[str, Any] = {}
    if queries:
        figures["answered"] = sum(int(row["answered"]) for row in queries)
        shares = [(row, number(row["labels_right"])) for row in queries if row["answered"] != "0"]
        figures["labels_right"] = round(
            sum(share * int(row["answered"]) for row, share in shares if share is not None)
        )
        figures["epsilon"] = _most(queries, "epsilon_independent")
    for row in rows_at(folder / "summary.csv"):
        if row["units"] != "0":
            name = "_".join(filter(None, (row["arm"], row["strategy"], row["metric"])))
            figures[name] = number(row["mean"])
    try:
        stages = read_json(folder / "run.json")["stages"]
    except (OSError, ValueError, KeyError):
        stages = {}
    return figures | {f"{stage}_s": seconds for stage, seconds in stages.items()}


def _most(rows: Sequence[Mapping[str, str]], column: str) -> float | None:
    found = [number(row[column]) for row in rows]
    return max((value for value in found if value is not None), default=None)
