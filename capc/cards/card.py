"""The state of a party's card: what the party itself has told the driver, and nothing more.

Shares, noise and queries never reach it: messages that open shares (--verify) are passed over, and
a label is told by the querying party alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from capc.cards.words import OFFLINE, SETUP, Facts
from capc.label_sets import set_text
from capc.transport.control_messages import (
    Answer,
    Done,
    Error,
    Hold,
    Message,
    Progress,
    Ready,
    Refused,
    Spent,
    Timing,
)

KEPT_LABELS = 1000


def stage_of(step: str, phase: str) -> str:
    """The stage to which a step's phase belongs: set-up, offline, or the step itself."""
    return {"setup": SETUP, "offline": OFFLINE}.get(phase, step)


@dataclass
class Figures:
    """What a step took, of the last batch of queries: seconds of both phases, bytes."""

    offline: float = 0.0
    online: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def seconds(self) -> float:
        """Both phases."""
        return self.offline + self.online


@dataclass
class Card:
    """One party's card. `state` is starting, working, held, ready, done or failed."""

    facts: Facts
    state: str = "starting"
    query: int | None = None
    step: str = ""
    phase: str = ""
    since: float = 0.0
    setup_seconds: float = 0.0
    steps: dict[str, Figures] = field(default_factory=dict)
    bytes_sent: int = 0
    bytes_received: int = 0
    served: int = 0
    labels: deque[int | str | None] = field(default_factory=lambda: deque(maxlen=KEPT_LABELS))
    answered: int = 0
    below: int = 0
    refused: int = 0
    epsilon: float | None = None
    reason: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @contextmanager
    def locked(self) -> Iterator[Card]:
        """The card while nothing changes it."""
        with self._lock:
            yield self

    def apply(self, message: Message, now: float) -> None:
        """Take in what the party has just said, at the time `now` (time.monotonic)."""
        with self._lock:
            self._apply(message, now)

    def _label(self, label: int | None) -> int | str | None:
        """A class, or the text of a set of labels."""
        return set_text(label) if self.facts.label_sets and label is not None else label

    def _apply(self, message: Message, now: float) -> None:
        if isinstance(message, Progress | Hold):
            self._on_progress(message, now)
        elif isinstance(message, Timing):
            self._on_timing(message)
        elif isinstance(message, Ready):
            self.state = "ready"
        elif isinstance(message, Answer):
            self.labels.append(self._label(message.label) if message.answered else None)
            self._count(message.answered)
        elif isinstance(message, Spent):
            self.epsilon = message.epsilon
            self._count(message.answered)
        elif isinstance(message, Refused):
            self.refused = self.facts.n_queries - message.query
        elif isinstance(message, Done):
            self.state = "done"
        elif isinstance(message, Error):
            self.fail(message.message)

    def fail(self, reason: str) -> None:
        """The party has failed, or was ended."""
        self.state, self.reason = "failed", " ".join(reason.split())

    def _count(self, answered: bool) -> None:
        self.answered += answered
        self.below += not answered

    def _on_progress(self, message: Progress | Hold, now: float) -> None:
        if message.query is not None and message.query != self.query:
            self.steps.clear()
        self.state = "held" if isinstance(message, Hold) else "working"
        self.query, self.step, self.phase = message.query, message.step, message.phase
        self.since = now

    def _on_timing(self, timing: Timing) -> None:
        self.bytes_sent += timing.bytes_sent
        self.bytes_received += timing.bytes_received
        if timing.query is None:
            self.setup_seconds += timing.seconds
        else:
            self.served = max(self.served, timing.query + timing.count)
            figures = self.steps.setdefault(timing.step, Figures())
            if timing.phase == "offline":
                figures.offline += timing.seconds
            else:
                figures.online += timing.seconds
            figures.bytes_sent += timing.bytes_sent
            figures.bytes_received += timing.bytes_received
        self.state = "ready"

    def running(self, now: float) -> float:
        """Seconds of the step at work; 0 where there is none."""
        return max(0.0, now - self.since) if self.state == "working" else 0.0

    def figures(self, step: str, now: float) -> Figures:
        """A step of the last batch, with what has passed of it where it is at work."""
        known = self.steps.get(step, Figures())
        passed = self.running(now) if self.step == step and self.query is not None else 0.0
        offline = passed if self.phase == "offline" else 0.0
        return Figures(
            known.offline + offline,
            known.online + passed - offline,
            known.bytes_sent,
            known.bytes_received,
        )

    def seconds(self, now: float) -> float:
        """All steps of the last batch, or set-up before the first."""
        if self.query is None:
            return self.setup_seconds + self.running(now)
        return sum(self.figures(step, now).seconds for step in {*self.steps, self.step})
