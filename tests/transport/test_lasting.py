"""Connections that are cut anywhere: each byte arrives once, in order, or the end in time."""

from __future__ import annotations

import hashlib
import random
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cutting import HOST, TO_CALLER, TO_TARGET, Cutting
from lasting_pair import CLIENT, SERVER, Pair, lasting_pair

from capc.errors import PeerGoneError, ProtocolError, SilentPeerError
from capc.transport import lasting
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, connect
from capc.transport.framing import MessageType
from capc.transport.peer import Peer
from capc.transport.resumption import Awaiting, Session
from capc.transport.tls import Identity

RECONNECT_SECONDS = 3.0


@dataclass(frozen=True)
class Ends(Pair):
    """What is between them, too."""

    relay: Cutting
    peer: Peer

    def dial(self, identity: Identity = CLIENT) -> Channel:
        """Another connection."""
        return connect(identity, self.peer, 5)


@contextmanager
def ends(
    *cuts: tuple[int, int], down_seconds: float = 0.0, reconnect_seconds: float = RECONNECT_SECONDS
) -> Iterator[Ends]:
    """Two parties, with a network between them that is cut."""
    listener = Listener(HOST)
    with Cutting(listener.port, cuts, down_seconds) as relay:
        peer = Peer("answering-0", HOST, relay.port, SERVER.certificate)

        def dial(seconds: float, until: float) -> Channel:
            return connect(CLIENT, peer, seconds, until=until)

        with lasting_pair(listener, dial, reconnect_seconds) as pair:
            yield Ends(**vars(pair), relay=relay, peer=peer)
        listener.close()


def talk(made: Ends, seed: int, messages: int = 12, most: int = 300_000) -> None:
    """Both sides send messages of any length in turn; each has to arrive as it was sent."""
    draw = random.Random(seed)
    sent = [draw.randbytes(draw.randrange(most)) for _ in range(messages)]

    def answer() -> None:
        for _ in sent:
            payload = made.server.recv(MessageType.CIRCUIT, most)
            made.server.send(MessageType.CIPHERTEXT, hashlib.sha256(payload).digest() + payload)

    answering = threading.Thread(target=answer)
    answering.start()
    for payload in sent:
        made.client.send(MessageType.CIRCUIT, payload)
        said = made.client.recv(MessageType.CIPHERTEXT, most + 32)
        assert bytes(said) == hashlib.sha256(payload).digest() + payload
    answering.join(10)
    assert not answering.is_alive()


@pytest.mark.parametrize("seed", range(3))
def test_messages_arrive_once_and_in_order_however_often_it_is_cut(seed: int) -> None:
    draw = random.Random(seed)
    # The first few thousand bytes of a connection are those of its handshake.
    cuts = [(draw.randrange(2), draw.randrange(3_000, 400_000)) for _ in range(6)]
    with ends(*[(TO_TARGET, 500_000), *cuts]) as made:
        talk(made, seed)
        assert made.relay.made_cuts >= 3


def test_a_cut_is_mended_while_both_users_do_something_else() -> None:
    """What was sent arrives though its sender waits for a third party, and touches it no more."""
    with ends() as made:
        made.relay.cut()
        made.client.send(MessageType.QUERY, b"sent into a broken connection")
        assert made.server.recv(MessageType.QUERY, 100) == b"sent into a broken connection"
        made.relay.cut()
        made.server.send(MessageType.CIRCUIT, b"and back")
        assert made.client.recv(MessageType.CIRCUIT, 100) == b"and back"


def test_an_end_arrives_over_a_cut_too() -> None:
    with ends(down_seconds=0.3) as made:
        made.relay.cut()
        made.client.send(MessageType.QUERY, b"the last word")
        made.client.close()
        assert made.server.recv(MessageType.QUERY, 100) == b"the last word"
        with pytest.raises(PeerGoneError, match="closed"):
            made.server.recv(MessageType.QUERY, 100)


def test_a_cut_that_lasts_longer_ends_it_with_the_peers_name() -> None:
    with ends(down_seconds=60, reconnect_seconds=0.5) as made:
        made.relay.cut()
        began = time.monotonic()
        for channel, name in ((made.client, "answering-0"), (made.server, "querying")):
            with pytest.raises(PeerGoneError, match=f"^{name} is gone .*not mended within 0.5"):
                channel.recv(MessageType.QUERY, 100)
        assert time.monotonic() - began < 3


def test_a_wait_is_not_longer_because_of_a_cut() -> None:
    with ends(down_seconds=60, reconnect_seconds=1) as made:
        made.relay.cut()
        made.client.wait_at_most(0.2)
        began = time.monotonic()
        with pytest.raises(SilentPeerError, match="answering-0 sent nothing in time"):
            made.client.recv(MessageType.QUERY, 100)
        assert time.monotonic() - began < 0.8


def test_a_peer_that_reads_nothing_holds_the_sender_up_at_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lasting, "WINDOW_BYTES", 1 << 16)
    with ends() as made:
        sender, rest = made.streams[0], memoryview(bytes(1 << 20))
        sender.settimeout(0.1)
        with pytest.raises(TimeoutError):
            while rest:
                rest = rest[sender.send(rest) :]
        assert len(made.streams[0]._kept) <= 1 << 16
        assert len(made.streams[1]._inbox) <= 1 << 16


def test_what_was_acknowledged_is_kept_no_longer() -> None:
    with ends() as made:
        for _ in range(8):
            made.client.send(MessageType.CIRCUIT, bytes(1 << 20))
            made.server.recv(MessageType.CIRCUIT, 1 << 20)
        made.server.send(MessageType.QUERY, b"read so far")
        made.client.recv(MessageType.QUERY, 100)
        assert len(made.streams[0]._kept) <= 2 << 20


def resumed(made: Ends, message: bytes, identity: Identity = CLIENT) -> bool:
    """Whether a connection that begins with this is answered."""
    with made.dial(identity) as channel:
        try:
            channel.send(MessageType.RESUME, message)
            channel.recv(MessageType.RESUME, 1 << 10)
        except ProtocolError:
            return False
        return True


def test_nobody_takes_over_without_the_key_or_with_an_old_attempt() -> None:
    """Not even with the pinned certificate: a party that was started again has another session."""
    with ends() as made:
        other = Session(bytes(32))
        named = made.session.name + other.ask(1, 0)[16:]
        assert not resumed(made, other.ask(1, 0)), "another session"
        assert not resumed(made, named), "its name, and not its key"
        changed = bytearray(made.session.ask(1, 0))
        changed[24] ^= 1
        assert not resumed(made, bytes(changed)), "another number of bytes"
        assert not resumed(made, made.session.answer(1, 0)), "the other side's words"
        talk(made, 1, messages=2)
        assert made.relay.connections == 5, "none of them has disturbed the connection"
        made.relay.cut()
        talk(made, 2, messages=2)
        assert not resumed(made, made.session.ask(1, 0)), "an attempt that is over"
        talk(made, 3, messages=2)


def test_a_stranger_and_another_party_are_refused() -> None:
    with ends() as made:
        assert not resumed(made, made.session.ask(1, 0), Identity.create("querying"))
        made.reception.expect("guardian", Awaiting(other := Session(bytes(32)), 5))
        assert not resumed(made, other.ask(1, 0)), "the session of another party"
        talk(made, 4, messages=2)


@pytest.mark.parametrize("received", [1, 1 << 40])
def test_a_peer_cannot_ask_for_bytes_that_it_has_or_that_there_never_were(received: int) -> None:
    """A sender goes neither back behind what was acknowledged, nor ahead."""
    with ends(reconnect_seconds=0.3) as made:
        for _ in range(2):
            made.server.send(MessageType.CIRCUIT, bytes(3 << 19))
            made.client.recv(MessageType.CIRCUIT, 1 << 21)
        made.client.send(MessageType.QUERY, b"all is read")
        made.server.recv(MessageType.QUERY, 100)
        assert resumed(made, made.session.ask(1, received))
        with pytest.raises(PeerGoneError, match="says that it has received"):
            made.server.recv(MessageType.QUERY, 100)


@pytest.mark.parametrize(
    "record", [b"\x05" + bytes(8), b"\x04" + bytes(8), b"\x01" + b"\xff" * 8, b"\x02" + b"\x7f" * 8]
)
def test_records_that_no_peer_sends_end_it(record: bytes) -> None:
    with ends(reconnect_seconds=0.3) as made, made.dial() as channel:
        channel.send(MessageType.RESUME, made.session.ask(1, 0))
        channel.recv(MessageType.RESUME, 1 << 10)
        connection = channel.detach()
        assert isinstance(connection, ssl.SSLSocket)
        connection.sendall(record)
        with pytest.raises(PeerGoneError, match=r"invalid record|received"):
            made.server.recv(MessageType.QUERY, 100)


def test_each_of_two_directions_is_cut_in_the_middle_of_a_record() -> None:
    for direction in (TO_TARGET, TO_CALLER):
        with ends((direction, 100_000), (direction, 5_000)) as made:
            talk(made, direction, messages=3, most=200_000)
            assert made.relay.made_cuts >= 1
