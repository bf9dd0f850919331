"""Test-only stand-in for `capc`: the real party, to which something happens when a step begins.

CAPC_TEST_AT is "<signal> <step> <phase>": it is killed or freezes. Or "<port> <step> <phase>": who
listens at that port of this machine is told, and has hung up when the step goes on.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from capc.cli import main
from capc.parties.federation.records import OwnRecords


def progress(_records: OwnRecords, _query: int | None, step: str, phase: str) -> None:
    """Let it happen at its step."""
    what, *moment = os.environ["CAPC_TEST_AT"].split()
    if moment != [step, phase]:
        return
    if not what.isdecimal():
        os.kill(os.getpid(), signal.Signals[what])
        return
    with socket.create_connection(("127.0.0.1", int(what))) as told:
        told.recv(1)


if __name__ == "__main__":
    OwnRecords.progress = progress  # type: ignore[assignment, method-assign]
    sys.exit(main(sys.argv[1:]))
