"""Products of encrypted masks: how many are under way, inputs that layers share, and single use."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from two_party import TINY, assert_bit_for_bit

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.graph.layers import Add, Dense, Input, Layer, Network, QuantizedNetwork, Relu
from capc.graph.quantize import quantize
from capc.he.server import HEServer, ServerLayer
from capc.inference import products, supply
from capc.inference.choice import NonlinearChoice
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.layout import opening_products
from capc.inference.reference import evaluate_layers
from capc.inference.server import InferenceServer
from capc.transport.channel import Channel
from capc.transport.framing import MessageType
from capc.transport.outgoing_line import OutgoingLine


@pytest.fixture
def network() -> QuantizedNetwork:
    """Two layers take the input, and two take the ReLU."""
    weights = np.random.default_rng(1).normal(0, 0.3, (4, 6, 6))
    zeros = np.zeros(6)
    layers: tuple[Layer, ...] = (
        Input("x", (), (6,)),
        Dense("a", ("x",), (6,), weights[0], zeros),
        Dense("b", ("x",), (6,), weights[1], zeros),
        Add("sum", ("a", "b"), (6,)),
        Relu("r", ("sum",), (6,)),
        Dense("c", ("r",), (6,), weights[2], zeros),
        Dense("d", ("r",), (6,), weights[3], zeros),
        Add("z", ("c", "d"), (6,)),
    )
    return quantize(Network(layers), FixedPoint(41, 12), (0.0, 1.0))


@pytest.mark.parametrize("window", [1 << 24, 1, 70_000])
@pytest.mark.parametrize("line", [None, "1ms,100mbit"])
def test_products_are_exact_however_many_are_under_way(
    network: QuantizedNetwork, monkeypatch: pytest.MonkeyPatch, window: int, line: str | None
) -> None:
    """A request has 31 kB: one, three or all of them go out before an answer, in pieces."""
    monkeypatch.setattr(products, "_WINDOW_BYTES", window)
    monkeypatch.setattr(products, "_PIECE_BYTES", 40)
    images = np.random.default_rng(2).uniform(0, 1, (5, 6))
    assert_bit_for_bit(network, images, TINY, NonlinearChoice.of("garbled", line))


@pytest.mark.parametrize("window", [1 << 24, 1])
@pytest.mark.parametrize("line", [None, "1ms,100mbit", "1ms,2mbit"])
def test_masks_and_products_go_between_the_rounds_of_a_stock(
    network: QuantizedNetwork, monkeypatch: pytest.MonkeyPatch, window: int, line: str | None
) -> None:
    """Over a line products come when the online phase has begun, at the latest when needed."""
    monkeypatch.setattr(products, "_WINDOW_BYTES", window)
    monkeypatch.setattr(supply, "_MOST_CORRECTED", 1)
    images = np.random.default_rng(2).uniform(0, 1, (5, 6))
    assert_bit_for_bit(network, images, TINY, NonlinearChoice.of("transfers", line))


def test_layers_with_one_input_share_its_mask(network: QuantizedNetwork) -> None:
    assert opening_products(network) == {"x": "a", "r": "c"}


def test_a_batch_is_evaluated_once(network: QuantizedNetwork) -> None:
    """Else the difference of two inputs would show."""
    images = network.fixed_point.encode(np.full((2, 6), 0.5))
    left, right = socket.socketpair()

    def answer() -> None:
        with Channel(right, "querying") as channel:
            server = InferenceServer(channel, network, TINY, allow_insecure=True)
            prepared = server.prepare(2)
            server.evaluate_hidden(prepared)
            server.evaluate_logits(prepared)
            with pytest.raises(RuntimeError, match="before"):
                server.evaluate_hidden(prepared)

    def ask() -> Int64:
        with Channel(left, "answering-0") as channel:
            client = InferenceClient(channel, KeyRing(TINY, allow_insecure=True))
            prepared = client.prepare(2)
            share = client.evaluate_logits(prepared, client.evaluate_hidden(prepared, images))
            with pytest.raises(RuntimeError, match="before"):
                client.evaluate_hidden(prepared, images)
            return share

    with ThreadPoolExecutor(2) as pool:
        answered, asked = pool.submit(answer), pool.submit(ask)
        answered.result()
        assert asked.result().shape == (2, 6)


def test_a_peer_that_sends_more_and_shorter_masks_is_named(
    network: QuantizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supply, "_MOST_CORRECTED", 1)
    transfers = NonlinearChoice("transfers")
    left, right = socket.socketpair()

    def ask_in_pieces(asked: products.AskedProducts) -> None:
        asked._to_ask.clear()
        for _ in range(12):  # there are four
            asked._channel.send(MessageType.CIPHERTEXT, b"short")

    monkeypatch.setattr(products.AskedProducts, "_ask_next", ask_in_pieces)

    def ask() -> None:
        with Channel(left, "answering-0") as channel, contextlib.suppress(ProtocolError):
            InferenceClient(channel, KeyRing(TINY, allow_insecure=True), transfers).prepare(1)

    with ThreadPoolExecutor(1) as pool, Channel(right, "querying") as channel:
        asked = pool.submit(ask)
        server = InferenceServer(channel, network, TINY, allow_insecure=True, choice=transfers)
        with pytest.raises(ProtocolError, match="encrypted input has 5 bytes"):
            server.prepare(1)
        channel.close()
        asked.result()


@pytest.mark.parametrize("length", [0, 46_214, 46_216])
def test_a_piece_of_a_product_of_another_length_is_named(
    network: QuantizedNetwork, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """A product has 46,215 bytes."""
    left, right = socket.socketpair()
    send_piece = products.AnsweredProducts._send_piece

    def send(answered: products.AnsweredProducts) -> None:
        answered._pieces[0] = memoryview(bytes(length))
        send_piece(answered)

    def answer() -> None:
        with Channel(right, "querying") as channel, contextlib.suppress(ProtocolError):
            server = InferenceServer(channel, network, TINY, allow_insecure=True)
            server.prepare(1)

    monkeypatch.setattr(products.AnsweredProducts, "_send_piece", send)
    said = "announced 46216 bytes" if length > 46_215 else f"sent {length} bytes of a product"
    with ThreadPoolExecutor(1) as pool, Channel(left, "answering-0") as channel:
        answered = pool.submit(answer)
        client = InferenceClient(channel, KeyRing(TINY, allow_insecure=True))
        with pytest.raises(ProtocolError, match=said):
            client.prepare(1)
        channel.close()
        answered.result()


def test_a_batch_that_was_not_evaluated_holds_up_no_other(
    network: QuantizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its products are under way, or not even sent, when the next one is prepared."""
    monkeypatch.setattr(supply, "_MOST_CORRECTED", 1)
    monkeypatch.setattr(OutgoingLine, "has_room", lambda _line, _count: False)
    choice = NonlinearChoice.of("transfers", "1ms,100kbit")
    images = network.fixed_point.encode(np.random.default_rng(2).uniform(0, 1, (2, 6)))
    left, right = socket.socketpair()

    def answer() -> Int64:
        with Channel(right, "querying") as channel:
            server = InferenceServer(channel, network, TINY, allow_insecure=True, choice=choice)
            for _ in range(2):
                prepared = server.prepare(2)
            server.evaluate_hidden(prepared)
            return server.evaluate_logits(prepared)

    with ThreadPoolExecutor(1) as pool, Channel(left, "answering-0") as channel:
        answered = pool.submit(answer)
        client = InferenceClient(channel, KeyRing(TINY, allow_insecure=True), choice)
        for _ in range(2):
            prepared = client.prepare(2)
        share = client.evaluate_logits(prepared, client.evaluate_hidden(prepared, images))
        ring = network.fixed_point
        found = ring.signed(ring.reduce(share + answered.result()))
    assert np.array_equal(found, evaluate_layers(network, images)[network.output.name])


def test_weights_for_expected_batches_are_made_at_set_up(
    network: QuantizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    prepare_layer = HEServer.prepare_layer

    def noted(server: HEServer, name: str, *arguments: Any) -> ServerLayer:
        made.append(name)
        return prepare_layer(server, name, *arguments)

    monkeypatch.setattr(HEServer, "prepare_layer", noted)
    left, right = socket.socketpair()

    def ask() -> None:
        with Channel(left, "answering-0") as channel:
            client = InferenceClient(channel, KeyRing(TINY, allow_insecure=True))
            client.prepare(5)
            assert client.image_bytes == sizes.result()

    with ThreadPoolExecutor(1) as pool, Channel(right, "querying") as channel:
        sizes: Future[int] = Future()
        asked = pool.submit(ask)
        server = InferenceServer(channel, network, TINY, allow_insecure=True)
        sizes.set_result(server.image_bytes)
        assert made == ["a", "b", "c", "d"]
        server.expect(5)
        assert made == ["a", "b", "c", "d"] * 2
        server.prepare(5)
        assert len(made) == 8
        asked.result()
