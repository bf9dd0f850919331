"""Test-only stand-in for a program: the real party, killed when it begins a given step.

CAPC_TEST_DIE is "<party> <step> <phase>", and the number of the query where it is not the first.
CAPC_TEST_SIGNAL names another signal than SIGKILL: SIGSTOP freezes the party.
"""

from __future__ import annotations

import os
import signal
import sys

from capc.parties import answering_party, privacy_guardian, querying_party
from capc.transport.control import ControlClient

MODULES = {
    "querying": querying_party,
    "answering": answering_party,
    "guardian": privacy_guardian,
}
original = ControlClient.progress


def progress(client: ControlClient, query: int | None, step: str, phase: str) -> None:
    """Report the step as the party does, unless it is the one to die at."""
    moment = [client.party, step, phase, str(query)]
    if os.environ["CAPC_TEST_DIE"].split() in (moment, moment[:3]):
        os.kill(os.getpid(), signal.Signals[os.environ.get("CAPC_TEST_SIGNAL", "SIGKILL")])
    original(client, query, step, phase)


def main(role: str) -> int:
    """Run the real party of this role with the hook in place; its exit status."""
    ControlClient.progress = progress  # type: ignore[assignment, method-assign]
    status: int = MODULES[role].main(sys.argv[1:])
    return status
