"""Test-only stand-in for `capc`: the real party, which is killed or freezes when a step begins.

CAPC_TEST_AT is "<signal> <step> <phase>".
"""

from __future__ import annotations

import os
import signal
import sys

from capc.cli import main
from capc.parties.federation.records import OwnRecords


def progress(_records: OwnRecords, _query: int | None, step: str, phase: str) -> None:
    """Send this process the signal at its step."""
    name, *moment = os.environ["CAPC_TEST_AT"].split()
    if moment == [step, phase]:
        os.kill(os.getpid(), signal.Signals[name])


if __name__ == "__main__":
    OwnRecords.progress = progress  # type: ignore[assignment, method-assign]
    sys.exit(main(sys.argv[1:]))
