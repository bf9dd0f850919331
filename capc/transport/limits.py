"""What a stranger at a port, and a peer, may take of a party: connections, time and memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one party; all are above 0.

    `strangers` connections at a time at a port that have not authenticated, beside those expected,
    with `handshake_seconds` each; `program_connections` at a time at the port before a circuit
    program. A message has `message_seconds` from its first byte on, and one more for each
    `bytes_per_second` bytes of it; one of more than `message_mib` MiB is refused.
    """

    strangers: int = 64
    handshake_seconds: float = 5.0
    program_connections: int = 64
    message_seconds: float = 30.0
    bytes_per_second: int = 1 << 16
    message_mib: int = 4096


DEFAULT_LIMITS = Limits()
