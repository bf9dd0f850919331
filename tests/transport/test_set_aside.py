"""Messages of a type that is set aside, and work that is done while a peer sends nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from lasting_pair import CLIENT, SERVER, lasting_pair

from capc.errors import PeerGoneError, SilentPeerError
from capc.transport import channel as channel_module
from capc.transport.channel import Channel
from capc.transport.endpoints import LOOPBACK, Listener, connect
from capc.transport.framing import HEADER, MessageType, encode_header
from capc.transport.limits import Limits
from capc.transport.peer import Peer
from capc.transport.read_ahead import AHEAD_BYTES

ASIDE, OTHER = MessageType.CIPHERTEXT, MessageType.CIRCUIT
MANY = 1 << 28


@pytest.fixture(params=["socket", "lasting"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Channel, Channel]]:
    """Over both kinds of streams."""
    if request.param == "socket":
        left, right = socket.socketpair()
        left.settimeout(20)
        right.settimeout(20)
        with Channel(left, "left-peer") as one, Channel(right, "right-peer") as two:
            yield one, two
        return
    listener = Listener(LOOPBACK)
    peer = Peer("answering-0", LOOPBACK, listener.port, SERVER.certificate)

    def dial(seconds: float, until: float) -> Channel:
        return connect(CLIENT, peer, seconds, until=until)

    with lasting_pair(listener, dial, reconnect_seconds=3) as pair:
        yield pair.client, pair.server
    listener.close()


def eventually(holds: Callable[[], bool]) -> None:
    """Within some seconds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_has_arrived_whole_is_taken_in(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    two.set_aside(ASIDE, MANY)
    two.take_in()
    assert not two.has_aside
    messages = (ASIDE, b"first"), (ASIDE, bytes(1 << 20)), (OTHER, b"other"), (ASIDE, b"behind it")

    def send_all() -> None:
        for message_type, payload in messages:
            one.send(message_type, payload)

    def both_taken() -> bool:
        two.take_in()
        return len(two._aside) == 2

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send_all)
        eventually(both_taken)
        sent.result()
    eventually(lambda: two._stream.arrived(0)[0] == 5 + 9 + 2 * HEADER.size)
    assert both_taken(), "nothing behind a message of another type"
    assert two.recv(ASIDE, 5) == b"first"
    assert two.recv(OTHER, 5) == b"other"
    assert two.recv(ASIDE, 1 << 20) == bytes(1 << 20)
    assert two.recv(ASIDE, 9) == b"behind it"
    assert two.traffic.bytes_received == one.traffic.bytes_sent


@pytest.mark.parametrize("place", [HEADER.size - 1, HEADER.size, HEADER.size + 900])
def test_a_part_of_a_message_is_left(ends: tuple[Channel, Channel], place: int) -> None:
    one, two = ends
    two.set_aside(ASIDE, MANY)
    whole = memoryview(encode_header(ASIDE, 1000) + bytes(1000))
    assert one._stream.send(whole[:place]) == place
    eventually(lambda: two._stream.arrived(0)[0] == place)
    two.take_in()
    assert not two.has_aside
    one._stream.send(whole[place:])
    assert two.recv(ASIDE, 1000) == bytes(1000)


def test_work_is_done_until_a_message_begins(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    worked: list[float] = []

    def work() -> bool:
        worked.append(time.monotonic())
        if len(worked) == 5:
            one.send(OTHER, b"now")
        return True

    two.while_waiting(work)
    assert two.recv(OTHER, 3) == b"now"
    assert 5 <= len(worked) < 200
    two.while_waiting(None)
    one.send(OTHER, b"then")
    assert two.recv(OTHER, 4) == b"then"


def test_work_that_is_over_is_done_once_a_message(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    worked: list[float] = []

    def work() -> bool:
        worked.append(time.monotonic())
        return False

    two.while_waiting(work)
    sender = threading.Timer(0.05, lambda: one.send(OTHER, b"late"))
    sender.start()
    assert two.recv(OTHER, 4) == b"late"
    assert len(worked) == 1


def test_work_may_take_what_is_set_aside(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    two.set_aside(ASIDE, MANY)
    taken: list[bytes] = []

    def work() -> bool:
        while two.has_aside:
            taken.append(bytes(two.recv(ASIDE, MANY)))
        return True

    two.while_waiting(work)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(two.recv, OTHER, 3)
        for number in range(3):
            one.send(ASIDE, bytes([number]) * 100_000)
        eventually(lambda: len(taken) == 3)
        one.send(OTHER, b"end")
        assert received.result() == b"end"
    assert taken == [bytes([number]) * 100_000 for number in range(3)]


def test_work_does_not_make_the_wait_longer(ends: tuple[Channel, Channel]) -> None:
    _, two = ends
    two.wait_at_most(0.2)
    two.while_waiting(lambda: True)
    began = time.monotonic()
    with pytest.raises(SilentPeerError):
        two.recv(OTHER, 1)
    assert time.monotonic() - began < 2


def test_each_message_that_is_set_aside_begins_the_wait_anew(
    ends: tuple[Channel, Channel],
) -> None:
    one, two = ends
    two.wait_at_most(0.3)
    two.set_aside(ASIDE, MANY)

    def send_all() -> None:
        for _ in range(6):
            one.send(ASIDE, b"more")
            time.sleep(0.1)
        one.send(OTHER, b"end")

    for work in (lambda: True), None:
        two.while_waiting(work)
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send_all)
            assert two.recv(OTHER, 3) == b"end"
            sent.result()


def test_a_message_that_does_not_end_is_not_waited_for_at_work() -> None:
    left, right = socket.socketpair()
    right.settimeout(20)
    limits = Limits(message_seconds=0.3)
    with left, Channel(right, "peer", limits=limits) as channel:
        channel.set_aside(ASIDE, MANY)
        channel.while_waiting(lambda: True)
        left.sendall(encode_header(ASIDE, 1000) + bytes(10))
        began = time.monotonic()
        with pytest.raises(SilentPeerError, match="10 of 1000 bytes"):
            channel.recv(OTHER, 1)
        assert time.monotonic() - began < 3


def test_a_peer_that_ends_is_noticed_at_work(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    two.set_aside(ASIDE, MANY)
    two.while_waiting(lambda: True)
    one.send(ASIDE, b"last")
    one.close()
    with pytest.raises(PeerGoneError):
        two.recv(OTHER, 1)
    assert two.recv(ASIDE, 4) == b"last"


def test_a_message_longer_than_what_is_taken_in_arrives(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    payload = bytes(AHEAD_BYTES + 1)
    two.set_aside(ASIDE, MANY)
    two.while_waiting(lambda: True)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(one.send, ASIDE, payload)
        assert two.recv(ASIDE, MANY) == payload
        sent.result()


def test_both_may_send_any_amount_that_the_other_sets_aside(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far more than lies between them, before either receives."""
    monkeypatch.setattr(channel_module, "_BLOCKED_SECONDS", 0.005)
    piece, count = bytes(1 << 20), 5 * AHEAD_BYTES >> 20
    for end in ends:
        end.set_aside(ASIDE, MANY)

    def send_all(end: Channel) -> int:
        for _ in range(count):
            end.send(ASIDE, piece)
        end.send(OTHER, b"done")
        assert end.recv(OTHER, 4) == b"done"
        return sum(len(end.recv(ASIDE, len(piece))) for _ in range(count))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(send_all, ends)) == [count << 20] * 2


def test_unconfirmed_bytes_are_those_that_nobody_has_read(ends: tuple[Channel, Channel]) -> None:
    one, two = ends
    eventually(lambda: one.unconfirmed() == 0)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(one.send, OTHER, bytes(AHEAD_BYTES * 4))
        eventually(lambda: one.unconfirmed() > 0)
        two.recv(OTHER, MANY)
        sent.result()
    eventually(lambda: one.unconfirmed() == 0)
    one.close()
    eventually(lambda: one.unconfirmed() == 0)
