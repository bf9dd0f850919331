"""A party's figures for its own operators: counts, seconds, bytes, and the guardian's budget.

They are what the audit log has, added up, and how many connections were dropped: no label, no vote,
no share, no query. Their text has the format of Prometheus (version 0.0.4).
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import capc
from capc.parties.config import PartyConfig
from capc.roles import ANSWERING, GUARDIAN, QUERYING, role_of
from capc.transport.channel import Traffic

MEETING, RUNNING, STOPPING, DONE, FAILED = "meeting", "running", "stopping", "done", "failed"
_STATES = (MEETING, RUNNING, STOPPING, DONE, FAILED)


@dataclass(frozen=True)
class _Spent:
    """What one phase of a step took, all its times together."""

    times: int = 0
    seconds: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)


class Metrics:
    """One party's figures since its process began; usable from several threads."""

    def __init__(self, config: PartyConfig) -> None:
        self._party = config.party
        self._role = role_of(config.party)
        self._privacy = config.privacy
        self._lock = threading.Lock()
        self.state = MEETING
        self._counts: Counter[str] = Counter()
        self._queries: Counter[str] = Counter()
        self._steps: defaultdict[tuple[str, str], _Spent] = defaultdict(_Spent)
        self._epsilon: float | None = None

    def peer_met(self) -> None:
        """A peer that has authenticated and agrees."""
        with self._lock:
            self._counts["capc_peers_met_total"] += 1

    def connection_refused(self) -> None:
        """A connection at one of the party's ports that was dropped."""
        with self._lock:
            self._counts["capc_connections_refused_total"] += 1

    def step(self, step: str, phase: str, seconds: float, traffic: Traffic, count: int) -> None:
        """A step of `count` queries is over."""
        place = (step, phase)
        with self._lock:
            spent = self._steps[place]
            self._steps[place] = _Spent(
                spent.times + 1, spent.seconds + seconds, spent.traffic + traffic
            )
            if self._role == ANSWERING and place == ("2", "online"):
                self._queries["served"] += count

    def query(self, *, answered: bool) -> None:
        """A query's outcome, at a party that learns it."""
        with self._lock:
            self._queries["answered" if answered else "unanswered"] += 1

    def refused(self, count: int) -> None:
        """Queries that the budget does not admit; at the guardian."""
        with self._lock:
            self._queries["refused"] += count

    def spent(self, epsilon: float) -> None:
        """What the account has spent; at the guardian."""
        with self._lock:
            self._epsilon = epsilon

    def text(self) -> str:
        """Everything, as a scraper reads it."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def health(self) -> str:
        """The party and its state, as a JSON object."""
        return json.dumps({"party": self._party, "state": self.state}) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _family("capc_party_info", "gauge", "Which party this is.")
        yield _sample("capc_party_info", {"party": self._party, "version": capc.__version__}, 1)
        yield from _family("capc_state", "gauge", "1 at the state that the party is in.")
        for state in _STATES:
            yield _sample("capc_state", {"state": state}, int(state == self.state))
        for name, meaning in _PLAIN.items():
            yield from _family(name, "counter", meaning)
            yield _sample(name, {}, self._counts[name])
        yield from _family("capc_queries_total", "counter", "Queries by what became of them.")
        for outcome in _OUTCOMES[self._role]:
            yield _sample("capc_queries_total", {"outcome": outcome}, self._queries[outcome])
        yield from _family("capc_step_seconds", "summary", "Time in each step of the protocol.")
        steps = [
            ({"step": step, "phase": phase}, spent)
            for (step, phase), spent in sorted(self._steps.items())
        ]
        for place, spent in steps:
            yield _sample("capc_step_seconds_sum", place, round(spent.seconds, 6))
            yield _sample("capc_step_seconds_count", place, spent.times)
        yield from _family("capc_step_bytes_total", "counter", "Bytes of each step.")
        for place, spent in steps:
            both = {"out": spent.traffic.bytes_sent, "in": spent.traffic.bytes_received}
            for way, count in both.items():
                yield _sample("capc_step_bytes_total", {**place, "direction": way}, count)
        yield from _family("capc_step_rounds_total", "counter", "Waits for a peer in each step.")
        for place, spent in steps:
            yield _sample("capc_step_rounds_total", place, spent.traffic.rounds)
        if self._privacy is not None:
            yield from self._budget_lines(self._privacy.epsilon, self._privacy.delta)

    def _budget_lines(self, epsilon: float | None, delta: float) -> Iterator[str]:
        figures = {
            "capc_epsilon_spent": ("Epsilon that the account has spent.", self._epsilon),
            "capc_epsilon_budget": ("Epsilon at which queries are refused.", epsilon),
            "capc_delta": ("Delta of both.", delta),
        }
        for name, (meaning, value) in figures.items():
            if value is not None:
                yield from _family(name, "gauge", meaning)
                yield _sample(name, {}, value)


_PLAIN = {
    "capc_peers_met_total": "Peers that have authenticated and agree.",
    "capc_connections_refused_total": "Connections at the party's ports that were dropped.",
}
_OUTCOMES = {  # what each role learns of a query, and no more
    ANSWERING: ("served",),
    QUERYING: ("answered", "unanswered"),
    GUARDIAN: ("answered", "unanswered", "refused"),
}


def _family(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line; the values of labels are names of this program and need no escapes."""
    inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"
