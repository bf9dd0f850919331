"""What the pages take from a run's public tables: numbers by step, phase, party and query."""

from __future__ import annotations

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from capc.roles import PHASES, QUERYING, STEPS

Row = Mapping[str, str]


@dataclass(frozen=True)
class Tables:
    """The rows of queries.csv, timings.csv and summary.csv; none where a run did not get there."""

    queries: Sequence[Row]
    timings: Sequence[Row]
    summary: Sequence[Row]


def rows_of(content: str) -> list[Row]:
    """The whole rows of a CSV file: the last may have been cut."""
    found = csv.DictReader(io.StringIO(content))
    return [row for row in found if None not in row and None not in row.values()]


def number(cell: str | None) -> float | None:
    """A cell as a number; None where it is empty."""
    return float(cell) if cell else None


@dataclass(frozen=True)
class Bar:
    """A party at work in a step: from `start` on, in seconds after the query's first step began."""

    party: str
    step: str
    phase: str
    start: float
    seconds: float


def middle_query(timings: Iterable[Row]) -> str | None:
    """The query with the median time at the querying party; None without times."""
    spent: dict[str, float] = defaultdict(float)
    for row in timings:
        if row["party"] == QUERYING and row["query"]:
            spent[row["query"]] += float(row["seconds"])
    if not spent:
        return None
    middle = statistics.median_low(spent.values())
    return next(query for query, seconds in spent.items() if seconds == middle)


def bars(timings: Iterable[Row], query: str) -> list[Bar]:
    """The steps of a query, laid end to end: offline, then online.

    A step is as long as it took the querying party, or else who took longest. What the others did
    in it ends with it; they may have waited longer, which is left out.
    """
    spent: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in timings:
        if row["query"] == query:
            spent[row["phase"], row["step"]][row["party"]] += float(row["seconds"])
    found, at = [], 0.0
    for phase in PHASES[1:]:
        for step in STEPS:
            parties = spent.get((phase, step))
            if not parties:
                continue
            length = parties.get(QUERYING, max(parties.values()))
            for party, seconds in parties.items():
                shown = min(seconds, length)
                found.append(Bar(party, step, phase, at + length - shown, shown))
            at += length
    return found
