"""Which connections a party's step counts, and what the driver hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from capc.parties.messages import Batch
from capc.parties.runtime import Runtime, StepTimer
from capc.transport.channel import Traffic


@dataclass
class Connection:
    """A connection whose traffic a test sets."""

    traffic: Traffic = field(default_factory=Traffic)


class Control:
    """A driver's end that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def progress(self, query: int, step: str, phase: str) -> None:
        self.told.append((query, step, phase))

    def timing(self, *what: Any, **counts: int) -> None:
        self.told.append((what[:3], counts))


def test_a_step_counts_its_own_connections() -> None:
    peer, program, other = Connection(Traffic(5, 5, 5)), Connection(), Connection()
    control = Control()
    config = SimpleNamespace(step_by_step=False)
    runtime = Runtime(cast(Any, config), cast(Any, control), cast(Any, None))
    timed = StepTimer(runtime, {"1a": [peer], "2": [peer, program]})
    for step in ("1a", "2", "3"):
        with timed(Batch(4, 2), step, "online"):
            for connection in (peer, program, other):
                connection.traffic += Traffic(10, 7, 1)
    assert control.told == [
        (4, "1a", "online"),
        (
            (4, "1a", "online"),
            {"bytes_sent": 10, "bytes_received": 7, "rounds": 1, "count": 2},
        ),
        (4, "2", "online"),
        (
            (4, "2", "online"),
            {"bytes_sent": 20, "bytes_received": 14, "rounds": 2, "count": 2},
        ),
        (4, "3", "online"),
        (
            (4, "3", "online"),
            {"bytes_sent": 0, "bytes_received": 0, "rounds": 0, "count": 2},
        ),
    ]
