"""`capc publish RUN OUT`: a copy of what may be shown of a folder, and what was left out and why.

What may be shown is a list: outputs of the protocol that epsilon covers, and times. All else stays,
known or not. RUN is a folder of `capc run` or of `capc learn`.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capc.command_line import STATUS_MEANINGS, ExitStatus, Parser
from capc.errors import ConfigError, FileError
from capc.files import EVERYONE, expanded, read_bounded, read_json, write_whole
from capc.harness.pages.run_files import REPORT
from capc.harness.pages.run_page import run_page
from capc.harness.pages.tables_of_run import Tables, rows_of
from capc.harness.published_records import learning_record, run_record
from capc.harness.tables import QUERY_COLUMNS, SUMMARY_COLUMNS, TIMING_COLUMNS, csv_lines
from capc.learning import results as learning

_RUN_TABLES = {
    "queries.csv": QUERY_COLUMNS,
    "timings.csv": TIMING_COLUMNS,
    "summary.csv": SUMMARY_COLUMNS,
}
_LEARNING_TABLES = {
    "queries.csv": learning.QUERY_COLUMNS,
    "secure.csv": learning.SECURE_COLUMNS,
    "sweep.csv": learning.SWEEP_COLUMNS,
}
_ON_MODELS = ("models.csv", "accuracy.csv", "classes.csv", "summary.csv", "figures", REPORT)
_WHY = {
    "private": "votes without noise, and what was measured on models: no epsilon covers them",
    "logs": "what each party said, with paths and names of this machine",
    "account.json": "the account that a later run goes on from (--resume)",
    "parties": "what each party was told, with paths of this machine",
}
_NO_NOISE = (
    "the noise can be drawn again (privacy.noise=seeded), is absent, or a data-dependent bound "
    "ended the questions: no epsilon covers it"
)
_MEASURED = (
    "measured on models and votes without noise: no epsilon covers it (--public_data copies it, "
    "where the training data are public)"
)


@dataclass
class _Copy:
    """What goes out, by name; what stays, with the reason."""

    files: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Copy and say what stayed; ConfigError where RUN is none, or OUT is not empty."""
    options = _parser().parse_args(argv)
    run, out = expanded(options.run).resolve(), expanded(options.out)
    record = _record(run)
    _refuse_target(run, out)
    if "run_id" in record:
        _refuse_unfinished(run, record, allowed=options.unfinished)
        copy = _of_run(run, record)
    else:
        copy = _of_learning(run, record, public_data=options.public_data)
    _write(out, copy)
    lines = [f"published in {out}: {', '.join(sorted(copy.files))}", *copy.says, "left out:"]
    lines += [f"  {name}: {reason}" for name, reason in sorted(copy.left_out.items())]
    sys.stdout.write("\n".join(lines) + "\n")
    return ExitStatus.OK


def _record(run: Path) -> dict[str, Any]:
    """run.json of a folder of ours."""
    try:
        record = read_json(run / "run.json")
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not ("run_id" in record or "experiment" in record):
        raise ConfigError(f"{run} is no run: it has no run.json of `capc run` or `capc learn`")
    return record


def _refuse_target(run: Path, out: Path) -> None:
    if out.resolve().is_relative_to(run):
        raise ConfigError(f"{out} lies in the run itself, which is its owner's alone: name another")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not an empty folder: name a new one")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is not a folder: make it first, or name another")


def _refuse_unfinished(run: Path, record: Mapping[str, Any], *, allowed: bool) -> None:
    status = record.get("exit_status")
    if status == ExitStatus.OK or allowed:
        return
    meanings = {int(known): meaning for known, meaning in STATUS_MEANINGS.items()}
    how = "is still running, or its driver was killed"
    if status is not None:
        how = f"ended with status {status} ({meanings.get(status, 'unknown')})"
    raise ConfigError(f"{run} {how}: --unfinished publishes what it has all the same")


def _of_run(run: Path, record: dict[str, Any]) -> _Copy:
    copy, has_page = _Copy(), False
    _add_record(copy, record, run_record)
    copy.says.append(f"what its noise is worth: {record.get('privacy') or 'the run does not say'}")
    if weak := record.get("insecure"):
        copy.says.append(f"weakened by: {', '.join(map(str, weak))} (SECURITY.md)")
    for path in _entries(run):
        if path.name in _RUN_TABLES:
            _add_table(copy, path, _RUN_TABLES[path.name])
        elif path.name == REPORT:
            has_page = True
        elif path.name.startswith("log-timing-"):
            copy.left_out[path.name] = "the same times are in timings.csv"
        else:
            copy.left_out[path.name] = _WHY.get(path.name, "not a file that a run leaves")
    if has_page:
        _add_page(copy, record)
    return copy


def _of_learning(folder: Path, record: dict[str, Any], *, public_data: bool) -> _Copy:
    copy = _Copy()
    _add_record(copy, record, learning_record)
    covered = public_data or _is_covered(record["experiment"])
    for path in _entries(folder):
        if path.name in _ON_MODELS:
            if public_data:
                _add_whole(copy, path)
            else:
                copy.left_out[path.name] = _MEASURED
        elif path.name not in _LEARNING_TABLES:
            copy.left_out[path.name] = _WHY.get(path.name, "not a file that capc learn leaves")
        elif covered:
            _add_table(copy, path, _LEARNING_TABLES[path.name])
        else:
            copy.left_out[path.name] = _NO_NOISE
    return copy


def _is_covered(experiment: Mapping[str, Any]) -> bool:
    """Whether the published epsilon covers labels and counts of an experiment."""
    privacy = experiment["privacy"]
    points = [privacy, *experiment["sweep"]]
    without_own_noise = privacy.get("drawn_by") == "distributed"  # of the threshold
    noisy = all(
        point["sigma"] > 0
        and (point["threshold"] is None or without_own_noise or point["sigma_threshold"] > 0)
        for point in points
    )
    return noisy and privacy["bound"] == "independent" and privacy["noise"] == "exact"


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "run.json")


def _add_record(
    copy: _Copy,
    record: dict[str, Any],
    shown: Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[str]]],
) -> None:
    try:
        content, dropped = shown(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"run.json lacks what a run says there: {error}") from None
    copy.files["run.json"] = (json.dumps(content, indent=2) + "\n").encode()
    if dropped:
        copy.left_out["run.json, fields"] = (
            f"{', '.join(dropped)}: paths and names of this machine, or what is private"
        )


def _add_table(copy: _Copy, path: Path, columns: Sequence[str]) -> None:
    """The columns that may be shown: a table of an earlier version may have others."""
    rows = list(csv.reader(io.StringIO(_content(path).decode(errors="replace"))))
    names = rows[0] if rows else []
    kept = [place for place, name in enumerate(names) if name in columns]
    whole = [row for row in rows if len(row) == len(names)]  # the last may have been cut
    copy.files[path.name] = csv_lines([row[place] for place in kept] for row in whole)
    if others := [name for name in names if name not in columns]:
        copy.left_out[f"{path.name}, columns"] = f"{', '.join(others)}: no epsilon covers them"


def _add_page(copy: _Copy, record: Mapping[str, Any]) -> None:
    """The run's page, made again of what goes out: the one in its folder may have been changed."""
    tables = Tables(*(rows_of(copy.files.get(name, b"").decode()) for name in _RUN_TABLES))
    copy.files[REPORT] = run_page(record, tables).encode()


def _add_whole(copy: _Copy, path: Path) -> None:
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        copy.files[str(file.relative_to(path.parent))] = _content(file)


def _content(path: Path) -> bytes:
    if path.is_symlink():
        raise ConfigError(f"{path} is a link, which no run leaves")
    try:
        return read_bounded(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _write(out: Path, copy: _Copy) -> None:
    """For everyone to read, whatever the umask."""
    folders = {out, *(out / Path(name).parent for name in copy.files)}
    try:
        for folder in sorted(folders):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
    except OSError as error:
        raise FileError(f"{out} cannot be made: {error.strerror}") from None
    for name, content in copy.files.items():
        write_whole(out / name, content, mode=EVERYONE, error=FileError)


def _parser() -> Parser:
    parser = Parser(
        "capc publish",
        description="Copy what may be shown of a run's folder: outputs of the protocol that "
        "epsilon covers, and times.\nWhat is left out, and why, is printed.",
        examples=["capc publish results/latest shown"],
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="a folder of capc run or capc learn")
    add("out", metavar="OUT", help="a new folder, for everyone to read")
    add(
        "--unfinished",
        action="store_true",
        help="also a run that failed, was stopped or still runs; its run.json says so",
    )
    add(
        "--public_data",
        action="store_true",
        help="the training data of this capc learn are public (as MNIST is): also copy accuracies "
        "and figures, which no epsilon covers",
    )
    return parser
