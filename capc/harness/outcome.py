"""How a run ends, and who is told what happens on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from capc.transport.control_messages import Message


class Observer(Protocol):
    """Who is told what happens."""

    def on_message(self, party: str, message: Message) -> None:
        """A party said something."""

    def on_state(self, party: str, state: str) -> None:
        """A party is now starting, connecting, ready, done or failed."""

    def refresh_at(self) -> float | None:
        """The time (time.monotonic) at which `refresh` wants to be called, or None."""

    def refresh(self) -> None:
        """Bring what the user sees up to date."""


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    A party that died silently explains more than one that complains of it. One that complains of
    the end of a peer's connection (`of_a_peer`) explains least: the peer knows why. One that waited
    in vain for another (`waits_for`) is explained by that one, if it had not to wait itself.
    """

    party: str | None
    reason: str
    silent: bool = False
    of_a_peer: bool = False
    waits_for: str | None = None


@dataclass
class Outcome:
    """How a run ended: exit status per party, the failures in order, the lines to show.

    `left_out`: the answering parties without which it went on, and why.
    """

    exit_statuses: dict[str, int | None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    interrupted: bool = False
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed and nobody stopped the run."""
        return not self.failures and not self.interrupted

    @property
    def failures_are_explained(self) -> bool:
        """Whether a party that died silently is among the failures."""
        return any(failure.silent for failure in self.failures)

    @property
    def cause(self) -> Failure | None:
        """The failure to show: a silent death before its consequences, a reason before those.

        Of parties that waited in vain, the end of the chain: one that nobody heard complain.
        """
        silent = [failure for failure in self.failures if failure.silent]
        waits = [failure for failure in self.failures if failure.waits_for is not None]
        reasons = [f for f in self.failures if not f.of_a_peer and f.waits_for is None]
        complained = {failure.party for failure in self.failures}
        still = [
            Failure(failure.waits_for, f"{failure.party} waited for it in vain: {failure.reason}")
            for failure in waits
            if failure.waits_for not in complained
        ]
        return next(iter(silent or reasons or still or waits or self.failures), None)

    @property
    def is_a_wait(self) -> bool:
        """Whether all that is known is that parties waited in vain: more may complain soon."""
        explained = any(f.silent or not (f.of_a_peer or f.waits_for) for f in self.failures)
        return any(f.waits_for for f in self.failures) and not explained
