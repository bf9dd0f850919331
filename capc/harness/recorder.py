"""Turns what the parties report into rows, log lines and the live view."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from capc.console import epsilon_text, printable, seconds_text
from capc.errors import ConfigError, FileError, ProtocolError
from capc.fixed_point import FixedPoint
from capc.harness.tables import QUERY_COLUMNS, TIMING_COLUMNS, RowWriter
from capc.harness.view import LiveView, PartyRow, View
from capc.privacy.voting_rules import VotingRule
from capc.roles import GUARDIAN, QUERYING
from capc.transport.control_messages import (
    Announce,
    Answer,
    LeftOut,
    Log,
    Message,
    Opened,
    Plan,
    Progress,
    Refused,
    Spent,
    Timing,
)

logger = logging.getLogger("capc.driver")

_MAX_LINES = 20  # queries of a longer run get no line of their own above the live table


@dataclass
class Results:
    """What a run has brought: by query, by party."""

    answers: dict[int, Answer] = field(default_factory=dict)
    spent: dict[int, Spent] = field(default_factory=dict)
    plans: dict[str, FixedPoint] = field(default_factory=dict)
    opened: dict[tuple[int, str, str, str | None], tuple[int, ...]] = field(default_factory=dict)
    ports: dict[str, int | None] = field(default_factory=dict)
    refused: Refused | None = None
    left_out: dict[str, str] = field(default_factory=dict)


class Recorder:
    """The supervisor's observer: appends to queries.csv, timings.csv and the timing log."""

    def __init__(
        self,
        parties: Sequence[str],
        *,
        n_queries: int,
        queries_csv: Path,
        timings_csv: Path,
        timing_log: Path,
        true_labels: Sequence[int] | None,
        insecure: str,
        console: Console,
        rule: VotingRule | None = None,
    ) -> None:
        self._rule = rule
        self.results = Results()
        self._n_queries = n_queries
        self._true_labels = true_labels
        self._insecure = insecure
        self._rows = {name: PartyRow(name) for name in parties}
        self._written: set[int] = set()
        self._batch: dict[str, tuple[int | None, str]] = {}
        self._started = time.monotonic()
        self._queries = RowWriter(queries_csv, QUERY_COLUMNS)
        self._timings = RowWriter(timings_csv, TIMING_COLUMNS)
        self._timing_log = _TimingLog(timing_log)
        order = sorted(self._rows.values(), key=lambda row: row.name not in (QUERYING, GUARDIAN))
        self.view = (
            LiveView(console, order, n_queries) if console.is_terminal else View(console, order)
        )

    # -- the supervisor's side -------------------------------------------------------------

    def on_state(self, party: str, state: str) -> None:
        """Show a party's new state, and say when all have reached it."""
        self._rows[party].state = state
        self.view.changed()
        if state == "failed":
            logger.error("%s failed", party)
        elif all(row.state == state for row in self._rows.values()):
            elapsed = seconds_text(time.monotonic() - self._started)
            self._say(f"all {len(self._rows)} parties are {state} ({elapsed})")

    def on_message(self, party: str, message: Message) -> None:
        """Record what a party reports; ProtocolError for what its role may not say."""
        row = self._rows[party]
        if isinstance(message, Progress):
            row.query, row.step, row.phase = message.query, message.step, message.phase
        elif isinstance(message, Timing):
            self._on_timing(row, message)
        elif isinstance(message, Answer):
            self._on_answer(party, message)
        elif isinstance(message, Spent):
            self._on_spent(party, row, message)
        elif isinstance(message, Refused):
            self._on_refused(message)
        elif isinstance(message, LeftOut):
            self._on_left_out(party, message)
        elif isinstance(message, Announce):
            self.results.ports[party] = message.port
        elif isinstance(message, Plan):
            self._on_plan(party, message)
        elif isinstance(message, Opened):
            self.results.opened[(message.query, party, message.name, message.peer)] = message.values
        elif isinstance(message, Log):
            self._say(f"{party}: {message.message}")
        self.view.changed()

    def refresh_at(self) -> float | None:
        """When the live view wants to be drawn."""
        return self.view.refresh_at()

    def refresh(self) -> None:
        """Draw the live view."""
        self.view.refresh()

    # -- messages --------------------------------------------------------------------------

    def _on_timing(self, row: PartyRow, timing: Timing) -> None:
        batch = (timing.query, timing.phase)
        if self._batch.get(row.name) != batch:
            self._batch[row.name] = batch
            row.seconds = 0.0
        row.query, row.step, row.phase = timing.query, timing.step, timing.phase
        row.seconds += timing.seconds
        row.bytes_sent += timing.bytes_sent
        row.bytes_received += timing.bytes_received
        count = timing.count
        self._timings.append(
            *(
                {
                    "query": None if timing.query is None else timing.query + index,
                    "party": row.name,
                    "step": timing.step,
                    "phase": timing.phase,
                    "seconds": timing.seconds / count,
                    "bytes_sent": _part(timing.bytes_sent, index, count),
                    "bytes_received": _part(timing.bytes_received, index, count),
                    "rounds": timing.rounds,
                    "insecure": self._insecure,
                }
                for index in range(count)
            )
        )
        query = "set-up" if timing.query is None else f"query {timing.query}"
        served = f" and the next {count - 1}" if count > 1 else ""
        self._timing_log.write(
            f"{row.name} {query}{served} step {timing.step} {timing.phase} {timing.seconds:.6f} s\n"
        )

    def _on_answer(self, party: str, answer: Answer) -> None:
        if party != QUERYING:
            raise ProtocolError("only the querying party learns an answer")
        if answer.query >= self._n_queries or answer.query in self.results.answers:
            raise ProtocolError(f"an answer to query {answer.query} was not expected")
        self.results.answers[answer.query] = answer
        self.view.answered(len(self.results.answers))
        self._write_query(answer.query)

    def _on_spent(self, party: str, row: PartyRow, spent: Spent) -> None:
        if party != GUARDIAN:
            raise ProtocolError("only the guardian keeps the account")
        if spent.query >= self._n_queries:
            raise ProtocolError(f"query {spent.query} was not expected")
        self.results.spent[spent.query] = spent
        row.epsilon = spent.epsilon
        self._write_query(spent.query)

    def _on_refused(self, refused: Refused) -> None:
        if self.results.refused is None:
            self.results.refused = refused
            self._say(f"BUDGET SPENT: query {refused.query} is refused: {refused.reason}", "red")

    def _on_left_out(self, party: str, message: LeftOut) -> None:
        if party not in (QUERYING, GUARDIAN) or message.peer not in self._rows:
            raise ProtocolError(f"{message.peer} is not for {party} to leave out")
        if message.peer not in self.results.left_out:
            self.results.left_out[message.peer] = message.reason
            self._say(f"going on without {message.peer}: {message.reason}", "yellow")

    def _on_plan(self, party: str, plan: Plan) -> None:
        try:
            self.results.plans[party] = FixedPoint(plan.ring_bits, plan.fraction_bits)
        except ValueError as error:
            raise ProtocolError(f"its plan is invalid: {error}") from None

    def _write_query(self, query: int) -> None:
        """The row of a query, once the querying party and the guardian have both spoken of it."""
        if query in self._written:
            return
        answer, spent = self.results.answers.get(query), self.results.spent.get(query)
        if answer is None or spent is None:
            return
        if answer.answered != spent.answered:
            raise ProtocolError(f"the parties disagree on whether query {query} was answered")
        self._written.add(query)
        self._queries.append(self.query_row(query))
        said = f"label {self._text(answer.label)}" if answer.answered else "not answered"
        place = f"{len(self._written)} of {self._n_queries}"
        text = f"query {query} ({place}): {said}; epsilon spent: {epsilon_text(spent.epsilon)}"
        if self._n_queries > _MAX_LINES and isinstance(self.view, LiveView):
            logger.info("%s", text)  # the table and its bar say enough
        else:
            self._say(text)

    # -- results ---------------------------------------------------------------------------

    def query_row(self, query: int) -> dict[str, object]:
        """What the protocol gave for a query, and nothing that tells of votes or weights."""
        answer, spent = self.results.answers.get(query), self.results.spent.get(query)
        labels = self._true_labels
        return {
            "query": query,
            "true_label": None if labels is None else self._text(labels[query]),
            "label": self._text(answer.label) if answer is not None else None,
            "answered": answer.answered if answer is not None else self._refused_or_unknown(),
            "voters": self._voters(answer),
            "epsilon_spent": spent.epsilon if spent is not None else None,
            "delta": spent.delta if spent is not None else None,
            "conversion": spent.conversion if spent is not None else None,
            "insecure": self._insecure,
        }

    def _voters(self, answer: Answer | None) -> int | None:
        """How many answering parties' votes an answer counts."""
        if answer is None:
            return None
        everybody = len(self._rows) - 2
        return everybody if answer.voters is None else len(answer.voters)

    def _text(self, label: int | None) -> int | str | None:
        """A label as tables show it."""
        return label if label is None or self._rule is None else self._rule.text(label)

    def _refused_or_unknown(self) -> bool | None:
        return None if self.results.refused is None else False

    def reported(self) -> list[int]:
        """The queries that have a row: those answered or not, and those that the budget refused."""
        answers = set(self.results.answers)
        return sorted(answers) if self.results.refused is None else list(range(self._n_queries))

    def finish(self) -> None:
        """Write the rows of which only one party has spoken, and of refused queries; close."""
        self.view.stop()
        for query in sorted(set(self.reported()) - self._written):
            self._written.add(query)
            self._queries.append(self.query_row(query))
        self._queries.close()
        self._timings.close()
        self._timing_log.close()

    def _say(self, text: str, style: str = "") -> None:
        logger.info("%s", printable(text))
        self.view.line(text, style)


def _part(total: int, index: int, count: int) -> int:
    """Share `index` of a whole number split into `count` whole shares that add up to it."""
    return total * (index + 1) // count - total * index // count


class _TimingLog:
    """Lines appended to a file; FileError that names it where the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # A pipe that nobody reads is an error here, where a plain open would wait.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
            self._file = os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0)
            os.set_blocking(self._file.fileno(), True)
        except OSError as error:
            raise ConfigError(f"--log_timing_file: cannot write {path}: {error.strerror}") from None

    def write(self, line: str) -> None:
        content = line.encode(errors="backslashreplace")
        try:
            written = self._file.write(content)
        except OSError as error:
            raise FileError(f"cannot write {self._path}: {error.strerror}") from None
        if written != len(content):
            raise FileError(f"cannot write {self._path}: No space left on device")

    def close(self) -> None:
        """A file system that notices only now says so in the CSV files too."""
        with contextlib.suppress(OSError):
            self._file.close()
