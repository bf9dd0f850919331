"""A party as its supervisor knows it, and which of them a deadline has passed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from capc.errors import ProtocolError
from capc.harness.deadlines import Deadlines
from capc.harness.launchers.processes import PartySpec, Process, last_lines
from capc.roles import QUERYING
from capc.transport.control import ControlConnection
from capc.transport.control_messages import CONTROL_VERSION, Hello, Message
from capc.transport.peer import Peer

_TAIL_LINES = 15


@dataclass(eq=False)
class SupervisedParty:
    """What has been heard of one party, and how it can be reached."""

    spec: PartySpec
    process: Process | None = None
    connection: ControlConnection | None = None
    peer: Peer | None = None
    ready: bool = False
    done: bool = False
    complained: bool = False
    lost: bool = False  # its control channel closed before it was done
    exit_status: int | None = None

    @property
    def name(self) -> str:
        """The party's name in the run."""
        return self.spec.name

    def last_words(self) -> list[str]:
        """The end of its log, and what else its pane shows."""
        lines = last_lines(self.spec.log_file, _TAIL_LINES)
        shown = self.process.screen() if self.process is not None else []
        return lines + [line for line in shown[-_TAIL_LINES:] if line not in lines]


def introduced(parties: Mapping[str, SupervisedParty], message: Message | None) -> SupervisedParty:
    """Which party a first message is of; ProtocolError where it is of none that is expected."""
    if not isinstance(message, Hello):
        raise ProtocolError("the first message is not hello")
    if message.version != CONTROL_VERSION:
        raise ProtocolError(f"its version is {message.version}, not {CONTROL_VERSION}")
    party = parties.get(message.party)
    if party is None or party.connection is not None:
        raise ProtocolError(f"{message.party} is not expected, or already there")
    return party


def overdue(parties: Collection[SupervisedParty], deadlines: Deadlines) -> tuple[str, str]:
    """Which party a deadline has passed, and what it did not do in time."""
    lost = [party.name for party in parties if party.lost]
    if lost:
        return lost[0], "it closed its control channel but did not end"
    limit = "--timeout allows more"
    for doing, late in (
        ("report to the driver", [party.name for party in parties if not party.connection]),
        ("announce where it listens", [party.name for party in parties if not party.peer]),
        ("become ready", [party.name for party in parties if not party.ready]),
    ):
        if late:
            names = ", ".join(late[:5]) + (" and others" if len(late) > 5 else "")
            seconds = f"within {deadlines.setup_seconds:g} seconds"
            return late[0], f"{names} did not {doing} {seconds} ({limit})"
    return QUERYING, f"no party ended a step for {deadlines.query_seconds:g} seconds ({limit})"
