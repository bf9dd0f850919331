"""The line between two parties, as a user describes it: --link 40ms,100mbit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from capc.errors import ConfigError

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_LINK = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s),(\d+(?:\.\d+)?)(kbit|mbit|gbit)")
_MOST_SECONDS = 60.0


@dataclass(frozen=True)
class Link:
    """What a line adds to the time of the same work within one machine.

    `round_trip` in seconds, there and back; `rate` in bits a second, each way.
    """

    round_trip: float
    rate: float
    text: str | None = None  # as the user wrote it; None within a machine, and for a measured line

    @classmethod
    def parse(cls, text: str) -> Link:
        """ConfigError for anything but a round-trip time and a rate, such as 40ms,100mbit."""
        match = _LINK.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"--link is {text!r}; allowed is a round-trip time in us, ms or s and a rate in "
                "kbit, mbit or gbit a second, such as 40ms,100mbit"
            )
        trip, trip_unit, rate, rate_unit = match.groups()
        link = cls(float(trip) * _UNITS[trip_unit], float(rate) * _UNITS[rate_unit], text)
        if link.round_trip > _MOST_SECONDS or not 0 < link.rate < math.inf:
            raise ConfigError(
                f"--link is {text!r}; allowed is up to {_MOST_SECONDS:g} s, and a rate above 0"
            )
        return link

    def described(self) -> str:
        """For a log."""
        if self == WITHIN_A_MACHINE:
            return "as within one machine"
        return f"{1e3 * self.round_trip:.3g} ms there and back, {self.rate / 1e6:.3g} Mbit/s"

    def seconds(self, moved_bytes: float, round_trips: float) -> float:
        """What so many bytes and round trips after one another add."""
        return 8 * moved_bytes / self.rate + round_trips * self.round_trip


# The unit costs were measured over loopback, so that a line of its kind adds nothing to them.
WITHIN_A_MACHINE = Link(0.0, math.inf)
_LOOPBACK = Link(0.5e-3, 2e9)  # no slower than this


def beyond_loopback(link: Link) -> Link:
    """The line, or WITHIN_A_MACHINE where it is about as fast as that."""
    is_fast = link.round_trip <= _LOOPBACK.round_trip and link.rate >= _LOOPBACK.rate
    return WITHIN_A_MACHINE if is_fast else link
