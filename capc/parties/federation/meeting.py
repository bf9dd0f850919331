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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

from capc.errors import ProtocolError
from capc.gc.programs import CircuitProgram
from capc.parties.federation.party_file import PartyFile
from capc.parties.federation.records import OwnRecords
from capc.parties.federation.terms import (
    NONCE_BYTES,
    Greeting,
    receive_run,
    run_of,
    send_refusal,
    send_run,
)
from capc.parties.messages import ProgramAddress
from capc.roles import GUARDIAN
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, MissingPeersError, Peer, connect, looked_up
from capc.transport.relay import Relay
from capc.transport.tls import Identity

logger = logging.getLogger(__name__)


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

    def listener(self) -> Listener:
        """At the port that the others were told."""
        return Listener(
            *(self._own.listen, self._own.port or 0),
            exactly=True,
            limits=self._own.limits,
            on_refusal=self._records.metrics.connection_refused,
        )

    def connect(self, peer: Peer) -> Channel:
        """A channel to a peer that may start later."""
        logger.info("connecting to %s", where(peer))
        channel = connect(
            self.identity, peer, self._timeout, until=self._deadline, limits=self._own.limits
        )
        channel.peer = where(peer)
        try:
            greeting = self._greeting
            greeting.send(channel)
            self._take_greeting(channel, peer.name)
            if peer.name == GUARDIAN:
                parties = set(self._own.federation.members)
                self._name(receive_run(channel, self._party, greeting, parties))
        except BaseException:
            channel.close()
            raise
        return channel

    def accept(self, listener: Listener, peers: Mapping[str, Peer]) -> dict[str, Channel]:
        """Channels from all peers; the guardian then names the run, or says why there is none."""
        certificates = {name: peer.certificate for name, peer in peers.items()}
        channels: Mapping[str, Channel] = {}
        logger.info("waiting for %s", ", ".join(where(peer) for peer in peers.values()))
        try:
            try:
                channels = listener.accept(
                    *(self.identity, certificates),
                    count=len(peers),
                    timeout_seconds=self._timeout,
                    until=self._deadline,
                )
            except MissingPeersError as error:
                channels = error.arrived
                missing = ", ".join(where(peers[name]) for name in error.missing)
                raise ProtocolError(
                    f"{missing} did not connect within {self._own.meet_seconds:g} seconds"
                ) from None
            self._meet(channels, peers)
        except BaseException as error:
            self._refuse(channels, error)
            raise
        return dict(channels)

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

    @cached_property
    def _deadline(self) -> float:
        return time.monotonic() + self._own.meet_seconds

    @property
    def _greeting(self) -> Greeting:
        terms = self._own.federation.terms
        return Greeting(terms, self._nonce, self._run.hex(), self._log_head)

    def _take_greeting(self, channel: Channel, name: str) -> Greeting:
        theirs = Greeting.receive(channel)
        self._greeting.require_same(theirs, self._party, channel.peer)
        self._records.met(name, theirs.log)
        return theirs

    def _meet(self, channels: Mapping[str, Channel], peers: Mapping[str, Peer]) -> None:
        nonces = {self._party: self._nonce}
        for name, channel in channels.items():
            channel.peer = where(peers[name])
            self._greeting.send(channel)
        for name, channel in channels.items():
            nonces[name] = self._take_greeting(channel, name).nonce
        if self._party == GUARDIAN:
            for channel in channels.values():
                send_run(channel, nonces)
            self._name(run_of(self._own.federation.terms, nonces))

    def _name(self, run: bytes) -> None:
        self._run = run
        self._records.named(run)

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
