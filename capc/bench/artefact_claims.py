"""What the artefact runs, and the claims that each command is held to.

A claim says what is expected of the files or the output of its command, as a range where it is a
figure. Times of this machine are not claims; ratios of the same run are.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capc.bench.rows import parse_rows, ratios

Found = tuple[str, bool | None]
"""What was found, in words; whether it is within what was expected, None if it was not measured."""


@dataclass(frozen=True)
class Claim:
    """`look` gets the command's own folder and what it printed."""

    said: str
    expected: str
    look: Callable[[Path, str], Found]


@dataclass(frozen=True)
class Step:
    """A command of `capc`, by its words; it leaves its files in a folder of the step's name.

    `takes_folder` is whether it takes `--results_dir`; `minutes` is what it is expected to take on
    two idle cores; `page` is its page in the folder, if it leaves one.
    """

    name: str
    words: tuple[str, ...]
    minutes: float
    claims: tuple[Claim, ...]
    takes_folder: bool = True
    page: str | None = None


_RUN = (
    *("run", "--n_parties=3", "--ignore_parties", "--launcher=subprocess"),
    "--encryption_params=config/fast.json",
)
_LEARNING = ("learn", "all", "--config=config/learning/mnist-few.json", "--set=name=few")
_SMALLER = (
    *("--set=parties=25", "--set=seeds=[1,2]", "--set=retraining_seeds=1", "--set=pool=2000"),
    *('--set=strategies=["gap"]', "--set=training.epochs=15", "--set=privacy.sigma=4"),
    *("--set=privacy.threshold=25", "--set=privacy.sigma_threshold=15"),
)


def steps(size: str) -> tuple[Step, ...]:
    """The commands in order; `size` is "small" or "full"."""
    return *_protocol_steps(), *_measuring_steps(size)


def _protocol_steps() -> tuple[Step, ...]:
    """What the protocol and the accountant promise: the same at every size."""
    return (
        Step(
            "exact",
            (*_RUN, "--n_queries=5", "--sigma=7", "--verify"),
            0.2,
            (
                Claim(
                    "the protocol computes the reference bit for bit, shares and labels",
                    "exit status 0, and 5 queries compared",
                    _all_compared,
                ),
            ),
            page="latest/report.html",
        ),
        Step(
            "budget",
            (*_RUN, "--n_queries=5", "--sigma=7", "--epsilon=1.5"),
            0.2,
            (
                Claim(
                    "the guardian refuses the query that would pass the budget",
                    "epsilon at most 1.5; 1 to 4 of 5 queries answered",
                    _within_budget,
                ),
            ),
            page="latest/report.html",
        ),
        Step(
            "account",
            ("privacy", "cost", "--sigma=7", "--queries=100"),
            0.1,
            (
                Claim(
                    "100 answers at the noise of the paper's 50 parties cost this epsilon",
                    "10.90 to 10.92 at delta 1e-05",
                    _epsilon_of_hundred,
                ),
            ),
            takes_folder=False,
        ),
        Step(
            "recorded",
            ("recorded-run",),
            0.1,
            (
                Claim(
                    "the published MNIST run is re-derived by its own rule",
                    "1,540 to 1,702 queries within epsilon 2.5 (published: 1,621, 5 % either side)",
                    _recorded_queries,
                ),
            ),
            takes_folder=False,
        ),
    )


def _measuring_steps(size: str) -> tuple[Step, ...]:
    """What is measured: the full size has more queries, parties and seeds."""
    full = size == "full"
    return (
        Step(
            "table1",
            ("table1", f"--n_queries={20 if full else 3}", f"--repeat={3 if full else 1}"),
            2.0 if full else 0.4,
            (
                Claim(
                    "step 1a takes less than the paper's, encrypted, at every degree",
                    "paper / ours above 1 in three rows",
                    _faster_than_the_paper,
                ),
            ),
            page="table1/report.html",
        ),
        Step(
            "bench",
            ("bench", "gc", *(("inference", "protocol", "privacy") if full else ()), "--repeat=5"),
            6.0 if full else 0.3,
            (
                Claim(
                    "circuits take less time than EMP 0.3 on the same work",
                    "EMP / ours above 1 in each benchmark, where EMP is installed",
                    _faster_than_emp,
                ),
            ),
            page="report.html",
        ),
        Step(
            "scaling",
            ("scaling", f"--size={size}"),
            5.0 if full else 1.5,
            (
                Claim(
                    "bytes of a query grow by the same amount with each party",
                    "a line within 5 % of every point",
                    _linear_bytes,
                ),
            ),
            page="report.html",
        ),
        Step(
            "learning",
            (*_LEARNING, *(() if full else _SMALLER)),
            10.0 if full else 1.5,
            (
                Claim(
                    "answers under differential privacy make the asking parties' models better",
                    "mean gain in accuracy above 0, at epsilon of at most 20",
                    _gain,
                ),
            ),
            page="few/report.html",
        ),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _all_compared(folder: Path, printed: str) -> Found:
    status = json.loads((folder / "latest" / "run.json").read_text())["exit_status"]
    queries = len(_rows(folder / "latest" / "queries.csv"))
    return f"exit status {status}, {queries} queries compared", (status, queries) == (0, 5)


def _within_budget(folder: Path, printed: str) -> Found:
    rows = [row for row in _rows(folder / "latest" / "queries.csv") if row["answered"] == "true"]
    spent = max((float(row["epsilon_spent"]) for row in rows), default=0.0)
    return f"epsilon {spent:.4g}; {len(rows)} of 5 answered", spent <= 1.5 and 1 <= len(rows) <= 4


def _epsilon_of_hundred(folder: Path, printed: str) -> Found:
    epsilon = json.loads(printed)["epsilon"]
    return f"{epsilon:.4f}", 10.90 <= epsilon <= 10.92


def _recorded_queries(folder: Path, printed: str) -> Found:
    (found,) = re.findall(r"^queries within \S+ +\d+ +(\d+)", printed, re.MULTILINE)
    return f"{int(found):,}", 1540 <= int(found) <= 1702


def _faster_than_the_paper(folder: Path, printed: str) -> Found:
    found = {
        row["row"]: float(row["ratio"])
        for row in _rows(folder / "table1.csv")
        if row["steps"] == "1a" and row["row"].startswith("N =")
    }
    said = ", ".join(f"{ratio:.0f} at {row}" for row, ratio in found.items())
    return said, len(found) == 3 and min(found.values()) > 1


def _faster_than_emp(folder: Path, printed: str) -> Found:
    rows = parse_rows((folder / "gc.csv").read_text())
    found = {
        row.benchmark: ratio
        for row, ratio in zip(rows, ratios(rows), strict=True)
        if row.implementation == "emp-0.3" and ratio is not None
    }
    if not found:
        return "EMP 0.3 is not installed; docs/emp.md says how", None
    said = ", ".join(f"{name} {ratio:.1f}" for name, ratio in found.items())
    return said, min(found.values()) > 1


def _linear_bytes(folder: Path, printed: str) -> Found:
    (law,) = (row for row in _rows(folder / "laws.csv") if row["axis"] == "parties")
    off = float(law["megabytes_off"])
    return f"within {100 * off:.1f} %", off <= 0.05


def _gain(folder: Path, printed: str) -> Found:
    gains = {
        row["strategy"]: 100 * float(row["mean"])
        for row in _rows(folder / "few" / "summary.csv")
        if row["arm"] == "capc" and row["metric"] == "accuracy_gain"
    }
    spent = max(float(row["epsilon_independent"]) for row in _rows(folder / "few" / "queries.csv"))
    said = ", ".join(f"{gain:.1f} by {strategy}" for strategy, gain in gains.items())
    fits = spent <= 20.0 and sum(gains.values()) > 0
    return f"{said} (percentage points, by choice of queries), at epsilon {spent:.4g}", fits
