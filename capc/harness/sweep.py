"""A sweep: the runs of a grid, each with a key made of all that goes into it."""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capc
from capc.errors import ConfigError
from capc.files import expanded
from capc.harness.command_again import flag_words
from capc.harness.flags import build_parser
from capc.harness.learn_flags import chosen_experiment, learn_parser
from capc.harness.settings import settings_from
from capc.learning.store import content_key, digest_of
from capc.parties.federation.tables import Table

RUN, LEARN = "run", "learn"
MOST_POINTS = 10_000
_TABLES = ("settings", "grid")
_OURS = ("results_dir", "resume", "step", "session", "ray", "hosts", "config", "set", "stage")
_STAGE = "all"


@dataclass(frozen=True)
class Point:
    """One run of a sweep: its key, the values that differ between runs, and its command line.

    `words` follow `capc`. They name no results folder: that is the key's.
    """

    key: str
    settings: Mapping[str, Any]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """`capc run` or `capc learn`, once for each point of the grid."""

    name: str
    command: str
    points: tuple[Point, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What the grid varies."""
        return tuple(self.points[0].settings)


def read_sweep(path: Path) -> Sweep:
    """The file, and each of its runs as the command itself would check it.

    Raises ConfigError that names the file and the field, or the flag and the run.
    """
    table = Table.read(path)
    command = table.get("command", str, RUN)
    if command not in (RUN, LEARN):
        raise table.error("command", f"is {command!r}; allowed are {RUN} and {LEARN}")
    own = () if command == RUN else ("config", "stage")
    table.require_known(("command", "name", *_TABLES, *own))
    name = table.get("name", str, path.stem)
    if Path(name).name != name:
        raise table.error("name", f"is {name!r}; allowed is the name of a folder")
    first: tuple[str, ...] = (RUN, "--launcher=subprocess")
    if command == LEARN:
        first = (LEARN, table.get("stage", str, _STAGE), f"--config={table.path('config')}")
    common, grid = _settings(table)
    parser = build_parser("capc run") if command == RUN else learn_parser()
    flags = None if command == RUN else vars(parser.parse_args([_STAGE, "--config=-"]))
    digest = functools.cache(lambda files: digest_of(list(files)))  # most runs name the same
    points = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        words = first + _words({**common, **chosen}, flags)
        _check(path, parser, words)
        points.append(Point(_key(words, digest), chosen, words))
    if len({point.key for point in points}) < len(points):
        raise table.error("grid", "names one run twice")
    return Sweep(name, command, tuple(points))


def _settings(table: Table) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What is the same in all runs, and the values of each thing that is varied."""
    common, grid = (_fields(table, name) for name in _TABLES)
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise table.error(f"grid.{name}", f"is {values!r}; allowed is a list of values")
        if name in common:
            raise table.error(f"grid.{name}", "is in settings, too")
    for name in (*common, *grid):
        if name in _OURS:
            raise table.error(name, "cannot be set for the runs of a sweep")
    count = math.prod(len(values) for values in grid.values())
    if count > MOST_POINTS:
        raise table.error("grid", f"has {count} runs; at most {MOST_POINTS} are allowed")
    return common, grid


def _fields(table: Table, name: str) -> dict[str, Any]:
    found = table.raw().get(name, {})
    if not isinstance(found, dict):
        raise table.error(name, f"is {found!r}; allowed is a table")
    return found


def _words(settings: Mapping[str, Any], flags: Collection[str] | None) -> tuple[str, ...]:
    """Flags of the command; where `flags` are given, other names are fields of its config."""
    words: list[str] = []
    for name, value in settings.items():
        if flags is not None and name not in flags:
            words.append(f"--set={name}={json.dumps(value)}")
        else:
            words += flag_words(name, value)
    return tuple(words)


def _check(path: Path, parser: argparse.ArgumentParser, words: tuple[str, ...]) -> None:
    """ConfigError for flags that the command would refuse."""
    try:
        options = parser.parse_args(words[1:])
        if words[0] == RUN:
            settings_from(options)
        else:
            chosen_experiment(options)
    except ConfigError as error:
        raise ConfigError(f"{path}: capc {' '.join(words)}: {error}") from None


def _key(words: tuple[str, ...], digest: Callable[[tuple[Path, ...]], str]) -> str:
    """Of the version, the words, and the bytes of the files that they name; of folders the name."""
    named = [expanded(word.partition("=")[2]) for word in words if "=" in word]
    files = digest(tuple(path for path in named if path.is_file()))
    return content_key("sweep", version=capc.__version__, words=list(words), files=files)
