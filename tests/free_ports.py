"""Ports for processes that tests start, which are told their port in advance."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from pathlib import Path

_LOWEST_PORT = 10_000


def free_ports(count: int) -> list[int]:
    """Ports of which each next one is free too, below those that the system gives to callers.

    A port that is let go here is not given to another process before its party listens there.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = _LOWEST_PORT + secrets.randbelow(first_given - 1 - _LOWEST_PORT)
            try:
                for one in (port, port + 1):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", one))
            except OSError:
                continue
            found.append(port)
    return found
