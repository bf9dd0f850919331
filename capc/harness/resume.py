"""`capc run --resume RUN`: the flags of a run that asks what an earlier one has left."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from pathlib import Path
from typing import Any

from capc.errors import ConfigError
from capc.files import expanded, is_abandoned, open_bounded, read_json
from capc.harness.command_again import command_to_go_on
from capc.harness.flags import RAY, build_parser

ACCOUNT = "account.json"
"""The account of a run that names none, in its folder."""

_ALSO = ("resume", "launcher", "ray", "session", "panes", "results_dir", "timeout", "debug")
_MOST_BYTES = 256 << 20  # of a million rows and more


def resumed(flags: argparse.Namespace, program: str) -> argparse.Namespace:
    """The flags of the earlier run, for the queries after the last one that has a row.

    Its account goes on. ConfigError where the folder is no run's, where that run is not over or has
    nothing left, and for other flags than those that say how to run.
    """
    parser = build_parser(program)
    given = vars(flags)
    defaults = vars(parser.parse_args([]))
    if changed := sorted(n for n in given if n not in _ALSO and given[n] != defaults[n]):
        raise ConfigError(
            f"--{changed[0]} is refused with --resume, which takes the flags of the earlier run; "
            f"allowed are {', '.join(f'--{name}' for name in _ALSO[1:])}"
        )
    folder = expanded(flags.resume).resolve()
    earlier = _flags_of(folder)
    done = _answered(folder / "queries.csv")
    try:
        words = shlex.split(command_to_go_on(earlier, done))[2:]
    except ValueError as error:
        raise ConfigError(f"--resume {flags.resume}: {error}") from None
    again = parser.parse_args(words)
    for name in _ALSO:
        if given[name] != defaults[name]:
            setattr(again, name, given[name])
    if again.launcher != RAY:
        again.ray = None  # of the earlier run's launcher
    if again.account is None and (folder / ACCOUNT).exists():
        again.account = str(folder / ACCOUNT)
    elif again.account is None and done:
        raise ConfigError(f"--resume {flags.resume}: the run has no {ACCOUNT} to go on from")
    return again


def _flags_of(folder: Path) -> dict[str, Any]:
    try:
        record = read_json(folder / "run.json")
        flags = dict(record["flags"])
        unfinished = record["exit_status"] is None
        int(flags["n_queries"]), int(flags["start_batch"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"--resume names {folder}, which is no run's folder") from None
    if unfinished and (folder / "parties").exists() and not is_abandoned(folder / "parties"):
        raise ConfigError(f"--resume names {folder}, whose run is not over")
    return flags


def _answered(path: Path) -> int:
    """How many queries from the first on were voted on, as the querying party has reported."""
    try:
        with open_bounded(path, _MOST_BYTES) as file:
            rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
            found = {int(row["query"]) for row in rows if row["voters"]}
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise ConfigError(f"{path} is not what a run writes") from None
    return next(query for query in range(len(found) + 1) if query not in found)
