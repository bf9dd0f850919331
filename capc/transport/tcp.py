"""What the system knows of a TCP connection, and what it can be asked to do for one."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import sys
import termios

_PROBES = 3


def notice_silence(connection: socket.socket, seconds: float) -> None:
    """Have the system end a connection whose peer has confirmed nothing for so long.

    It asks an idle peer too, several times in that while: no router forgets the connection.
    """
    with contextlib.suppress(OSError):  # a socket of another kind, in tests
        probe = max(1, int(seconds / (_PROBES + 1)))
        ask_when_idle(connection, probe)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(1000 * seconds))
        )


def ask_when_idle(connection: socket.socket, seconds: int) -> None:
    """Have the system ask an idle peer so often whether it is there."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)


def unconfirmed_bytes(connection: socket.socket) -> int:
    """What the system holds of a TCP connection to be sent, or sent again; 0 once it is closed."""
    held = bytearray(4)
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(connection, termios.TIOCOUTQ, held)
    return int.from_bytes(held, sys.byteorder)
