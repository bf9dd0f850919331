"""How a party meets its peers and whom it tells what it does: two ways of each.

In a run of `capc run` a driver introduces the parties, which are processes of one machine, and is
told all that the experimenter may see. Parties on machines of their own have no driver: they know
each other from a file, and keep their own records (`capc.parties.federation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from capc.gc.programs import CircuitProgram
from capc.parties.messages import ProgramAddress
from capc.transport.channel import Channel
from capc.transport.endpoints import LOOPBACK, Listener, connect, looked_up
from capc.transport.peer import Peer
from capc.transport.relay import Relay
from capc.transport.tls import Identity


class Control(Protocol):
    """What a party says of its run; nothing secret, except under --verify, which opens shares."""

    def announce(self, host: str, port: int | None, certificate: str) -> None:
        """Where this party listens (port None: nowhere) and its certificate, PEM."""

    def wait_for_peers(self, timeout_seconds: float) -> Mapping[str, Peer]:
        """Every party of the run by name."""

    def plan(self, ring_bits: int, fraction_bits: int) -> None:
        """The public ring of this party's model, both in bits."""

    def ready(self) -> None:
        """Set-up is over."""

    def hold(self, query: int | None, step: str, phase: str) -> None:
        """Under --step: return when the driver lets this step begin."""

    def progress(self, query: int | None, step: str, phase: str) -> None:
        """A step begins; `query` None for set-up."""

    def timing(
        self,
        query: int | None,
        step: str,
        phase: str,
        seconds: float,
        *,
        bytes_sent: int = 0,
        bytes_received: int = 0,
        rounds: int = 0,
        count: int = 1,
    ) -> None:
        """A step is over, of `count` queries from `query` on."""

    def answer(
        self, query: int, answered: bool, label: int | None, voters: Sequence[str] | None = None
    ) -> None:
        """What the querying party learned, by the votes of these parties (None: of all)."""

    def spent(
        self, query: int, epsilon: float, delta: float, conversion: str, answered: bool
    ) -> None:
        """What the guardian's account has spent after a query."""

    def first_query(self, queries: bytes, count: int) -> int:
        """With which of the `count` queries, whose content is `queries`, the run begins.

        All that an earlier run has brought are left out.
        """

    def refused(self, query: int, reason: str) -> None:
        """From this query on the budget would be exceeded."""

    def left_out(self, peer: str, reason: str) -> None:
        """Queries go on without this answering party."""

    def opened(self, query: int, name: str, values: Sequence[int], peer: str | None = None) -> None:
        """Under --verify alone: shares or noise."""

    def stopping(self) -> bool:
        """Asked between two queries: whether the party's owner wants it to end here."""

    def error(self, message: str, *, of_a_peer: bool = False, waits_for: str | None = None) -> None:
        """Why this party is about to fail; `waits_for`: the peer that sent nothing in time."""

    def done(self) -> None:
        """The party has done its part."""

    def close(self) -> None:
        """Nothing more is said."""


class Meeting(Protocol):
    """How the connections of one run come about.

    `run` tells this run from every other that has the same key pairs; empty where those are of this
    run alone.
    """

    @property
    def identity(self) -> Identity:
        """Who this party is on the network."""

    @property
    def run(self) -> bytes:
        """Known once the guardian is met."""

    def is_there(self, name: str) -> bool:
        """Whether the run begins with this party."""

    def listener(self) -> Listener:
        """Where the party's peers connect."""

    def close(self) -> None:
        """Once all channels are closed: what they have sent arrives, or a deadline passes."""

    def connect(self, peer: Peer, seconds: float | None = None) -> Channel:
        """A channel to a peer, which agrees with this party on the run.

        `seconds`: how long it may take, by default as long as all meetings.
        """

    def accept(self, listener: Listener, peers: Mapping[str, Peer]) -> dict[str, Channel]:
        """Channels from all these peers, which agree with this party on the run."""

    def late_comers(self) -> Mapping[str, Channel]:
        """At the guardian: the answering parties that have come since the last call."""

    def address(self, program: CircuitProgram) -> AbstractContextManager[ProgramAddress]:
        """Where a peer's circuit program reaches the garbler's, while the block lasts."""

    def program_host(self, peer: Peer) -> str:
        """The IPv4 address at which that peer's circuit program is reached."""


@dataclass(frozen=True)
class LocalMeeting:
    """Parties that a driver introduces: their key pairs are of this run alone.

    `port` is the first one to try, 0 any; `timeout_seconds` bounds every wait for a peer. They are
    processes of one machine, unless `listen` is another address than that of loopback.
    """

    identity: Identity
    port: int
    timeout_seconds: float
    listen: str = LOOPBACK
    run: bytes = b""

    def is_there(self, name: str) -> bool:
        """A run begins with all."""
        return True

    def listener(self) -> Listener:
        """At the first free port."""
        return Listener(self.listen, self.port)

    def connect(self, peer: Peer, seconds: float | None = None) -> Channel:
        """The driver names a peer once it listens."""
        return connect(self.identity, peer, self.timeout_seconds)

    def accept(self, listener: Listener, peers: Mapping[str, Peer]) -> dict[str, Channel]:
        """The driver has told all parties the same."""
        return listener.accept(
            self.identity,
            {name: peer.certificate for name, peer in peers.items()},
            count=len(peers),
            timeout_seconds=self.timeout_seconds,
        )

    def late_comers(self) -> Mapping[str, Channel]:
        """Nobody: a party that the driver has ended does not come back."""
        return {}

    @contextmanager
    def address(self, program: CircuitProgram) -> Iterator[ProgramAddress]:
        """The program's own port on loopback, or one before it that other machines reach."""
        if self.listen == LOOPBACK:
            yield ProgramAddress(program.port, program.key)
            return
        with Relay(self.listen, 0, program.port) as relay:
            yield ProgramAddress(relay.port, program.key)

    def close(self) -> None:
        """Nothing to wait for: a connection that is cut ends the run."""

    def program_host(self, peer: Peer) -> str:
        """As the driver was told it, looked up."""
        return looked_up(peer.host, peer.name)
