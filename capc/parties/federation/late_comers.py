"""Answering parties that come to the guardian while a run goes on: a query can do without some."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from capc.errors import CapcError, ProtocolError
from capc.roles import ANSWERING, role_of
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, MissingPeersError, Peer
from capc.transport.limits import DEFAULT_LIMITS
from capc.transport.tls import Identity

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # how often it is looked whether the run is over


class Host(Protocol):
    """Who greets them."""

    @property
    def identity(self) -> Identity:
        """The guardian's."""

    def greet_late(self, channel: Channel, peer: Peer) -> None:
        """ProtocolError where the party cannot join."""


class LateComers:
    """Lets them in in a thread of its own; the guardian takes them between two batches."""

    def __init__(self, host: Host, listener: Listener, peers: Mapping[str, Peer]) -> None:
        self._host = host
        self._listener = listener
        self._peers = {n: peer for n, peer in peers.items() if role_of(n) == ANSWERING}
        self._lock = threading.Lock()
        self._come: dict[str, Channel] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._let_in, name="late", daemon=True)
        self._thread.start()

    def take(self) -> dict[str, Channel]:
        """Those that have come since the last time, by name."""
        with self._lock:
            come, self._come = self._come, {}
        return come

    def close(self) -> None:
        """Let nobody in any more."""
        self._over.set()
        self._thread.join()
        for channel in self.take().values():
            channel.close()

    def _let_in(self) -> None:
        certificates = {name: peer.certificate for name, peer in self._peers.items()}
        while not self._over.is_set():
            try:
                arrived = self._listener.accept(
                    *(self._host.identity, certificates),
                    count=1,
                    timeout_seconds=DEFAULT_LIMITS.handshake_seconds,
                    until=time.monotonic() + _LOOK_SECONDS,
                )
            except MissingPeersError:
                continue
            except CapcError as error:
                logger.warning("nobody can join any more: %s", error)
                return
            for name, channel in arrived.items():
                self._greet(name, channel)

    def _greet(self, name: str, channel: Channel) -> None:
        try:
            self._host.greet_late(channel, self._peers[name])
        except ProtocolError as error:
            logger.warning("%s cannot join: %s", name, error)
            channel.close()
            return
        with self._lock:
            older, self._come[name] = self._come.get(name), channel
        if older is not None:
            older.close()
