"""How the parties of a federation meet: in any order, within a deadline, on equal terms.

Everybody connects to the guardian, which compares what each has agreed to and names the run; the
querying party then connects to each answering party. Every connection is TLS 1.3 between pinned
certificates, so that a stranger is told nothing at all.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from capc.errors import PeerGoneError, ProtocolError
from capc.gc.programs import CircuitProgram
from capc.parties.federation.late_comers import LateComers
from capc.parties.federation.party_file import PartyFile
from capc.parties.federation.records import OwnRecords
from capc.parties.federation.terms import (
    MOST_BYTES,
    NONCE_BYTES,
    Greeting,
    Named,
    receive_run,
    run_of,
    send_refusal,
    send_run,
    send_running,
)
from capc.parties.messages import ProgramAddress
from capc.roles import ANSWERING, GUARDIAN, role_of
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, MissingPeersError, connect, looked_up
from capc.transport.framing import MessageType
from capc.transport.lasting import LastingStream
from capc.transport.peer import Peer
from capc.transport.reception import Newcomers, Reception
from capc.transport.relay import Relay
from capc.transport.resumption import Awaiting, Redialling, Session
from capc.transport.tls import Identity

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # how often a party that waits for another looks whether the guardian is there


class FederatedMeeting:
    """One party's way to the others (`capc.parties.meeting.Meeting`).

    The deadline for all meetings runs from the first one on. A peer's name has its host in it, in
    every error of its connection.
    """

    def __init__(self, own: PartyFile, records: OwnRecords) -> None:
        self._own = own
        self._records = records
        self._party = own.config.party
        self._timeout = own.config.timeout_seconds
        self._nonce = secrets.token_hex(NONCE_BYTES)
        self._log_head = records.log.head
        self._run = b""
        self._present: frozenset[str] | None = None
        self._fewest = own.config.min_parties if own.config.may_lose_parties else None
        self._until: float | None = None
        self._guardian: Channel | None = None
        self._reception: Reception | None = None
        self._late_comers = LateComers(self._join)
        self._streams: list[LastingStream] = []

    @property
    def identity(self) -> Identity:
        """The key pair that the party keeps."""
        return self._own.identity

    @property
    def run(self) -> bytes:
        """What the guardian named; RuntimeError before."""
        if not self._run:
            raise RuntimeError("the run has no name yet")
        return self._run

    @property
    def has_run(self) -> bool:
        """Whether the guardian has named the run."""
        return bool(self._run)

    def is_there(self, name: str) -> bool:
        """Whether the party was there when the guardian named the run."""
        return self._present is None or name in self._present

    def listener(self) -> Listener:
        """At the port that the others were told."""
        return Listener(
            *(self._own.listen, self._own.port or 0),
            exactly=True,
            limits=self._own.limits,
            on_refusal=self._records.metrics.connection_refused,
        )

    def close(self) -> None:
        """What was sent on lasting connections arrives, or `reconnect_seconds` are over."""
        until = time.monotonic() + self._own.federation.reconnect_seconds
        for stream in self._streams:
            stream.wait_closed(until)
        if self._reception is not None:
            self._reception.close()
        self._late_comers.close()

    def connect(self, peer: Peer, seconds: float | None = None) -> Channel:
        """A channel to a peer that may start later; `seconds` in place of the common deadline."""
        logger.info("connecting to %s", where(peer))
        until = self._deadline if seconds is None else time.monotonic() + seconds
        channel = self._dialled(peer, self._timeout, until)
        try:
            greeting = self._greeting
            greeting.send(channel)
            self._take_greeting(channel, peer.name)
            if peer.name == GUARDIAN:
                parties = set(self._own.federation.members)
                named = receive_run(channel, self._party, greeting, parties, self._fewest)
                self._name(named)
            channel = self._lasting(channel, peer, dialled=True)
        except BaseException:
            channel.close()
            raise
        if peer.name == GUARDIAN:
            self._guardian = channel
        return channel

    def _dialled(self, peer: Peer, timeout_seconds: float, until: float) -> Channel:
        try:
            channel = connect(
                self.identity, peer, timeout_seconds, until=until, limits=self._own.limits
            )
        except ProtocolError as error:
            said = str(error).removeprefix(peer.name)
            raise ProtocolError(f"{where(peer)}{said}") from None
        channel.peer = where(peer)
        return channel

    def accept(self, listener: Listener, peers: Mapping[str, Peer]) -> dict[str, Channel]:
        """Channels from all peers; the guardian then names the run, or says why there is none."""
        certificates = {name: peer.certificate for name, peer in peers.items()}
        channels: Mapping[str, Channel] = {}
        logger.info("waiting for %s", ", ".join(where(peer) for peer in peers.values()))
        try:
            try:
                channels = self._arrivals(listener, certificates)
            except MissingPeersError as error:
                channels = error.arrived
                if self._can_spare(error.missing):
                    return self._met(listener, channels, peers)
                missing = ", ".join(where(peers[name]) for name in error.missing)
                raise ProtocolError(
                    f"{missing} did not connect within {self._own.meet_seconds:g} seconds"
                ) from None
            return self._met(listener, channels, peers)
        except BaseException as error:
            self._refuse(channels, error)
            raise

    def _arrivals(
        self, listener: Listener, certificates: Mapping[str, str]
    ) -> Mapping[str, Channel]:
        """All of them; MissingPeersError at the deadline, PeerGoneError where the guardian ends."""
        while True:
            # Who has a guardian waits for one peer alone: nobody is lost between two looks.
            soon = self._deadline if self._guardian is None else time.monotonic() + _LOOK_SECONDS
            try:
                return listener.accept(
                    *(self.identity, certificates),
                    count=len(certificates),
                    timeout_seconds=self._timeout,
                    until=min(self._deadline, soon),
                    most_hello_bytes=MOST_BYTES,
                )
            except MissingPeersError:
                if self._guardian is not None and self._guardian.has_ended:
                    raise PeerGoneError(f"{self._guardian.peer} closed the connection") from None
                if time.monotonic() >= self._deadline:
                    raise

    def late_comers(self) -> Mapping[str, Channel]:
        """At the guardian, where a query can do without some: who has come meanwhile."""
        return self._late_comers.take()

    @contextmanager
    def address(self, program: CircuitProgram) -> Iterator[ProgramAddress]:
        """A port of this machine before the program's own."""
        with Relay(
            *(self._own.listen, self._own.program_port, program.port),
            most=self._own.limits.program_connections,
            on_refusal=self._records.metrics.connection_refused,
        ) as relay:
            yield ProgramAddress(relay.port, program.key)

    def program_host(self, peer: Peer) -> str:
        """The peer's host, looked up."""
        return looked_up(peer.host, where(peer))

    @property
    def _deadline(self) -> float:
        """Of all meetings from the first on; and again of all that follow the name of the run."""
        if self._until is None:
            self._until = time.monotonic() + self._own.meet_seconds
        return self._until

    def _can_spare(self, missing: Sequence[str]) -> bool:
        """Whether a run can begin without these."""
        if self._fewest is None or any(role_of(name) != ANSWERING for name in missing):
            return False
        if self._own.federation.n_parties - len(missing) < self._fewest:
            return False
        logger.warning("beginning without %s", ", ".join(missing))
        return True

    @property
    def _greeting(self) -> Greeting:
        terms = self._own.federation.terms
        return Greeting(terms, self._nonce, self._run.hex(), self._log_head)

    def _take_greeting(self, channel: Channel, name: str) -> Greeting:
        theirs = Greeting.receive(channel)
        self._greeting.require_same(theirs, self._party, channel.peer)
        self._records.met(name, theirs.log)
        return theirs

    def _met(
        self, listener: Listener, channels: Mapping[str, Channel], peers: Mapping[str, Peer]
    ) -> dict[str, Channel]:
        """Once all have said the same, the run begins."""
        nonces = {self._party: self._nonce}
        for name, channel in channels.items():
            channel.peer = where(peers[name])
            self._greeting.send(channel)
        for name, channel in channels.items():
            nonces[name] = self._take_greeting(channel, name).nonce
        if self._party == GUARDIAN:
            for channel in channels.values():
                send_run(channel, nonces)
            run = run_of(self._own.federation.terms, nonces)
            self._name(Named(run, frozenset(nonces)))
        self._receive(listener, peers)
        return {
            name: self._lasting(channel, peers[name], dialled=False)
            for name, channel in channels.items()
        }

    def _join(self, channel: Channel) -> Channel:
        """A late comer: terms as with everybody; then the name of the run that it may join.

        ProtocolError where the terms differ.
        """
        peer = self._own.federation.members[channel.party]
        channel.peer = where(peer)
        greeting = replace(self._greeting, run="")
        greeting.send(channel)
        theirs = Greeting.receive(channel)
        greeting.require_same(theirs, self._party, channel.peer)
        self._records.met(peer.name, theirs.log)
        send_running(channel, self._run)
        return self._lasting(channel, peer, dialled=False)

    def _lasting(self, channel: Channel, peer: Peer, *, dialled: bool) -> Channel:
        """The same channel over a connection that outlives cuts, where that was agreed."""
        seconds = self._own.federation.reconnect_seconds
        if not seconds:
            return channel
        limits = self._own.limits
        session = Session.begun(channel, dialled=dialled)
        awaiting = None if dialled else Awaiting(session, limits.handshake_seconds)
        stream = LastingStream(
            channel.detach(),
            awaiting or self._redialling(session, peer),
            peer=channel.peer,
            reconnect_seconds=seconds,
            on_mend=lambda took: self._records.mended(peer.name, took),
        )
        self._streams.append(stream)
        if awaiting is not None and self._reception is not None:
            awaiting.wake = stream.wake
            self._reception.expect(peer.name, awaiting)
        lasting = Channel(stream, channel.party, channel.traffic, limits)
        lasting.peer = channel.peer
        # Who listens is done once the other can go on, too: no cut finds one of them alone.
        if dialled:
            lasting.send(MessageType.LASTING, b"")
        else:
            lasting.recv(MessageType.LASTING, 0)
        return lasting

    def _redialling(self, session: Session, peer: Peer) -> Redialling:
        return Redialling(
            session,
            lambda seconds, until: self._dialled(peer, seconds, until),
            self._own.limits.handshake_seconds,
        )

    def _receive(self, listener: Listener, peers: Mapping[str, Peer]) -> None:
        """From here on peers whose connections are cut, and late comers, are taken."""
        certificates = {name: peer.certificate for name, peer in peers.items()}
        newcomers = None
        if self._fewest is not None and self._party == GUARDIAN:
            newcomers = Newcomers(self._late_comers.let_in, MOST_BYTES)
        if newcomers is not None or self._own.federation.reconnect_seconds:
            self._reception = Reception(listener, self.identity, certificates, newcomers)

    def _name(self, named: Named) -> None:
        self._run, self._present, self._until = named.run, named.present, None
        self._records.named(named.run)

    def _refuse(self, channels: Mapping[str, Channel], error: BaseException) -> None:
        """The guardian tells who is there what it has found; then all connections end."""
        for channel in channels.values():
            if self._party == GUARDIAN and not self._run and isinstance(error, ProtocolError):
                with contextlib.suppress(ProtocolError):
                    send_refusal(channel, str(error))
            channel.close()


def where(peer: Peer) -> str:
    """A party by name and host, as errors call it."""
    return (
        f"{peer.name} ({peer.host})"
        if peer.port is None
        else f"{peer.name} ({peer.host}:{peer.port})"
    )
