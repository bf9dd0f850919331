"""A relay hands bytes on both ways, ends with either side, and holds a bounded number of peers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from capc.errors import ConfigError
from capc.transport.relay import Relay

HOST = "127.0.0.1"


@pytest.fixture
def program() -> Iterator[socket.socket]:
    """What the relay stands before."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def relay(program: socket.socket) -> Iterator[Relay]:
    with Relay(HOST, 0, program.getsockname()[1]) as made:
        yield made


def joined(relay: Relay, program: socket.socket) -> tuple[socket.socket, socket.socket]:
    outside = socket.create_connection((HOST, relay.port), timeout=5)
    inside, _ = program.accept()
    inside.settimeout(5)
    return outside, inside


def test_bytes_arrive_both_ways_and_in_order(relay: Relay, program: socket.socket) -> None:
    outside, inside = joined(relay, program)
    with outside, inside:
        sent = bytes(range(256)) * 4096
        for source, sink in ((outside, inside), (inside, outside)):
            source.sendall(sent[:100_000])
            with sink.makefile("rb", buffering=0) as stream:
                received = b""
                while len(received) < 100_000:
                    received += stream.read(100_000 - len(received)) or b""
            assert received == sent[:100_000]


def test_an_end_is_handed_on_and_the_other_way_stays_open(
    relay: Relay, program: socket.socket
) -> None:
    outside, inside = joined(relay, program)
    with outside, inside:
        outside.shutdown(socket.SHUT_WR)
        assert inside.recv(1) == b""
        inside.sendall(b"still here")
        assert outside.recv(64) == b"still here"


def test_closing_ends_every_connection(relay: Relay, program: socket.socket) -> None:
    outside, inside = joined(relay, program)
    with outside, inside:
        relay.close()
        assert outside.recv(1) == b""
        assert inside.recv(1) == b""
    with pytest.raises(OSError), socket.create_connection((HOST, relay.port), timeout=5):
        pass


def test_a_program_that_is_gone_ends_the_connection(relay: Relay, program: socket.socket) -> None:
    program.close()
    with socket.create_connection((HOST, relay.port), timeout=5) as outside:
        assert outside.recv(1) == b""


def test_connections_beyond_the_limit_are_closed(
    program: socket.socket,
) -> None:
    refused = threading.Event()
    with Relay(HOST, 0, program.getsockname()[1], most=1, on_refusal=refused.set) as relay:
        outside, inside = joined(relay, program)
        with outside, inside, socket.create_connection((HOST, relay.port), timeout=5) as second:
            assert second.recv(1) == b""
            assert refused.wait(5)


def test_a_taken_port_is_named(relay: Relay) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on {HOST}:{relay.port}"):
        Relay(HOST, relay.port, 1)
