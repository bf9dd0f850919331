"""A party's own line, as far as its rate foretells it: so that what can wait lets the rest pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_QUEUE_SECONDS = 0.02  # of what can wait, that may stand before what can not


class OutgoingLine:
    """When what was sent has left, by the line's rate. All moments are monotonic seconds.

    Some messages can wait. They go where they delay no other: never more than `_QUEUE_SECONDS` of
    them at a time, and none that has not left before the moment of `keep_from`.
    """

    def __init__(
        self,
        bits_per_second: float = math.inf,
        round_trip: float = 0.0,
        unconfirmed: Callable[[], int] = lambda: 0,
    ) -> None:
        """A line of infinite rate is always free. `round_trip` in seconds.

        `unconfirmed` says how many bytes were sent of whose arrival nothing is known. A line that
        is slower than its rate has more of them than fit into a round trip.
        """
        self._seconds_per_byte = 8 / bits_per_second
        self._round_trip = round_trip
        self._unconfirmed = unconfirmed
        self._free_at = 0.0
        self._kept_from = math.inf

    @property
    def is_known(self) -> bool:
        """Whether it has a rate."""
        return self._seconds_per_byte > 0

    def sent(self, count: int) -> None:
        """So many bytes go out now."""
        self._free_at = max(self._free_at, time.monotonic()) + count * self._seconds_per_byte

    def answer_at(self) -> float:
        """When the answer to what was sent last can be here at the earliest."""
        return self._free_from(time.monotonic()) + self._round_trip

    def keep_from(self, moment: float) -> None:
        """From then on the line is needed for messages that cannot wait."""
        self._kept_from = moment

    def has_room(self, count: int) -> bool:
        """Whether a message of so many bytes that can wait may go now."""
        now = time.monotonic()
        start = self._free_from(now)
        in_time = start + count * self._seconds_per_byte <= self._kept_from
        return in_time and start - now <= _QUEUE_SECONDS

    def _free_from(self, now: float) -> float:
        late = self._unconfirmed() * self._seconds_per_byte - self._round_trip
        return max(self._free_at, now + max(late, 0.0))
