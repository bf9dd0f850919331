"""What a run left in its folder, as Python values: `capc.load_run`, and what `capc.run` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capc.api.flags import StrPath
from capc.errors import ConfigError
from capc.files import read_json
from capc.harness.pages.run_files import REPORT, tables_of
from capc.harness.pages.tables_of_run import Row, number
from capc.label_sets import TASKS, set_number

if TYPE_CHECKING:
    import pandas

Label = int | frozenset[int]


@dataclass(frozen=True)
class Account:
    """What the labels of a run cost, at the run's end.

    `epsilon` at `delta`, None where the run did not get so far, infinite without noise. `limit` is
    the budget, None without one. `answered` and `refused` count queries. A run that went on from
    an account in a file has what was spent before in its `epsilon`.
    """

    epsilon: float | None
    delta: float | None
    conversion: str | None
    limit: float | None
    answered: int
    refused: int


@dataclass(frozen=True, eq=False)
class RunResult:
    """A run that has ended, by its folder.

    `labels` has an entry for each query that the run came to, in order: a class, with several
    labels a set of classes, None for a query that was not answered. `true_labels` likewise, None
    where they are not known. `succeeded` is whether every label may be used. `failure` says what
    went wrong, None if nothing did. `record` is run.json.
    """

    folder: Path
    labels: tuple[Label | None, ...]
    true_labels: tuple[Label | None, ...]
    account: Account
    succeeded: bool
    failure: str | None
    record: Mapping[str, Any]

    @property
    def queries_csv(self) -> Path:
        """One row a query: docs/running.md lists the columns."""
        return self.folder / "queries.csv"

    @property
    def timings_csv(self) -> Path:
        """One row for each query, party, step and phase: seconds, bytes, rounds."""
        return self.folder / "timings.csv"

    @property
    def summary_csv(self) -> Path:
        """One row for each step and phase: median, p10 and p90 of the seconds."""
        return self.folder / "summary.csv"

    @property
    def report(self) -> Path:
        """The run as a page for a browser."""
        return self.folder / REPORT

    def queries(self) -> pandas.DataFrame:
        """queries.csv as a table."""
        return read_table(self.queries_csv)

    def timings(self) -> pandas.DataFrame:
        """timings.csv as a table."""
        return read_table(self.timings_csv)

    def summary(self) -> pandas.DataFrame:
        """summary.csv as a table."""
        return read_table(self.summary_csv)


def load_run(folder: StrPath) -> RunResult:
    """What a run left in `folder`, as results/latest. ConfigError where it is no run's folder."""
    path = Path(folder).resolve()
    try:
        record = read_json(path / "run.json")
        flags = record["flags"]
        several = flags["task"] == TASKS[1]
        rows = sorted(tables_of(path).queries, key=lambda row: int(row["query"]))
        labels = tuple(_label(row["label"], several=several) for row in rows)
        true_labels = tuple(_label(row["true_label"], several=several) for row in rows)
        account = _account(rows, float(flags["epsilon"]))
        status = record["exit_status"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder} is not the folder of a run: {error}") from None
    return RunResult(path, labels, true_labels, account, status == 0, _failure(record), record)


def _label(cell: str, *, several: bool) -> Label | None:
    if not cell:
        return None
    if not several:
        return int(cell)
    named = set_number(cell)
    return frozenset(place for place in range(named.bit_length()) if named >> place & 1)


def _account(rows: Sequence[Row], limit: float) -> Account:
    charged = [row for row in rows if row["epsilon_spent"]]
    last = charged[-1] if charged else None
    return Account(
        epsilon=None if last is None else number(last["epsilon_spent"]),
        delta=None if last is None else number(last["delta"]),
        conversion=None if last is None else last["conversion"],
        limit=None if limit == float("inf") else limit,
        answered=sum(row["answered"] == "true" for row in rows),
        refused=sum(row["answered"] == "false" and not row["epsilon_spent"] for row in rows),
    )


def _failure(record: Mapping[str, Any]) -> str | None:
    failure, complaints = record.get("failure"), record.get("complaints")
    if isinstance(failure, Mapping):
        return f"{failure.get('party') or 'the run'} failed: {failure.get('reason')}"
    if failure is not None:
        return str(failure)
    return "; ".join(complaints) if complaints and record.get("exit_status") else None


def read_table(path: Path) -> pandas.DataFrame:
    """A CSV file as a table."""
    import pandas  # noqa: PLC0415  slow to load

    return pandas.read_csv(path)
