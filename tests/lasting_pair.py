"""Two parties with a connection that outlives cuts, for tests of what cuts it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from capc.transport.channel import Channel
from capc.transport.endpoints import Listener
from capc.transport.lasting import LastingStream
from capc.transport.reception import Reception
from capc.transport.resumption import Awaiting, Redialling, Session
from capc.transport.tls import Identity

CLIENT, SERVER = Identity.create("querying"), Identity.create("answering-0")
_TRY_SECONDS = 5


@dataclass(frozen=True)
class Pair:
    """Both parties' channels, and what is beside them."""

    reception: Reception
    session: Session
    client: Channel
    server: Channel
    streams: tuple[LastingStream, LastingStream]


@contextmanager
def lasting_pair(
    listener: Listener,
    dial: Callable[[float, float], Channel],
    reconnect_seconds: float,
    on_mend: Callable[[float], None] = lambda _seconds: None,
) -> Iterator[Pair]:
    """SERVER listens; CLIENT connects by `dial`, as `Redialling` does, and is told of mends."""
    pinned = {"querying": CLIENT.certificate}
    accepted: list[Channel] = []
    sessions: list[Session] = []

    def accept() -> None:
        channel = listener.accept(SERVER, pinned, count=1, timeout_seconds=10)["querying"]
        sessions.append(Session.begun(channel, dialled=False))
        accepted.append(channel)

    server_side = threading.Thread(target=accept)
    server_side.start()
    channel = dial(10, time.monotonic() + 10)
    session = Session.begun(channel, dialled=True)
    server_side.join(10)
    assert sessions == [session], "the same key on both sides"
    reception = Reception(listener, SERVER, pinned)
    awaiting = Awaiting(sessions[0], _TRY_SECONDS)
    client = LastingStream(
        channel.detach(),
        Redialling(session, dial, _TRY_SECONDS),
        peer="answering-0",
        reconnect_seconds=reconnect_seconds,
        on_mend=on_mend,
    )
    server = LastingStream(
        accepted[0].detach(), awaiting, peer="querying", reconnect_seconds=reconnect_seconds
    )
    awaiting.wake = server.wake
    reception.expect("querying", awaiting)
    with Channel(client, "answering-0") as ours, Channel(server, "querying") as theirs:
        yield Pair(reception, session, ours, theirs, (client, server))
    until = time.monotonic() + reconnect_seconds
    for stream in (client, server):
        stream.wait_closed(until)
    reception.close()
