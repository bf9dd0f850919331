"""What a driver has on a node of a cluster: it starts the node's agent, and ends it.

Its arguments and results may be seen by whoever sees the cluster: they are addresses and
certificates, and nothing else.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from capc.child_process import start_child
from capc.errors import ProgramError
from capc.files import socket_folder
from capc.harness.launchers.processes import party_environment

_AGENT = "capc.harness.launchers.node_agent"
_PREFIX = "capc-node-"


class NodeWorker:
    """A worker of one driver; under Ray an actor, whose methods run one after the other."""

    def __init__(self) -> None:
        self._agent: subprocess.Popen[bytes] | None = None
        self._held = ExitStack()

    def start(self, address: str, parties: int, certificates: Mapping[str, str]) -> dict[str, Any]:
        """Start the agent at an address of this node: its port, certificate and version.

        A process of its own: this one has threads, and cannot be forked. ProgramError where it
        does not start.
        """
        folder = self._held.enter_context(socket_folder(_PREFIX, "answering-000/control"))
        words = [f"--address={address}", f"--parties={parties}", f"--folder={folder}"]
        self._agent = agent = start_child(
            [sys.executable, "-m", _AGENT, *words],
            ends_by=signal.SIGTERM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,  # a folder named capc where this process is would be taken for the package
            env=party_environment(),
            start_new_session=True,
        )
        if agent.stdin is None or agent.stdout is None:
            raise RuntimeError("the agent was started without pipes")
        with agent.stdin, agent.stdout:
            agent.stdin.write(json.dumps(dict(certificates)).encode())
            agent.stdin.close()
            line = agent.stdout.readline()
        if not line:
            raise ProgramError(f"the agent ended at once, with status {self.join()}")
        announced: dict[str, Any] = json.loads(line)
        return announced

    def join(self) -> int | None:
        """Wait until the agent has ended, and with it all parties; its exit status.

        Nothing of them is left then, also where the agent was killed.
        """
        with self._held:
            return None if self._agent is None else self._agent.wait()
