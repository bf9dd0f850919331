"""Frames, channels and TLS, between two real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capc.errors import ConfigError, ProtocolError, SilentPeerError
from capc.transport import read_ahead
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, connect
from capc.transport.framing import HEADER, MAGIC, MessageType, decode_header, encode_header
from capc.transport.limits import Limits
from capc.transport.peer import Peer
from capc.transport.read_ahead import ReadAhead
from capc.transport.tls import Identity

LIMIT = 1 << 22


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    left, right = socket.socketpair()
    left.settimeout(5)
    right.settimeout(5)
    with Channel(left, "left-peer") as one, Channel(right, "right-peer") as two:
        yield one, two


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@given(st.sampled_from(list(MessageType)), st.integers(0, 2**63))
def test_header_survives_the_wire(message_type: MessageType, length: int) -> None:
    assert decode_header(encode_header(message_type, length)) == (message_type, length)


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_no_header(data: bytes) -> None:
    if data[:4] == MAGIC and len(data) == HEADER.size:
        return
    with pytest.raises(ProtocolError):
        decode_header(data)


def test_another_version_is_named() -> None:
    header = bytearray(encode_header(MessageType.HELLO, 0))
    header[4] = 9
    with pytest.raises(ProtocolError, match="version 9"):
        decode_header(header)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1 << 22])
def test_messages_arrive_whole(ends: tuple[Channel, Channel], size: int) -> None:
    one, two = ends
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sender = in_thread(lambda: one.send(MessageType.CIRCUIT, payload))
    assert two.recv(MessageType.CIRCUIT, LIMIT) == payload
    sender.join()
    assert one.traffic.bytes_sent == two.traffic.bytes_received == size + HEADER.size


def test_rounds_count_turns(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    for _ in range(3):
        one.send(MessageType.QUERY, b"a")
        one.send(MessageType.QUERY, b"b")
        two.recv(MessageType.QUERY, LIMIT)
        two.recv(MessageType.QUERY, LIMIT)
        two.send(MessageType.QUERY, b"c")
        one.recv(MessageType.QUERY, LIMIT)
    assert one.traffic.rounds == 3
    assert two.traffic.rounds == 2


def test_unexpected_type_and_length(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    one.send(MessageType.QUERY, b"12345")
    with pytest.raises(ProtocolError, match="QUERY, not PLAN"):
        two.recv(MessageType.PLAN, LIMIT)
    two.send(MessageType.QUERY, b"12345")
    with pytest.raises(ProtocolError, match="at most 4"):
        one.recv(MessageType.QUERY, max_bytes=4)


def test_a_type_that_is_set_aside_may_come_at_any_time(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    two.set_aside(MessageType.CIPHERTEXT, 5)
    for message_type, payload in (
        (MessageType.CIPHERTEXT, b"ab"),
        (MessageType.CIRCUIT, b"cd"),
        (MessageType.CIPHERTEXT, b"efg"),
        (MessageType.CIRCUIT, b"h"),
    ):
        one.send(message_type, payload)
    assert [bytes(two.recv(MessageType.CIRCUIT, 2)) for _ in range(2)] == [b"cd", b"h"]
    assert two.recv(MessageType.CIPHERTEXT, 2) == b"ab"
    with pytest.raises(ProtocolError, match="announced 3 bytes of CIPHERTEXT; at most 2"):
        two.recv(MessageType.CIPHERTEXT, 2)
    assert two.traffic.bytes_received == one.traffic.bytes_sent
    one.send(MessageType.CIPHERTEXT, b"i")
    with pytest.raises(ProtocolError, match="announced 1 bytes of CIPHERTEXT; at most 0"):
        two.recv(MessageType.CIRCUIT, LIMIT)


def test_a_huge_announcement_allocates_nothing(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    assert isinstance(one._stream, ReadAhead)
    one._stream.connection.sendall(encode_header(MessageType.QUERY, 1 << 62))
    with pytest.raises(ProtocolError, match="announced"):
        two.recv(MessageType.QUERY, LIMIT)


def test_a_peer_that_is_gone_or_silent(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    two._wait_seconds = 0.05
    two.peer = "right-peer (b.example:7000)"
    with pytest.raises(SilentPeerError, match=r"^right-peer \(b\.example:7000\) sent") as silent:
        two.recv(MessageType.QUERY, LIMIT)
    assert silent.value.party == "right-peer"
    one.close()
    with pytest.raises(ProtocolError, match=r"closed|gone"):
        two.recv(MessageType.QUERY, LIMIT)


@given(st.binary(min_size=1, max_size=64))
def test_json_that_is_none(data: bytes) -> None:
    left, right = socket.socketpair()
    with Channel(left, "l") as one, Channel(right, "r") as two:
        one.send(MessageType.PLAN, b"[" + data)
        with pytest.raises(ProtocolError):
            two.recv_json(MessageType.PLAN, LIMIT)


def open_pair(
    server: Identity, client: Identity, pinned_server: str, pinned_client: str
) -> tuple[dict[str, Channel], Channel | ProtocolError]:
    listener = Listener("127.0.0.1")
    result: list[Channel | ProtocolError] = []

    def client_side() -> None:
        try:
            peer = Peer("server", "127.0.0.1", listener.port, pinned_server)
            channel = connect(client, peer, 5)
            channel.send(MessageType.HELLO, b"hello")
            result.append(channel)
        except ProtocolError as error:
            result.append(error)

    thread = in_thread(client_side)
    try:
        channels = listener.accept(server, {"client": pinned_client}, count=1, timeout_seconds=1)
    except ProtocolError:
        channels = {}
    thread.join()
    listener.close()
    return channels, result[0]


def test_tls_between_pinned_peers() -> None:
    server, client = Identity.create("server"), Identity.create("client")
    channels, other = open_pair(server, client, server.certificate, client.certificate)
    assert isinstance(other, Channel)
    assert channels["client"].recv(MessageType.HELLO, LIMIT) == b"hello"
    channels["client"].close()
    other.close()


def test_tls_refuses_a_stranger() -> None:
    server, client, stranger = (Identity.create(name) for name in ("server", "client", "client"))
    channels, _ = open_pair(server, stranger, server.certificate, client.certificate)
    assert channels == {}
    channels, other = open_pair(stranger, client, server.certificate, client.certificate)
    assert channels == {}
    assert isinstance(other, ProtocolError)


def test_nothing_readable_on_the_wire() -> None:
    """An eavesdropper between the two sees no byte of the payload."""
    server, client = Identity.create("server"), Identity.create("client")
    listener = Listener("127.0.0.1")
    tap = socket.create_server(("127.0.0.1", 0))
    seen = bytearray()

    def relay() -> None:
        near, _ = tap.accept()
        far = socket.create_connection(("127.0.0.1", listener.port))

        def pump(source: socket.socket, sink: socket.socket) -> None:
            while data := source.recv(65536):
                seen.extend(data)
                sink.sendall(data)

        back = in_thread(lambda: pump(far, near))
        pump(near, far)
        far.shutdown(socket.SHUT_WR)
        back.join(5)

    in_thread(relay)
    secret = b"a query that nobody may read" * 50

    def client_side() -> None:
        peer = Peer("server", "127.0.0.1", tap.getsockname()[1], server.certificate)
        with connect(client, peer, 5) as channel:
            channel.send(MessageType.UNENCRYPTED_QUERY, secret)

    thread = in_thread(client_side)
    channels = listener.accept(server, {"client": client.certificate}, count=1, timeout_seconds=5)
    assert channels["client"].recv(MessageType.UNENCRYPTED_QUERY, LIMIT) == secret
    thread.join()
    assert len(seen) > len(secret)
    assert secret[:28] not in bytes(seen)
    assert MAGIC not in bytes(seen)


def test_a_busy_port_is_passed_over() -> None:
    first = Listener("127.0.0.1")
    second = Listener("127.0.0.1", first.port)
    assert second.port > first.port
    first.close()
    second.close()


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Listener("127.0.0.1")
    monkeypatch.setattr("capc.transport.endpoints._PORTS", first.port + 1)
    with pytest.raises(ConfigError, match=f"is free from {first.port} on"):
        Listener("127.0.0.1", first.port)
    first.close()


def test_identity_shows_no_key() -> None:
    identity = Identity.create("answering-0")
    assert "PRIVATE" not in repr(identity)
    assert "PRIVATE" not in identity.certificate


def test_a_peer_that_has_left_is_seen_before_all_is_read() -> None:
    ours, theirs = socket.socketpair()
    with Channel(ours, "guardian") as channel, Channel(theirs, "answering-0") as other:
        other.send_json(MessageType.HELLO, {})
        assert not channel.has_ended
        other.close()
        assert channel.has_ended
        assert channel.recv_json(MessageType.HELLO, 10) == {}


def swap_at_once(one: Channel, two: Channel) -> None:
    """Both send before they receive: far more than the system keeps for a socket."""
    payload = bytes(range(256)) * (6 << 12)
    received: list[bytearray] = []

    def swap(channel: Channel) -> None:
        channel.send(MessageType.QUERY, payload)
        received.append(channel.recv(MessageType.QUERY, len(payload)))

    other = in_thread(lambda: swap(one))
    swap(two)
    other.join()
    assert received == [payload, payload]


def test_both_may_send_at_once(ends: tuple[Channel, Channel]) -> None:
    """As one of them takes in what the other sends."""
    swap_at_once(*ends)


def test_both_may_send_at_once_over_tls() -> None:
    server, client = Identity.create("server"), Identity.create("client")
    channels, two = open_pair(server, client, server.certificate, client.certificate)
    assert isinstance(two, Channel)
    with channels["client"] as one, two:
        assert one.recv(MessageType.HELLO, LIMIT) == b"hello"
        swap_at_once(one, two)


def test_what_is_taken_in_has_a_bound(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that sends and never reads: no more is kept, and the send ends in time."""
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 1 << 16)
    one, two = ends
    one._wait_seconds, one._limits = 0.2, Limits(bytes_per_second=1 << 40)
    flood = in_thread(lambda: _flood(two))
    with pytest.raises(SilentPeerError, match="did not accept the data in time"):
        one.send(MessageType.QUERY, bytes(4 << 20))
    assert isinstance(one._stream, ReadAhead)
    assert len(one._stream._ahead) == 1 << 16
    one.close()
    flood.join()


def _flood(channel: Channel) -> None:
    assert isinstance(channel._stream, ReadAhead)
    with contextlib.suppress(OSError):
        channel._stream.connection.setblocking(True)
        channel._stream.connection.sendall(bytes(4 << 20))


def test_what_was_taken_in_is_not_lost_when_the_peer_leaves(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    two.send(MessageType.QUERY, b"a" * 50_000)
    sender = in_thread(lambda: one.send(MessageType.QUERY, bytes(1 << 20)))
    two.recv(MessageType.QUERY, 1 << 20)
    sender.join()
    two.close()
    assert one.recv(MessageType.QUERY, 1 << 20) == b"a" * 50_000
    with pytest.raises(ProtocolError, match=r"closed|gone"):
        one.recv(MessageType.QUERY, 1)
