"""The control channel: every message there and back, everything malformed refused."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capc.errors import ProtocolError
from capc.transport.control import ControlClient, ControlConnection, ControlListener
from capc.transport.control_messages import (
    CONTROL_VERSION,
    MAX_LINE_BYTES,
    Announce,
    Answer,
    Done,
    Error,
    Hello,
    Hold,
    LeftOut,
    Log,
    Message,
    Opened,
    Peers,
    Plan,
    Proceed,
    Progress,
    Ready,
    Refused,
    Spent,
    Stop,
    Timing,
    decode,
    encode,
)
from capc.transport.peer import Peer

EXAMPLES: list[Message] = [
    Hello(1, "answering-12", 4711),
    Announce("127.0.0.1", None, "PEM"),
    Announce("127.0.0.1", 40000, "PEM"),
    Plan(41, 12),
    Ready(),
    Hold(None, "1a", "setup"),
    Hold(3, "1c", "online"),
    Progress(None, "1a", "setup"),
    Progress(3, "1c", "online"),
    Timing(None, "1a", "setup", 0.25, 1, 2, 3, 1),
    Timing(7, "3", "offline", 1e-6, 1 << 40, 0, 0, 32),
    Answer(0, True, 9),
    Answer(1, False, None),
    Answer(2, True, 9, ("answering-0", "answering-2")),
    LeftOut("answering-1", "it is gone"),
    Spent(0, math.inf, 1e-5, "classic", True),
    Spent(0, 2.5, 1e-5, "improved", False),
    Refused(4, "too much"),
    Opened(0, "logit_share", "answering-0", (0, (1 << 60) - 1, -3)),
    Opened(0, "noise", None, (-4, 4)),
    Log("ünïcode\nand a newline"),
    Error("why"),
    Error("it sent nothing in time", waits_for="querying"),
    Done(),
    Peers((Peer("querying", "h", None, "a"), Peer("guardian", "h", 1, "b"))),
    Proceed(),
    Stop(),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.kind)
def test_there_and_back(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.kind)
def test_a_missing_or_an_extra_field_is_refused(message: Message) -> None:
    fields = json.loads(encode(message))
    with pytest.raises(ProtocolError, match="exactly the fields"):
        decode(json.dumps({**fields, "extra": 1}).encode())
    for name in set(fields) - {"type"}:
        with pytest.raises(ProtocolError):
            decode(json.dumps({key: fields[key] for key in fields if key != name}).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"type":"nothing"}',
        b'{"type":["answer"]}',
        b"\xff\xfe",
        b'{"type":"answer","query":-1,"answered":true,"label":1}',
        b'{"type":"answer","query":1.0,"answered":true,"label":1}',
        b'{"type":"answer","query":true,"answered":true,"label":1}',
        b'{"type":"answer","query":1,"answered":1,"label":1}',
        b'{"type":"answer","query":99999999999999999999,"answered":true,"label":1}',
        b'{"type":"hello","version":2,"party":"root","pid":1}',
        b'{"type":"hello","version":2,"party":"answering-007","pid":1}',
        b'{"type":"announce","host":"h","port":65536,"certificate":"x"}',
        b'{"type":"announce","host":"h","port":0,"certificate":"x"}',
        b'{"type":"progress","query":0,"step":"4","phase":"online"}',
        b'{"type":"plan","ring_bits":0,"fraction_bits":1}',
        b'{"type":"spent","query":0,"epsilon":NaN,"delta":1e-5,"conversion":"c","answered":true}',
        b'{"type":"spent","query":0,"epsilon":-1,"delta":1e-5,"conversion":"c","answered":true}',
        b'{"type":"opened","query":0,"name":"key","peer":null,"values":[1]}',
        b'{"type":"opened","query":0,"name":"noise","peer":null,"values":["1"]}',
        b'{"type":"peers","peers":[{"name":"querying"}]}',
        b'{"type":"peers","peers":{"name":"querying"}}',
    ],
)
def test_malformed_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(line)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_protocol_error(line: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode(line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3),
    ),
    st.sampled_from(EXAMPLES),
    st.data(),
)
def test_any_value_in_any_field(value: object, message: Message, data: st.DataObject) -> None:
    fields = json.loads(encode(message))
    names = sorted(set(fields) - {"type"})
    if not names:
        return
    fields[data.draw(st.sampled_from(names))] = value
    with contextlib.suppress(ProtocolError):
        assert encode(decode(json.dumps(fields).encode()))


def test_what_may_not_be_sent_is_refused_before_it_is() -> None:
    with pytest.raises(ProtocolError):
        encode(Answer(-1, True, 1))
    with pytest.raises(ProtocolError, match="at most"):
        encode(Opened(0, "noise", None, tuple(range(1 << 20))))


def connections() -> tuple[ControlConnection, ControlConnection]:
    left, right = socket.socketpair()
    return ControlConnection(left), ControlConnection(right)


def test_messages_arrive_whole_whatever_the_pieces() -> None:
    left, right = socket.socketpair()
    receiver = ControlConnection(right)
    stream = b"".join(encode(message) for message in EXAMPLES)
    found: list[Message] = []
    for start in range(0, len(stream), 37):
        left.sendall(stream[start : start + 37])
        found += receiver.receive() or []
    left.close()
    assert receiver.receive() is None
    assert found == EXAMPLES
    receiver.close()


def test_a_line_without_end_is_refused() -> None:
    left, right = socket.socketpair()
    receiver = ControlConnection(right)

    def flood() -> None:
        with left, contextlib.suppress(OSError):
            left.sendall(b"x" * (2 * MAX_LINE_BYTES))

    thread = threading.Thread(target=flood)
    thread.start()
    with pytest.raises(ProtocolError, match="longer"):
        while receiver.receive() is not None:
            pass
    receiver.close()
    thread.join(10)


class Driver:
    """The driver's end for one client."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control"
        self.listener = ControlListener(self.path)
        self.ended = threading.Event()
        self.client = ControlClient.connect(self.path, "answering-0", self.ended.set)
        self.connection = self.listener.accept()

    def close(self) -> None:
        self.client.close()
        self.connection.close()
        self.listener.close()


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    made = Driver(Path())
    yield made
    made.close()


def test_the_client_says_hello(driver: Driver) -> None:
    assert driver.connection.receive() == [Hello(CONTROL_VERSION, "answering-0", os.getpid())]
    assert driver.path.stat().st_mode & 0o077 == 0


def test_the_client_waits_for_its_peers(driver: Driver) -> None:
    with pytest.raises(ProtocolError, match=r"did not name the peers within 0\.01 seconds"):
        driver.client.wait_for_peers(0.01)
    driver.connection.send(Peers((Peer("guardian", "127.0.0.1", 5, "PEM"),)))
    assert driver.client.wait_for_peers(10)["guardian"].port == 5


def test_a_driver_that_stands_still_holds_no_party_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listener = ControlListener(Path("control"))
    client = ControlClient.connect("control", "answering-0", lambda: None, send_seconds=0.2)
    with pytest.raises(ProtocolError, match="does not read"):
        for _ in range(100):
            client.log("x" * 60000)
    client.close()
    listener.close()


@pytest.mark.parametrize("how", ["stop", "gone", "garbage"])
def test_a_driver_that_ends_ends_the_party(driver: Driver, how: str) -> None:
    if how == "stop":
        driver.connection.send(Stop())
    elif how == "gone":
        driver.connection.close()
    else:
        driver.connection._socket.sendall(b"garbage\n")
    assert driver.ended.wait(10)
    assert driver.client.closed.is_set()
    with pytest.raises(ProtocolError, match="ended before"):
        driver.client.wait_for_peers(1)


def test_a_held_party_waits_for_the_drivers_answer(driver: Driver) -> None:
    went_on = threading.Event()

    def begin() -> None:
        driver.client.hold(3, "1a", "online")
        went_on.set()

    threading.Thread(target=begin, daemon=True).start()
    messages: list[Message] = []
    while Hold(3, "1a", "online") not in messages:
        messages += driver.connection.receive() or []
    assert not went_on.wait(0.2)
    driver.connection.send(Proceed())
    assert went_on.wait(10)


def test_a_held_party_does_not_go_on_when_the_driver_ends(driver: Driver) -> None:
    threading.Timer(0.1, driver.connection.close).start()
    with pytest.raises(ProtocolError, match="before this step"):
        driver.client.hold(3, "1a", "online")


def test_after_done_the_end_of_the_driver_is_no_matter(driver: Driver) -> None:
    driver.client.done()
    driver.connection.close()
    assert driver.client.closed.wait(10)
    assert not driver.ended.is_set()


def test_several_threads_send_whole_lines(driver: Driver) -> None:
    def chat(number: int) -> None:
        for _ in range(50):
            driver.client.log(str(number) * 1000)

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    found: list[Message] = []
    while len(found) < 201:
        found += driver.connection.receive() or []
    for thread in threads:
        thread.join()
    assert all(
        isinstance(message, Hello | Log) and len(set(getattr(message, "message", "0"))) == 1
        for message in found
    )


def test_no_driver(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"no driver answers.*run_experiment"):
        ControlClient.connect(tmp_path / "nothing", "guardian")
