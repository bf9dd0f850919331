"""A finished run from its folder: what each party's card showed, and when.

It takes run.json, timings.csv and queries.csv. They hold how long each step took, not when it
began: the querying party's steps are laid end to end, and what the others did in the same step
ends with it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from capc.cards.card import Card, stage_of
from capc.cards.words import STAGES, Facts
from capc.errors import ConfigError
from capc.files import open_bounded, read_json
from capc.harness.launchers.processes import status_text
from capc.label_sets import set_number
from capc.roles import GUARDIAN, PARTY_NAME, PHASES, QUERYING, STEPS, answering
from capc.transport.control_messages import (
    MAX_PARTIES,
    Answer,
    Done,
    Message,
    Progress,
    Refused,
    Spent,
    Timing,
)

Parsed = TypeVar("Parsed")
_MAX_TABLE_BYTES = 256 << 20  # of a million rows and more


@dataclass(frozen=True)
class Event:
    """What a party said, so many seconds after its set-up began."""

    at: float
    party: str
    message: Message


@dataclass(frozen=True)
class _Row:
    """A row of timings.csv."""

    party: str
    timing: Timing

    @property
    def stage(self) -> tuple[int, int]:
        """Its query (-1 for set-up) and the number of its stage."""
        query = -1 if self.timing.query is None else self.timing.query
        return query, STAGES.index(stage_of(self.timing.step, self.timing.phase))

    @property
    def begins(self) -> Progress:
        """What the party said when it began."""
        return Progress(self.timing.query, self.timing.step, self.timing.phase)


class RecordedRun:
    """A run's folder; ConfigError where it is none, or holds what no run writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / "run.json"
        try:
            record = read_json(path)
        except OSError as error:
            raise ConfigError(f"{folder} is not a run's folder: no {path.name}: {error}") from None
        except ValueError:
            raise ConfigError(f"{folder} is not a run's folder: {path.name} is not JSON") from None
        flags = record.get("flags") if isinstance(record, dict) else None
        if not isinstance(flags, dict):
            raise ConfigError(f"{folder} is not a run's folder: {path.name} has no flags")
        self._record: Mapping[str, Any] = record
        self._flags: Mapping[str, Any] = flags

    def names(self) -> list[str]:
        """The parties, in the order of their panes."""
        count = self._count("n_parties", MAX_PARTIES)
        return [*(answering(index) for index in range(count)), GUARDIAN, QUERYING]

    def facts(self, party: str) -> Facts:
        """What the party's card says of the run."""
        limit = self._flags.get("epsilon")
        return Facts(
            party,
            self._count("n_queries", 1 << 31),
            with_threshold=self._flags.get("threshold") is not None,
            unencrypted=self._flags.get("cpu") is True or self._flags.get("queries") == "public",
            verify=self._flags.get("verify") is True,
            distributed_noise=self._flags.get("noise") == "distributed",
            label_sets=self._label_sets,
            epsilon=limit if party == GUARDIAN and isinstance(limit, float | int) else None,
        )

    @property
    def _label_sets(self) -> bool:
        return self._flags.get("task") == "multi-label"

    def _count(self, flag: str, most: int) -> int:
        value = self._flags.get(flag)
        if type(value) is not int or not 1 <= value <= most:
            raise ConfigError(f"{self._folder / 'run.json'}: {flag} is {value!r}")
        return value

    # -- the end ---------------------------------------------------------------------------

    def final_card(self, party: str) -> Card:
        """The party's card as it was at the end, with how it ended."""
        card = Card(self.facts(party))
        for row in self._timings():
            if row.party == party:
                card.apply(row.begins, 0.0)
                card.apply(row.timing, 0.0)
        for _, who, message in self._results():
            if who == party:
                card.apply(message, 0.0)
        self.end(card)
        return card

    def end(self, card: Card) -> None:
        """Say on the card how its party ended."""
        reason = self._reason(card.facts.party)
        if reason is None:
            card.apply(Done(), 0.0)
        else:
            card.fail(reason)

    def _reason(self, party: str) -> str | None:
        """Why the party did not end well; None where it did."""
        failure, parties = self._record.get("failure"), self._record.get("parties")
        own = parties.get(party) if isinstance(parties, dict) else None
        status = own.get("exit_status") if isinstance(own, dict) else None
        if status == 0:
            return None
        if isinstance(failure, dict) and failure.get("party") == party:
            return str(failure.get("reason"))
        if isinstance(failure, dict):
            return f"ended because {failure.get('party') or 'the run'} failed"
        if failure is not None:
            return f"ended with the run: {failure}"
        return status_text(status) if type(status) is int else "the run has no end in its folder"

    # -- the whole, in time ----------------------------------------------------------------

    def events(self) -> list[Event]:
        """What every party said, in the order of time."""
        events: list[Event] = []
        free: dict[str, float] = {}
        results: dict[int, list[tuple[str, Message]]] = {}
        for query, party, message in self._results():
            results.setdefault(query, []).append((party, message))
        clock = 0.0
        rows = sorted(self._timings(), key=lambda row: row.stage)
        for (query, stage), together in groupby(rows, key=lambda row: row.stage):
            clock = _placed(list(together), clock, free, events)
            if STAGES[stage] == "3":
                events += [Event(clock, *one) for one in results.pop(query, [])]
        events += [Event(clock, *one) for rest in results.values() for one in rest]
        return sorted(events, key=lambda event: event.at)

    # -- the tables ------------------------------------------------------------------------

    def _timings(self) -> Iterator[_Row]:
        return self._table("timings.csv", _timing)

    def _results(self) -> Iterator[tuple[int, str, Message]]:
        """By query: the label, what was spent, and the first query that was refused."""
        refused = self._record.get("refused")
        first = refused.get("query") if isinstance(refused, dict) else None
        for query, messages in self._table("queries.csv", partial(_result, self._label_sets)):
            if type(first) is not int or query < first:
                yield from ((query, party, message) for party, message in messages)
        if type(first) is int:
            yield first, GUARDIAN, Refused(first, "")

    def _table(self, name: str, parse: Callable[[dict[str, str]], Parsed]) -> Iterator[Parsed]:
        path = self._folder / name
        try:
            with (
                open_bounded(path, _MAX_TABLE_BYTES) as file,
                io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
            ):
                for cells in csv.DictReader(text):
                    yield parse(cells)
        except OSError as error:
            raise ConfigError(f"{self._folder} is not a whole run: {error}") from None
        except (KeyError, TypeError, ValueError, csv.Error):
            raise ConfigError(f"{path} has a row that no run writes") from None


def _placed(
    rows: Sequence[_Row], clock: float, free: dict[str, float], events: list[Event]
) -> float:
    """Lay one stage's rows on the time line after `clock`; its end.

    `free` says when each party's last step ended.
    """
    by_party: dict[str, list[_Row]] = {}
    for row in rows:
        by_party.setdefault(row.party, []).append(row)
    spans = {party: sum(row.timing.seconds for row in own) for party, own in by_party.items()}
    if QUERYING in spans:
        end = clock + spans[QUERYING]
    else:
        end = max(clock, *(free.get(party, 0.0) + span for party, span in spans.items()))
    for party, own in by_party.items():
        at = max(free.get(party, 0.0), end - spans[party])
        scale = (end - at) / spans[party] if spans[party] else 0.0
        for row in own:
            events.append(Event(at, party, row.begins))
            at += row.timing.seconds * scale
            events.append(Event(at, party, row.timing))
        free[party] = end
    return end


def _timing(cells: dict[str, str]) -> _Row:
    """ValueError for a row that no run writes."""
    party, step, phase = cells["party"], cells["step"], cells["phase"]
    seconds = float(cells["seconds"])
    known = PARTY_NAME.fullmatch(party) and step in STEPS and phase in PHASES
    if not known or not math.isfinite(seconds) or seconds < 0:
        raise ValueError
    query = int(cells["query"]) if cells["query"] else None
    sent, received, rounds = (
        int(cells[name]) for name in ("bytes_sent", "bytes_received", "rounds")
    )
    return _Row(party, Timing(query, step, phase, seconds, sent, received, rounds, 1))


def _result(label_sets: bool, cells: dict[str, str]) -> tuple[int, list[tuple[str, Message]]]:
    """What the querying party and the guardian said of a query."""
    query, answered = int(cells["query"]), cells["answered"] == "true"
    read = set_number if label_sets else int
    label = read(cells["label"]) if cells["label"] else None
    said: list[tuple[str, Message]] = [(QUERYING, Answer(query, answered, label))]
    if cells["epsilon_spent"]:
        epsilon, delta = float(cells["epsilon_spent"]), float(cells["delta"])
        said.append((GUARDIAN, Spent(query, epsilon, delta, cells["conversion"], answered)))
    return query, said
