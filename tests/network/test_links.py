"""The links of `make network` have the delay and the rate that they are asked for."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from capc.bench.emulated_hosts import Line, Link, hosts, why_not

_SEND = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], 7000))
connection, _ = listener.accept()
count = 0
while piece := connection.recv(1 << 16):
    count += len(piece)
connection.sendall(str(count).encode())
"""
_ASK = """
import socket, sys, time
while True:
    try:
        connection = socket.create_connection((sys.argv[1], 7000), timeout=10)
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
begin = time.monotonic()
connection.sendall(bytes(int(sys.argv[2])))
connection.shutdown(socket.SHUT_WR)
assert int(connection.recv(64)) == int(sys.argv[2])
print(time.monotonic() - begin)
"""


def test_a_line_sends_one_packet_after_the_other_and_drops_what_is_too_much() -> None:
    line = Line(Link(round_trip=0.1, bits_per_second=8000))
    assert line.take(bytes(500), 0.0) and line.take(bytes(1000), 0.0)
    assert line.next_at == pytest.approx(0.55)
    assert [len(packet) for packet in line.due(0.6)] == [500]
    assert line.next_at == pytest.approx(1.55)
    assert not line.take(bytes(1), 0.4)
    assert line.take(bytes(1), 1.0)


@pytest.fixture(scope="module")
def able() -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(("size", "least"), [(10, 0.12), (1_000_000, 0.12 + 0.4)])
def test_bytes_take_their_time_between_two_hosts(size: int, least: float) -> None:
    with hosts(2, Link(round_trip=0.12, bits_per_second=20e6)) as (one, other):
        taker = subprocess.Popen(one.inside([sys.executable, "-c", _SEND, one.address]))
        asked = other.inside([sys.executable, "-c", _ASK, one.address, str(size)])
        begin = time.monotonic()
        took = float(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
        taker.wait(10)
    assert least <= took < time.monotonic() - begin
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    assert one.namespace not in listed.stdout
