"""`capc.learn`: private models, the vote, retraining; `capc.load_learning` reads what it left."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from capc.api.flags import StrPath
from capc.api.result import read_table
from capc.console import plain_console
from capc.errors import ConfigError
from capc.files import owner_only, read_json
from capc.harness.command_again import flag_words
from capc.harness.learn_command import learn as run_stages
from capc.harness.learn_flags import learn_parser
from capc.harness.pages.run_files import REPORT
from capc.harness.pages.tables_of_run import Row, number, rows_of
from capc.harness.signals import interruptible
from capc.learning.experiment import PUBLIC

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Answers:
    """What one party asked and got, in one seed and with one way to choose queries.

    `party` is -1 for the student of plain PATE, and for public queries, whose answers go to all.
    `labels_right` is a share, None without answers. `epsilon` is what all querying parties of the
    seed and strategy spent together.
    """

    seed: int
    strategy: str
    party: int
    asked: int
    answered: int
    labels_right: float | None
    epsilon: float


@dataclass(frozen=True)
class MeanAccuracy:
    """An accuracy, or a gain in it, as a share: its mean over `units`, and the 95 % interval.

    A unit is one querying party in one seed. docs/learning.md lists the arms. `strategy` is ""
    for an arm that asks no queries.
    """

    arm: str
    strategy: str
    mean: float
    low: float
    high: float
    units: int


@dataclass(frozen=True, eq=False)
class LearnResult:
    """An experiment, by its folder.

    `accuracies` are of each arm, and `gains` the differences of `capc` and `vote` to `own`; both
    are measured without noise, so that no epsilon covers them. `answers` are the queries.
    `record` is run.json: the experiment, times, the machine.
    """

    folder: Path
    accuracies: tuple[MeanAccuracy, ...]
    gains: tuple[MeanAccuracy, ...]
    answers: tuple[Answers, ...]
    record: Mapping[str, Any]

    @property
    def epsilon(self) -> float | None:
        """The most that the labels of one seed and strategy cost; None before any was asked for."""
        return max((row.epsilon for row in self.answers), default=None)

    @property
    def delta(self) -> float:
        """The delta at which `epsilon` is counted."""
        return float(self.record["experiment"]["privacy"]["delta"])

    @property
    def answered(self) -> int:
        """Answered queries over all seeds and strategies, the student's left out."""
        asked = (row for row in self.answers if row.party >= 0 or row.strategy == PUBLIC)
        return sum(row.answered for row in asked)

    @property
    def report(self) -> Path:
        """The experiment as a page for a browser."""
        return self.folder / REPORT

    @property
    def figures(self) -> tuple[Path, ...]:
        """The figures that were drawn, as PNG; a PDF of the same name lies beside each."""
        return tuple(sorted((self.folder / "figures").glob("*.png")))

    def table(self, name: str) -> pandas.DataFrame:
        """A CSV file of the folder, by its name without `.csv`: docs/learning.md lists them.

        Raises ConfigError where the stages that ran leave no such table.
        """
        path = self.folder / f"{name}.csv"
        if not path.is_file():
            there = ", ".join(sorted(found.stem for found in self.folder.glob("*.csv")))
            raise ConfigError(f"there is no table {name!r} in {self.folder}; it has {there}")
        return read_table(path)


def learn(
    config: StrPath | Mapping[str, object] | None = None,
    *,
    stage: Literal["train", "query", "retrain", "all", "sweep", "paper"] = "all",
    secure: bool = False,
    secure_queries: int | None = None,
    results_dir: StrPath = "results/learning",
    cache: StrPath = "results/learning/cache",
    workers: int | None = None,
    trainer: Literal["auto", "process", "vectorised"] = "auto",
    show: bool = True,
    **fields: object,
) -> LearnResult:
    """Train private models, put queries to the vote, retrain, and say what came of it.

    `config` is a JSON file, or its fields as a mapping; `fields` are the same fields, and replace
    those of `config`. A mapping as a value changes only the fields that it names, as in
    `privacy={"sigma": 10}`. The other arguments are the flags of `capc learn` of their names.
    `workers` is by default the number of cores, and 0 does all in this process. `show` is whether
    its lines and tables are printed, on standard error.

    What the cache holds is not computed again. Whoever calls this plays all parties at once.

    Raises ConfigError that names the field, the value and what is allowed, and for a folder that
    holds another experiment; with `secure` what `capc.run` raises. KeyboardInterrupt where it is
    interrupted; SIGTERM and SIGHUP interrupt it too.
    """
    given = _json(dict(config)) if isinstance(config, Mapping) else str(config or "{}")
    flags = {
        **{"config": given, "secure": secure, "secure_queries": secure_queries},
        **{"results_dir": results_dir, "cache": cache, "workers": workers, "trainer": trainer},
    }
    words = [word for name, value in flags.items() for word in flag_words(name, value)]
    words += [f"--set={name}={_json(value)}" for name, value in _named(fields)]
    options = learn_parser().parse_args([stage, *words])
    console = plain_console(stderr=True) if show else plain_console(file=io.StringIO(), quiet=True)
    with interruptible(), owner_only():
        return load_learning(run_stages(options, console))


def load_learning(folder: StrPath) -> LearnResult:
    """What `capc learn` left in `folder`. ConfigError where it is no experiment's folder."""
    path = Path(folder).resolve()
    try:
        record = read_json(path / "run.json")
        if not isinstance(record, dict) or "experiment" not in record:
            raise ValueError("its run.json is that of something else")
        summary = _rows(path / "summary.csv")
        return LearnResult(
            folder=path,
            accuracies=tuple(map(_mean, _of(summary, "accuracy"))),
            gains=tuple(map(_mean, _of(summary, "accuracy_gain"))),
            answers=tuple(map(_answers, _rows(path / "queries.csv"))),
            record=record,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder} is not the folder of an experiment: {error}") from None


def _named(fields: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Each field by its whole name, as privacy.sigma."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _json(value: object) -> str:
    """A field's value, where paths are text; ConfigError for what JSON does not have."""
    try:
        return json.dumps(value, default=os.fspath)
    except TypeError as error:
        raise ConfigError(f"a field is no value of JSON and no path: {error}") from None


def _rows(path: Path) -> list[Row]:
    """A table's rows; none where the stage that leaves it did not run."""
    return rows_of(path.read_text()) if path.is_file() else []


def _of(summary: list[Row], metric: str) -> list[Row]:
    return [row for row in summary if row["metric"] == metric]


def _mean(row: Row) -> MeanAccuracy:
    mean, low, high = (float(row[name] or "nan") for name in ("mean", "low", "high"))
    return MeanAccuracy(row["arm"], row["strategy"], mean, low, high, int(row["units"]))


def _answers(row: Row) -> Answers:
    seed, party, asked, answered = (
        int(row[name]) for name in ("seed", "party", "asked", "answered")
    )
    right, epsilon = number(row["labels_right"]), float(row["epsilon_independent"])
    return Answers(seed, row["strategy"], party, asked, answered, right, epsilon)
