"""Measuring the line between the two parties of an inference, over their own connection.

The answering party asks, the querying party answers: a few short messages for the round trip, and
two bursts, the first of which lets TCP find its speed. A party that answers late makes the line
look slower than it is, and so can sway the choice between circuits and transfers.
"""

from __future__ import annotations

import time

from capc.inference.link import Link, beyond_loopback
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

_TRIPS = 3
_BURSTS = 2
_BURST_BYTES = 1 << 19
_LEAST_SECONDS = 1e-6
_ANSWER = b"\1"


def measure(channel: Channel) -> Link:
    """At the answering party: the shortest round trip, and the rate of the last burst."""
    round_trip = min(_seconds(channel, 1) for _ in range(_TRIPS))
    burst = [_seconds(channel, _BURST_BYTES) for _ in range(_BURSTS)][-1]
    rate = 8 * _BURST_BYTES / max(burst - round_trip, _LEAST_SECONDS)
    return beyond_loopback(Link(round_trip, rate))


def answer(channel: Channel) -> None:
    """At the querying party: the other half of `measure`."""
    for size in _TRIPS * (1,) + _BURSTS * (_BURST_BYTES,):
        channel.recv(MessageType.PROBE, size)
        channel.send(MessageType.PROBE, _ANSWER)


def _seconds(channel: Channel, size: int) -> float:
    start = time.perf_counter()
    channel.send(MessageType.PROBE, bytes(size))
    channel.recv(MessageType.PROBE, len(_ANSWER))
    return time.perf_counter() - start
