"""A party that does nothing but say what a real one says, through the runtime of real ones.

CAPC_FAKE as for fake_party: a party that is to "hang" does so in its first query, until it is
ended; one that is to be "wrong" fails there.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from capc.cards.words import STEPS_OF
from capc.errors import ProtocolError
from capc.parties.runtime import Runtime, run_party
from capc.roles import GUARDIAN, QUERYING, role_of
from capc.transport.channel import Traffic

ONLINE_ONLY = {QUERYING: ("1b", "2"), "answering": ("1b", "2"), GUARDIAN: ()}


def take_part(runtime: Runtime) -> None:
    """Every step of the role, without any work; the querying party learns the label 1."""
    control, config = runtime.control, runtime.config
    role = role_of(config.party)
    control.announce("127.0.0.1", None if role == QUERYING else 40000, config.party)
    control.wait_for_peers(config.timeout_seconds)
    with runtime.timed(None, STEPS_OF[role][0], "setup", Traffic):
        pass
    control.ready()
    behaviour = json.loads(os.environ.get("CAPC_FAKE", "{}")).get(config.party)
    for query in range(config.n_queries):
        for step in STEPS_OF[role]:
            if step not in ONLINE_ONLY[role]:
                with runtime.timed(query, step, "offline", Traffic):
                    pass
        if behaviour == "wrong":
            raise ProtocolError("a peer sent 12 bytes in place of 123456")
        for step in STEPS_OF[role]:
            with runtime.timed(query, step, "online", Traffic):
                if behaviour == "hang":
                    threading.Event().wait()
        if role == QUERYING:
            control.answer(query, True, 1)
        elif role == GUARDIAN:
            control.spent(query, 1.5 * (query + 1), 1e-5, "improved", True)


def main() -> int:
    """The party of the config file."""
    config = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    return run_party(role_of(config["party"]), "A party of the tests.", take_part, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
