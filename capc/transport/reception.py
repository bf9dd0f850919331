"""At a party's port while a run goes on: peers whose connections were cut, and those that are late.

A thread of its own takes connections, whoever waits for whom in the run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from capc.errors import CapcError, ProtocolError
from capc.transport.channel import Channel
from capc.transport.endpoints import Arrival, Listener
from capc.transport.framing import MessageType
from capc.transport.handshakes import Doorway
from capc.transport.limits import DEFAULT_LIMITS
from capc.transport.resumption import RESUME_BYTES, Awaiting, name_in
from capc.transport.tls import Identity

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1  # how often it is looked whether the run is over


@dataclass(frozen=True)
class Newcomers:
    """Who may begin a session while the run goes on.

    `greet` owns the channel, whose first message is a HELLO of at most `most_bytes`. It runs in a
    thread of its own.
    """

    greet: Callable[[Channel], None]
    most_bytes: int


class Reception:
    """Takes connections of the pinned `peers` (party name -> certificate) until `close`.

    One that begins with RESUME is offered to the session that it names, if that is with the peer
    whose certificate it shows. One that begins with HELLO goes to `newcomers`, if there are any.
    """

    def __init__(
        self,
        listener: Listener,
        identity: Identity,
        peers: Mapping[str, str],
        newcomers: Newcomers | None = None,
    ) -> None:
        self._listener = listener
        self._identity = identity
        self._peers = peers
        self._newcomers = newcomers
        self._lock = threading.Lock()
        self._awaiting: dict[bytes, tuple[str, Awaiting]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._take, name="reception", daemon=True)
        self._thread.start()

    def expect(self, party: str, awaiting: Awaiting) -> None:
        """From here on the peer may go on with this session on another connection.

        Its earlier sessions are over: a party has one with each peer.
        """
        with self._lock:
            old = [name for name, (other, _) in self._awaiting.items() if other == party]
            for name in old:
                self._awaiting.pop(name)[1].close()
            self._awaiting[awaiting.session.name] = (party, awaiting)

    def close(self) -> None:
        """Take nobody any more."""
        self._over.set()
        self._thread.join()
        with self._lock:
            for _, awaiting in self._awaiting.values():
                awaiting.close()

    def _take(self) -> None:
        kinds = {MessageType.RESUME: RESUME_BYTES}
        if self._newcomers is not None:
            kinds[MessageType.HELLO] = self._newcomers.most_bytes
        try:
            with self._listener.arrivals(
                *(self._identity, self._peers, kinds),
                timeout_seconds=DEFAULT_LIMITS.handshake_seconds,
            ) as doorway:
                while not self._over.is_set():
                    arrival = doorway.next(time.monotonic() + _LOOK_SECONDS)
                    if arrival is None:
                        continue
                    if arrival.kind is MessageType.RESUME:
                        self._resume(doorway, arrival)
                    elif self._newcomers is not None:
                        threading.Thread(
                            target=self._newcomers.greet,
                            args=(arrival.channel,),
                            name="late",
                            daemon=True,
                        ).start()
        except CapcError as error:
            logger.warning("nobody can connect any more: %s", error)

    def _resume(self, doorway: Doorway[Arrival], arrival: Arrival) -> None:
        party = arrival.channel.party
        try:
            with self._lock:
                owner, awaiting = self._awaiting.get(name_in(arrival.payload), ("", None))
            if awaiting is None or owner != party:
                raise ProtocolError(f"{party} has no such session here")
            awaiting.offer(arrival.channel.detach(), arrival.payload)
        except ProtocolError as error:
            arrival.channel.close()
            doorway.refuse(str(error))
