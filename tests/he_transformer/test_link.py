"""What strangers, and hostile servers and clients, get from he-transformer's link."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from capc.errors import CapcError, ConfigError, ProtocolError
from capc.he.parameters import EncryptionParameters
from capc.he_transformer import link
from capc.he_transformer.link import REFUSALS, Hello, OfferedTensor, Welcome, accept, offered
from capc.he_transformer.pyhe_client.client import HESealClient
from capc.transport.channel import Channel
from capc.transport.framing import MessageType, encode_header

HELLO = {
    "version": link.VERSION,
    "batch_size": 1,
    "tensors": {"b": {"count": 4, "is_encrypted": True, "low": 0.0, "high": 8.0}},
}
WELCOME = {
    "version": link.VERSION, "mode": "mixed", "reason": "", "shapes": {"b": [1, 4]}, "finish": [],
    "parameters": "", "layout": "image", "result": [1, 4],
    "doublings": 0,
}  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def connected(port: int) -> socket.socket:
    """A connection, once the server listens."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)


def test_silent_strangers_do_not_take_the_clients_place() -> None:
    port, taken = free_port(), []
    thread = in_thread(lambda: taken.append(accept(port)))
    with contextlib.ExitStack() as stack:
        for index in range(25):
            stranger = stack.enter_context(connected(port))
            if index % 2:
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n"[: index + 3])
        with Channel(connected(port), "the server") as client:
            client.send_json(MessageType.HELLO, HELLO)
            thread.join(3)
            assert not thread.is_alive()
    channel, hello = taken[0]
    assert hello.tensors["b"].count == 4
    assert channel.traffic.bytes_received == client.traffic.bytes_sent
    channel.close()


def test_a_client_of_another_version_is_told_and_the_next_one_served() -> None:
    port, taken = free_port(), []
    thread = in_thread(lambda: taken.append(accept(port)))
    with Channel(connected(port), "the server") as old:
        old.send_json(MessageType.HELLO, {**HELLO, "version": 1})
        with pytest.raises(ProtocolError, match="refuses"):
            Welcome.receive(old)
    with Channel(connected(port), "the server") as client:
        client.send_json(MessageType.HELLO, HELLO)
        thread.join(3)
    taken[0][0].close()


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 3.0), (0.0, 0.5), (-1.0, 2.0), (0.0, 1.0000001), (0.0, 2.0**65), (0.0, float("inf"))],
)
def test_a_range_is_a_power_of_two(low: float, high: float) -> None:
    entry = {"count": 4, "is_encrypted": True, "low": low, "high": high}
    payload = json.dumps({**HELLO, "tensors": {"b": entry}}).encode()
    with pytest.raises(ProtocolError, match="power of two"):
        Hello.parse(payload)


@pytest.mark.parametrize("largest", [0.0, 0.3, 1.0, 1.1, 5.0, 8.0, 2.0**64])
def test_every_range_of_a_client_is_accepted(largest: float) -> None:
    for values in ([largest], [-largest, 0.1]):
        offer = offered(np.array(values), True)
        payload = json.dumps({**HELLO, "tensors": {"b": vars(offer)}}).encode()
        assert Hello.parse(payload).tensors["b"] == offer
        assert offer.low <= min(values) and max(values) <= offer.high


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tensors", {"b": {**HELLO["tensors"]["b"], "count": link.MAX_VALUES + 1}}),  # type: ignore[index]
        ("tensors", {str(k): {**HELLO["tensors"]["b"], "count": 1 << 23} for k in range(3)}),  # type: ignore[index]
        ("tensors", {str(k): HELLO["tensors"]["b"] for k in range(1000)}),  # type: ignore[index]
        ("tensors", {"b": {**HELLO["tensors"]["b"], "high": 10**400}}),  # type: ignore[index]
        ("batch_size", 0),
        ("version", [9]),
    ],
)
def test_a_first_message_that_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(ProtocolError):
        Hello.parse(json.dumps({**HELLO, field: value}).encode())


@contextlib.contextmanager
def server_that_answers(*answers: bytes | dict[str, Any]) -> Iterator[int]:
    """A server of somebody else's: whatever the client says, it sends these."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with Channel(connection, "the client") as channel:
                channel.recv(MessageType.HELLO, 1 << 16)
                for answer in answers:
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                    else:
                        channel.send_json(MessageType.HELLO, answer)
                with contextlib.suppress(CapcError):
                    channel.recv(MessageType.HELLO, 1)

        thread = in_thread(serve)
        yield int(listener.getsockname()[1])
        thread.join(10)


def ask(port: int) -> list[float]:
    client = HESealClient("127.0.0.1", port, 1, {"b": ("encrypt", (2, 4, 6, 8))})
    try:
        return client.get_results()
    finally:
        client.close_connection()


@pytest.mark.parametrize("parameters", ["/dev/zero", "/etc/passwd", "config/fast.json", "123"])
def test_what_a_server_names_is_no_path(parameters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def watched(source: Any, *_: Any) -> bytes:
        opened.append(source)
        raise OSError

    monkeypatch.setattr("capc.he.parameters.read_bounded", watched)
    answers = [{**WELCOME, "parameters": parameters}, WELCOME]
    with server_that_answers(*answers) as port, pytest.raises(ProtocolError, match="parameters"):
        ask(port)
    plan = {
        "parameters": parameters, "inputs": {"b": {"shape": [1, 4], "low": 0.0, "high": 8.0}},
        "batch": 1, "is_packed": False, "is_complex": False, "output_shape": [1, 4],
        "output_primes": 1, "output_scale": 2.0**30, "bits": 8.0,
    }  # fmt: skip
    payload = json.dumps(plan).encode()
    homomorphic = {**WELCOME, "mode": "homomorphic"}
    message = encode_header(MessageType.PLAN, len(payload)) + payload
    with (
        server_that_answers(homomorphic, message) as port,
        pytest.raises(ProtocolError, match="parameters"),
    ):
        ask(port)
    assert opened == []


def test_parameters_in_a_file_are_still_read() -> None:
    """By who runs the program, not by its peer."""
    assert EncryptionParameters.from_json("config/fast.json").poly_modulus_degree == 8192
    with pytest.raises(ConfigError, match="not JSON"):
        EncryptionParameters.from_text("config/fast.json")


def test_another_version_of_the_server_is_said() -> None:
    old = {name: value for name, value in WELCOME.items() if name != "version"}
    for answer, version in ((old, 1), ({**WELCOME, "version": 9}, 9)):
        with (
            server_that_answers(answer) as port,
            pytest.raises(ProtocolError, match=f"speaks version {version} .*same release"),
        ):
            ask(port)


def test_a_refusal_shows_no_words_of_the_servers() -> None:
    answer = {**WELCOME, "mode": "refused", "reason": "\x1b[2Jlayer 'd' needs 77 bits"}
    with server_that_answers(answer) as port, pytest.raises(ProtocolError) as caught:
        ask(port)
    assert str(caught.value) == f"the server refuses: {REFUSALS['network']}"


def test_results_beyond_the_bound_are_refused_before_they_are_read() -> None:
    answer = {**WELCOME, "mode": "plain"}
    payload = json.dumps({"shape": [1 << 13, 1 << 13]}).encode()
    message = encode_header(MessageType.PLAN, len(payload)) + payload
    with server_that_answers(answer, message) as port, pytest.raises(ProtocolError, match="shape"):
        ask(port)


def test_an_offer_is_not_more_than_a_batch_may_hold() -> None:
    with pytest.raises(ConfigError, match="may hold"):
        offered(np.ones(link.MAX_VALUES + 1), True)
    assert OfferedTensor(4, True, 0.0, 1.0) == offered(np.ones(4), True)
