"""Part of `make federation-check`: a line that drops everything without a word, for three seconds.

Neither side is told by its system that the connection is broken: what is under way is not
confirmed, or an idle peer does not answer.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

import pytest
from lasting_pair import CLIENT, SERVER, lasting_pair

from capc.bench.emulated_hosts import Host, Link, hosts, why_not
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, connect
from capc.transport.framing import MessageType
from capc.transport.peer import Peer

RECONNECT_SECONDS, SILENT_SECONDS = 2.0, 3.0


def switch(host: Host, state: str) -> None:
    """The host's device, up or down."""
    listed = subprocess.run(
        ["ip", "-n", host.namespace, "-o", "link"], check=True, capture_output=True, text=True
    )
    names = [line.split()[1].partition(":")[0] for line in listed.stdout.splitlines()]
    (device,) = [name for name in names if name != "lo"]
    subprocess.run(["ip", "-n", host.namespace, "link", "set", device, state], check=True)


@pytest.mark.parametrize("busy", [True, False], ids=["under way", "idle"])
def test_a_silent_line_is_noticed_and_mended(busy: bool) -> None:
    """What was sent into the silence arrives, and so does what is sent after it."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    mended: list[float] = []
    with ExitStack() as ending:
        ours, theirs = ending.enter_context(hosts(2, Link(0.02)))
        with theirs.entered():
            listener = Listener(theirs.address)
        ending.callback(listener.close)
        peer = Peer("answering-0", theirs.address, listener.port, SERVER.certificate)

        def dial(seconds: float, until: float) -> Channel:
            with ours.entered():
                return connect(CLIENT, peer, seconds, until=until)

        pair = ending.enter_context(lasting_pair(listener, dial, RECONNECT_SECONDS, mended.append))
        near, other = pair.client, pair.server
        near.send(MessageType.QUERY, b"before")
        assert other.recv(MessageType.QUERY, 100) == b"before"
        switch(theirs, "down")
        if busy:
            near.send(MessageType.QUERY, b"into the silence")
            other.send(MessageType.QUERY, b"and back")
        time.sleep(SILENT_SECONDS)
        switch(theirs, "up")
        if busy:
            assert other.recv(MessageType.QUERY, 100) == b"into the silence"
            assert near.recv(MessageType.QUERY, 100) == b"and back"
        near.send(MessageType.QUERY, b"after")
        assert other.recv(MessageType.QUERY, 100) == b"after"
    assert mended, "the system itself did not bring the bytes on the old connection"
