"""Until when a supervisor waits for what has to come next."""

from __future__ import annotations

import math
import time

STOOD_STILL_SECONDS = 1.0  # by so much a wait may end late and still be one


class Deadlines:
    """`setup_seconds` until every party is ready, then `query_seconds` between two steps' ends.

    All moments are those of time.monotonic(). Time in which this process stood still, as after
    SIGSTOP, does not count: the parties could not be heard then.
    """

    def __init__(self, setup_seconds: float, query_seconds: float) -> None:
        self.setup_seconds = setup_seconds
        self.query_seconds = query_seconds
        self._next = math.inf
        self._lost = math.inf

    def start(self) -> None:
        """The parties are being started."""
        self._next = time.monotonic() + self.setup_seconds

    def go_on(self) -> None:
        """Something was done: what comes next has its own time."""
        self._next = time.monotonic() + self.query_seconds

    def stand_still(self, seconds: float) -> None:
        """The run was held for so long."""
        self._next += seconds
        self._lost += seconds

    def woke(self, until: float) -> None:
        """A wait that was to end at `until`, at the latest, is over."""
        late = time.monotonic() - until
        if late > STOOD_STILL_SECONDS:
            self.stand_still(late)

    def lose(self, seconds: float) -> None:
        """A party closed its control channel: its end has to follow within so many seconds."""
        self._lost = min(self._lost, time.monotonic() + seconds)

    def all_found(self) -> None:
        """Every party that closed its channel has ended."""
        self._lost = math.inf

    def next(self, *, held: bool) -> float:
        """The next of them; `held`: the run stands still by the user's wish."""
        return self._lost if held else min(self._next, self._lost)
