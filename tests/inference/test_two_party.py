"""Two parties over a socket compute the plain reference, bit for bit."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Float64, Int64
from capc.graph.layers import (
    Add,
    Conv2D,
    Dense,
    Input,
    Layer,
    Network,
    QuantizedNetwork,
    Relu,
    Reshape,
)
from capc.graph.quantize import quantize
from capc.he.parameters import EncryptionParameters
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.plan import check_plan, plan_from_json, plan_to_json, public_part
from capc.inference.reference import encode_images, evaluate
from capc.inference.server import InferenceServer
from capc.inference.unencrypted import UnencryptedClient, UnencryptedServer
from capc.transport.channel import Channel

ROOT = Path(__file__).resolve().parents[2]
RING = FixedPoint(ring_bits=41, fraction_bits=12)


@pytest.fixture(scope="module")
def fast() -> EncryptionParameters:
    return EncryptionParameters.from_json(str(ROOT / "config" / "fast.json"))


def two_party_logits(
    network: QuantizedNetwork,
    parameters: EncryptionParameters,
    batches: list[Float64],
) -> tuple[list[tuple[Int64, Int64]], Channel]:
    """The (querying, answering) logit shares of each batch, and the querying side's channel."""
    left, right = socket.socketpair()
    for end in (left, right):
        end.settimeout(60)
    querying, answering = Channel(left, "answering-0"), Channel(right, "querying")

    def answer() -> list[Int64]:
        with answering:
            server = InferenceServer(answering, network, parameters)
            shares = []
            for images in batches:
                prepared = server.prepare(len(images))
                server.evaluate_hidden(prepared)
                shares.append(server.evaluate_logits(prepared))
            return shares

    def ask() -> list[Int64]:
        with querying:
            client = InferenceClient(querying, KeyRing(parameters))
            shares = []
            for images in batches:
                prepared = client.prepare(len(images))
                encoded = client.plan.fixed_point.encode(images)
                hidden = client.evaluate_hidden(prepared, encoded)
                shares.append(client.evaluate_logits(prepared, hidden))
            return shares

    with ThreadPoolExecutor(2) as pool:
        asked, answered = pool.submit(ask), pool.submit(answer)
        return list(zip(asked.result(), answered.result(), strict=True)), querying


def assert_reference(
    network: QuantizedNetwork, images: Float64, shares: tuple[Int64, Int64]
) -> None:
    ring = network.fixed_point
    opened = ring.signed(ring.reduce(shares[0] + shares[1]))
    np.testing.assert_array_equal(opened, evaluate(network, images))


def cryptonets_shape(generator: np.random.Generator) -> Network:
    """CryptoNets-ReLU's layers with random weights."""

    def weights(*shape: int) -> Float64:
        return generator.normal(0, 0.1, shape)

    return Network(
        (
            Input("x", (), (28, 28, 1)),
            Conv2D(
                "conv", ("x",), (14, 14, 5), weights(5, 5, 1, 5), weights(5),
                strides=(2, 2), padding=((1, 2), (1, 2)),
            ),
            Relu("relu1", ("conv",), (14, 14, 5)),
            Reshape("flat", ("relu1",), (980,)),
            Dense("dense1", ("flat",), (100,), weights(980, 100), weights(100)),
            Relu("relu2", ("dense1",), (100,)),
            Dense("dense2", ("relu2",), (10,), weights(100, 10), weights(10)),
        )
    )  # fmt: skip


@pytest.mark.parametrize("config", ["fast.json", "10.json"])
def test_cryptonets_relu_several_batches(config: str) -> None:
    generator = np.random.default_rng(0)
    network = quantize(cryptonets_shape(generator), RING, (0.0, 1.0))
    parameters = EncryptionParameters.from_json(str(ROOT / "config" / config))
    batches = [generator.uniform(0, 1, (size, 28, 28, 1)) for size in (1, 3)]
    shares, _ = two_party_logits(network, parameters, batches)
    for images, pair in zip(batches, shares, strict=True):
        assert_reference(network, images, pair)


def test_more_images_than_travel_at_once(fast: EncryptionParameters) -> None:
    generator = np.random.default_rng(1)
    layers = (
        Input("x", (), (4,)),
        Dense("a", ("x",), (3,), generator.normal(size=(4, 3)), np.zeros(3)),
        Relu("r", ("a",), (3,)),
        Dense("b", ("r",), (2,), generator.normal(size=(3, 2)), np.ones(2)),
    )
    network = quantize(Network(layers), RING, (-1.0, 1.0))
    images = generator.uniform(-1, 1, (37, 4))
    shares, _ = two_party_logits(network, fast, [images])
    assert_reference(network, images, shares[0])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Small networks with convolutions, residual sums, ReLUs and dense layers of odd shapes."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, channels = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    layers: list[Layer] = [Input("x", (), (size, size, channels))]
    for index in range(draw(st.integers(1, 2))):
        last = layers[-1]
        filters, kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        stride = draw(st.integers(1, 2))
        before, after = (kernel - 1) // 2, kernel // 2
        height, width, depth = last.shape
        shape = (-(-height // stride), -(-width // stride), filters)
        shape = ((height - 1) // stride + 1, (width - 1) // stride + 1, filters)
        weight = generator.normal(0, 0.5, (kernel, kernel, depth, filters))
        layers.append(
            Conv2D(
                f"conv{index}", (last.name,), shape, weight, generator.normal(size=filters),
                strides=(stride, stride), padding=((before, after), (before, after)),
            )
        )  # fmt: skip
        layers.append(Relu(f"relu{index}", (layers[-1].name,), shape))
        if draw(st.booleans()):
            layers.append(Add(f"sum{index}", (layers[-1].name, f"relu{index}"), shape))
    last = layers[-1]
    flat = int(np.prod(last.shape))
    layers.append(Reshape("flat", (last.name,), (flat,)))
    classes = draw(st.integers(2, 5))
    weight = generator.normal(0, 0.5, (flat, classes))
    layers.append(Dense("logits", ("flat",), (classes,), weight, generator.normal(size=classes)))
    return Network(tuple(layers))


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(network=networks(), seed=st.integers(0, 2**32))
def test_random_networks(network: Network, seed: int, fast: EncryptionParameters) -> None:
    quantized = quantize(network, RING, (-1.0, 1.0))
    images = np.random.default_rng(seed).uniform(-1, 1, (2, *network.input.shape))
    shares, _ = two_party_logits(quantized, fast, [images])
    assert_reference(quantized, images, shares[0])


def test_shares_are_fresh(fast: EncryptionParameters) -> None:
    """The same query twice: unrelated shares on both sides."""
    network = quantize(cryptonets_shape(np.random.default_rng(2)), RING, (0.0, 1.0))
    images = np.full((1, 28, 28, 1), 0.5)
    (first, second), _ = two_party_logits(network, fast, [images, images])
    for one, two in zip(first, second, strict=True):
        assert not np.any(one == two)  # 10 values of 41 bits: equal by chance once in 2^37
    assert_reference(network, images, first)
    assert_reference(network, images, second)


def test_plan_says_nothing_of_the_weights() -> None:
    network = quantize(cryptonets_shape(np.random.default_rng(3)), RING, (0.0, 1.0))
    other = quantize(cryptonets_shape(np.random.default_rng(4)), RING, (0.0, 1.0))
    plan = plan_to_json(public_part(network))
    assert plan == plan_to_json(public_part(other))
    parsed = plan_from_json(plan)
    check_plan(parsed)
    assert plan_to_json(parsed) == plan
    assert not np.any(next(x for x in parsed.layers if isinstance(x, Dense)).weight)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ring_bits",), 999),
        (("fraction_bits",), "12"),
        (("input_range",), [1.0, 0.0]),
        (("layers",), []),
        (("layers", 1, "kind"), "Layer"),
        (("layers", 1, "kind"), "__class__"),
        (("layers", 1, "inputs"), ["layer-9"]),
        (("layers", 1, "shape"), [14, 14, 1 << 40]),
        (("layers", 1, "shape"), [14, 14, 6]),
        (("layers", 1, "kernel"), [5, 5, 2, 5]),
        (("layers", 1, "strides"), [0, 2]),
        (("layers", 1, "strides"), "ab"),
        (("layers", 1, "padding"), [[-9, 2], [1, 2]]),
        (("layers", 3, "shape"), [981]),
        (("layers", 1, "output_bits"), -1),
        (("layers", 6, "name"), None),
    ],
)
def test_a_plan_that_cannot_be_followed(path: tuple[str | int, ...], value: object) -> None:
    network = quantize(cryptonets_shape(np.random.default_rng(5)), RING, (0.0, 1.0))
    plan: object = plan_to_json(public_part(network))
    place = plan
    for key in path[:-1]:
        place = place[key]  # type: ignore[index]
    place[path[-1]] = value  # type: ignore[index]
    with pytest.raises(ProtocolError):
        check_plan(plan_from_json(plan))  # type: ignore[arg-type]


def test_without_encryption() -> None:
    generator = np.random.default_rng(6)
    network = quantize(cryptonets_shape(generator), RING, (0.0, 1.0))
    images = generator.uniform(0, 1, (3, 28, 28, 1))
    left, right = socket.socketpair()
    querying, answering = Channel(left, "answering-0"), Channel(right, "querying")
    with querying, answering, ThreadPoolExecutor(1) as pool:

        def answer() -> Int64:
            server = UnencryptedServer(answering, network)
            prepared = server.prepare(3)
            server.evaluate_hidden(prepared)
            return server.evaluate_logits(prepared)

        answered = pool.submit(answer)
        client = UnencryptedClient(querying)
        prepared = client.prepare(3)
        encoded = network.fixed_point.reduce(encode_images(network, images))
        share = client.evaluate_logits(prepared, client.evaluate_hidden(prepared, encoded))
        assert_reference(network, images, (share, answered.result()))


def test_batches_share_polynomials_and_fill_up(fast: EncryptionParameters) -> None:
    """Sizes that are no power of two, one after another in one session."""
    generator = np.random.default_rng(8)
    network = quantize(cryptonets_shape(generator), RING, (0.0, 1.0))
    batches = [generator.uniform(0, 1, (size, 28, 28, 1)) for size in (7, 2, 1)]
    shares, _ = two_party_logits(network, fast, batches)
    for images, pair in zip(batches, shares, strict=True):
        assert_reference(network, images, pair)
