"""Strangers at a party's port, and peers that keep a message waiting."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from capc.errors import ConfigError, ProtocolError
from capc.transport import channel as channel_module
from capc.transport import handshakes
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, connect
from capc.transport.framing import MessageType, encode_header
from capc.transport.limits import DEFAULT_LIMITS, Limits
from capc.transport.peer import Peer
from capc.transport.tls import Identity

HOST = "127.0.0.1"
SERVER, CLIENT = Identity.create("server"), Identity.create("client")


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def listening(limits: Limits = DEFAULT_LIMITS) -> Iterator[Listener]:
    listener = Listener(HOST, limits=limits)
    yield listener
    listener.close()


def strangers(listener: Listener, count: int) -> contextlib.ExitStack:
    """So many open connections that say nothing."""
    stack = contextlib.ExitStack()
    for _ in range(count):
        stack.enter_context(socket.create_connection((HOST, listener.port)))
    return stack


def accept_client(listener: Listener, timeout_seconds: float = 20) -> Channel:
    """The client's channel; the client connects meanwhile."""
    connected: list[Channel] = []
    peer = Peer("server", HOST, listener.port, SERVER.certificate)
    thread = in_thread(lambda: connected.append(connect(CLIENT, peer, timeout_seconds)))
    channels = listener.accept(
        SERVER, {"client": CLIENT.certificate}, count=1, timeout_seconds=timeout_seconds
    )
    thread.join()
    connected[0].close()
    return channels["client"]


@pytest.mark.parametrize("count", [1, 25, 200])
def test_silent_strangers_delay_nobody(count: int) -> None:
    """More of them than may wait at a time, too: the oldest give way."""
    with listening() as listener, strangers(listener, count):
        start = time.monotonic()
        accept_client(listener).close()
        assert time.monotonic() - start < 3


def test_a_stranger_that_drips_is_dropped() -> None:
    """A byte now and then does not prolong the time for a handshake."""
    dropped = threading.Event()
    with listening(Limits(handshake_seconds=0.5)) as listener:

        def drip() -> None:
            with socket.create_connection((HOST, listener.port)) as stranger, dropped_by(dropped):
                stranger.sendall(b"\x16\x03\x01\x02\x00\x01")
                while not dropped.wait(0.1):
                    stranger.sendall(b"\x00")

        thread = in_thread(drip)
        with pytest.raises(ProtocolError, match="no connection in time from client"):
            listener.accept(SERVER, {"client": CLIENT.certificate}, count=1, timeout_seconds=1.5)
        assert dropped.is_set()
        thread.join()


@contextlib.contextmanager
def dropped_by(event: threading.Event) -> Iterator[None]:
    with contextlib.suppress(OSError):
        yield
    event.set()


def test_strangers_are_counted_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as listener, caplog.at_level(logging.WARNING):
        for _ in range(40):
            with socket.create_connection((HOST, listener.port)) as stranger:
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        accept_client(listener).close()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "40 connections" in lines[0]


class Scarce(socket.socket):
    """A listening socket in a process that has no descriptor left for some connections."""

    refusals = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_descriptors_that_run_out_cost_the_oldest_stranger() -> None:
    listener = Scarce(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((HOST, 0))
    listener.listen()

    def greet(connection: socket.socket) -> handshakes.Greeting[bytes]:
        with connection:
            return bytes((yield from handshakes.first_message(connection, MessageType.HELLO, 9)))

    hello = encode_header(MessageType.HELLO, 2) + b"hi"
    with listener, handshakes.Doorway(listener, greet) as doorway:
        silent = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        assert doorway.next(time.monotonic() + 0.2) is None
        listener.refusals = 2
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(hello)
            assert doorway.next(time.monotonic() + 5) == b"hi"
        assert [stranger.recv(1) for stranger in silent[:2]] == [b"", b""]
        listener.refusals = 9
        with (
            socket.create_connection(listener.getsockname()),
            pytest.raises(ConfigError, match="ulimit -n"),
        ):
            doorway.next(time.monotonic() + 5)
        for stranger in silent:
            stranger.close()


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    left, right = socket.socketpair()
    left.settimeout(0.4)
    with Channel(left, "the peer") as one, right:
        yield one, right


def drip(sink: socket.socket, data: bytes, stop: threading.Event) -> None:
    for byte in data:
        if stop.wait(0.1):
            return
        with contextlib.suppress(OSError):
            sink.sendall(bytes([byte]))


@pytest.mark.parametrize("start", [b"", encode_header(MessageType.QUERY, 100)])
def test_a_message_that_drips_ends_in_time(
    ends: tuple[Channel, socket.socket], start: bytes
) -> None:
    """Ten bytes a second, each long before the time for a byte is over."""
    one, other = ends
    stop = threading.Event()
    message = start + (bytes(100) if start else encode_header(MessageType.QUERY, 100) + bytes(100))
    thread = in_thread(lambda: drip(other, message, stop))
    begin = time.monotonic()
    with pytest.raises(ProtocolError, match="in time"):
        one.recv(MessageType.QUERY, 100)
    assert time.monotonic() - begin < 3
    stop.set()
    thread.join()


def test_a_reader_that_drips_ends_a_send_in_time(ends: tuple[Channel, socket.socket]) -> None:
    one, other = ends
    one._limits = Limits(bytes_per_second=1 << 26)
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.05):
            other.recv(1 << 16)

    thread = in_thread(read)
    begin = time.monotonic()
    with pytest.raises(ProtocolError, match="in time"):
        one.send(MessageType.QUERY, bytes(1 << 24))
    assert time.monotonic() - begin < 4
    stop.set()
    thread.join()


def test_a_long_message_has_longer(ends: tuple[Channel, socket.socket]) -> None:
    """The time grows with the length: a slow and steady peer is served."""
    one, other = ends

    def send() -> None:
        other.sendall(encode_header(MessageType.QUERY, 1 << 17))
        for _ in range(8):
            threading.Event().wait(0.1)
            other.sendall(bytes(1 << 14))

    thread = in_thread(send)
    assert len(one.recv(MessageType.QUERY, 1 << 17)) == 1 << 17
    thread.join()


def test_a_message_beyond_a_partys_own_limit_is_refused(
    ends: tuple[Channel, socket.socket],
) -> None:
    one, other = ends
    one._limits = Limits(message_mib=1)
    other.sendall(encode_header(MessageType.QUERY, (1 << 20) + 1))
    with pytest.raises(ProtocolError, match="more than this party's message_mib of 1 MiB"):
        one.recv(MessageType.QUERY, 1 << 30)


def test_memory_grows_with_what_arrives(ends: tuple[Channel, socket.socket]) -> None:
    """An announcement within the limit takes no memory before its bytes are there."""
    one, other = ends
    seen: list[int] = []
    read = one._stream.recv_into

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(one_stream, name)

        def recv_into(self, buffer: memoryview) -> int:
            seen.append(len(buffer))
            return read(buffer)

    one_stream = one._stream
    one._stream = cast(Any, Watched())
    other.sendall(encode_header(MessageType.QUERY, 1 << 28) + bytes(1000))
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="closed"):
        one.recv(MessageType.QUERY, 1 << 28)
    assert max(seen) <= channel_module.FIRST_BYTES < 1 << 28


def test_a_message_longer_than_the_first_bytes_arrives_whole(
    ends: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "FIRST_BYTES", 100)
    one, other = ends
    message = bytes(range(256)) * 40 + b"the rest"
    thread = in_thread(
        lambda: other.sendall(encode_header(MessageType.QUERY, len(message)) + message)
    )
    assert one.recv(MessageType.QUERY, len(message)) == message
    thread.join()
