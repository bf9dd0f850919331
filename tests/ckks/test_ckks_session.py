"""Networks on CKKS ciphertexts between two parties over a socket, against the float model."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from capc.ckks.context import ckks_context
from capc.ckks.network import multiplicative_depth, rehearse
from capc.ckks.session import (
    EncryptedInput,
    HomomorphicClient,
    HomomorphicServer,
    network_program,
    plan_from_json,
)
from capc.errors import ConfigError, ModelError, ProtocolError
from capc.fixed_point import Float64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Input,
    Layer,
    Network,
    Pad,
    Relu,
    Reshape,
    Square,
    Transpose,
)
from capc.he.parameters import EncryptionParameters
from capc.transport.channel import Channel

ROOT = Path(__file__).resolve().parents[2]
SMALL = EncryptionParameters("HE_SEAL", 4096, 0, (55, 30, 30, 30, 30, 30, 55), scale=2.0**30)
COMPLEX = EncryptionParameters(
    "HE_SEAL", 4096, 0, (55, 30, 30, 30, 30, 30, 55), scale=2.0**30, complex_packing=True
)


def config(name: str) -> EncryptionParameters:
    return EncryptionParameters.from_json(str(ROOT / "config" / f"he_seal_ckks_config_{name}.json"))


def weights(generator: np.random.Generator, *shape: int) -> Float64:
    return generator.normal(0, 0.4, shape)


def square_network(generator: np.random.Generator) -> Network:
    """Convolution, square, pooling, dense, square, dense: CryptoNets in small."""
    return Network(
        (
            Input("x", (), (6, 6, 1)),
            Conv2D(
                "conv", ("x",), (3, 3, 2), weights(generator, 3, 3, 1, 2), weights(generator, 2),
                strides=(2, 2), padding=((0, 1), (0, 1)),
            ),
            Square("square1", ("conv",), (3, 3, 2)),
            Reshape("flat", ("square1",), (18,)),
            Dense("dense1", ("flat",), (5,), weights(generator, 18, 5), weights(generator, 5)),
            Square("square2", ("dense1",), (5,)),
            Dense("logits", ("square2",), (3,), weights(generator, 5, 3), weights(generator, 3)),
        )
    )  # fmt: skip


def linear_network(generator: np.random.Generator) -> Network:
    """Every layer that only adds, scales and moves."""
    layers: tuple[Layer, ...] = (
        Input("x", (), (4, 4, 2)),
        Pad("pad", ("x",), (6, 5, 2), ((1, 1), (0, 1))),
        Conv2D(
            "grouped", ("pad",), (5, 4, 4), weights(generator, 2, 2, 1, 4), weights(generator, 4),
            groups=2,
        ),
        AvgPool("pool", ("grouped",), (3, 2, 4), (2, 2), (2, 2), ((0, 1), (0, 0))),
        Transpose("turn", ("pool",), (2, 3, 4), (1, 0, 2)),
        Bias("shift", ("turn",), (2, 3, 4), weights(generator, 2, 3, 4)),
        Add("sum", ("turn", "shift"), (2, 3, 4)),
        Conv2D("mix", ("sum",), (2, 3, 1), weights(generator, 1, 1, 4, 1), np.zeros(1)),
        Concat("join", ("sum", "mix"), (2, 3, 5), 2),
        Reshape("flat", ("join",), (30,)),
        Dense("logits", ("flat",), (3,), weights(generator, 30, 3), weights(generator, 3)),
    )  # fmt: skip
    return Network(layers)


def over_a_socket(
    network: Network,
    parameters: EncryptionParameters,
    images: Float64,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> tuple[Float64, HomomorphicServer]:
    left, right = socket.socketpair()
    for end in (left, right):
        end.settimeout(60)
    querying, answering = Channel(left, "server"), Channel(right, "client")
    name = network.input.name

    def serve() -> HomomorphicServer:
        with answering:
            server = HomomorphicServer(
                answering,
                parameters,
                {name: EncryptedInput(network.input.shape, *value_range)},
                network_program(network),
                batch=len(images),
                allow_insecure=True,
            )
            server.answer()
            return server

    with ThreadPoolExecutor(1) as pool, querying:
        served = pool.submit(serve)
        try:
            results = HomomorphicClient(querying, allow_insecure=True).query({name: images})
        except ProtocolError:
            served.result()  # the server's own reason, if it has one
            raise
        return results, served.result()


@pytest.mark.parametrize("make", [square_network, linear_network])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_precise_as_stated(make: object, seed: int) -> None:
    generator = np.random.default_rng(seed)
    network: Network = make(generator)  # type: ignore[operator]
    images = generator.uniform(-1, 1, (50, *network.input.shape))
    results, server = over_a_socket(network, SMALL, images)
    error = np.abs(results - evaluate_float(network, images)).max()
    assert error < 2.0**-server.plan.bits
    assert server.plan.bits > 7
    assert error > 2.0 ** -(server.plan.bits + 5)  # the statement is no empty one


def test_values_that_are_zero_whatever_the_query() -> None:
    """Padding and columns without weights leave ciphertexts without a key's part."""
    weight = np.array([[1.0, 0.0], [2.0, 0.0]])
    layers = (
        Input("x", (), (1, 2, 1)),
        Pad("pad", ("x",), (2, 2, 1), ((1, 0), (0, 0))),
        Square("square", ("pad",), (2, 2, 1)),
        Reshape("flat", ("square",), (4,)),
        Dense("dense", ("flat",), (2,), np.concatenate([weight * 0, weight]), np.zeros(2)),
        Square("squares", ("dense",), (2,)),
    )
    images = np.array([0.5, -1.0, 0.25, 1.0]).reshape(2, 1, 2, 1)
    results, _ = over_a_socket(Network(layers), SMALL, images)
    np.testing.assert_allclose(results, evaluate_float(Network(layers), images), atol=0.001)


def test_two_images_in_a_slot() -> None:
    generator = np.random.default_rng(2)
    network = linear_network(generator)
    images = generator.uniform(-1, 1, (2 * 2048 + 3, 4, 4, 2))  # more than fit once
    results, server = over_a_socket(network, COMPLEX, images)
    assert server.is_complex
    assert len(server.plan.chunks(2048)) == 2
    error = np.abs(results - evaluate_float(network, images)).max()
    assert error < 2.0**-server.plan.bits


def test_complex_packing_gives_way_to_products() -> None:
    generator = np.random.default_rng(3)
    network = square_network(generator)
    images = generator.uniform(-1, 1, (3, 6, 6, 1))
    results, server = over_a_socket(network, COMPLEX, images)
    assert not server.is_complex
    assert "cannot multiply" in server.reason
    np.testing.assert_allclose(results, evaluate_float(network, images), atol=0.01)


def test_cryptonets_fits_n13_l8_and_not_n12_l4() -> None:
    generator = np.random.default_rng(4)
    network = square_network(generator)
    plan = rehearse(network, ckks_context(config("N13_L8")), (0.0, 1.0))
    assert (plan.levels, plan.levels_there) == (multiplicative_depth(network), 6) == (5, 6)
    with pytest.raises(
        ConfigError, match=r"layer 'dense1'.* needs 5 levels, the parameters have 2"
    ):
        rehearse(network, ckks_context(config("N12_L4")), (0.0, 1.0))


def test_values_that_leave_the_modulus() -> None:
    generator = np.random.default_rng(5)
    with pytest.raises(ConfigError, match=r"layer 'conv'.*values up to"):
        rehearse(square_network(generator), ckks_context(config("N13_L8")), (0.0, 2.0**140))


def test_what_is_no_polynomial() -> None:
    layers = (
        Input("x", (), (2,)),
        Dense("a", ("x",), (2,), np.eye(2), np.zeros(2)),
        Relu("r", ("a",), (2,)),
        Dense("b", ("r",), (2,), np.eye(2), np.zeros(2)),
    )
    with pytest.raises(ModelError, match=r"layer 'r' \(Relu\) is no polynomial.*enable_gc"):
        rehearse(Network(layers), ckks_context(SMALL), (0.0, 1.0))


def test_insecure_parameters_are_refused_by_both_sides() -> None:
    left, right = socket.socketpair()
    refused = pytest.raises(ConfigError, match="security_level is 0")
    with Channel(left, "a") as channel, Channel(right, "b"), refused:
        HomomorphicServer(channel, SMALL, {}, lambda inputs, rows: inputs["x"], batch=1)


@pytest.mark.parametrize("pixel", [1.5, -1.5])
def test_queries_out_of_range_stay_at_home(pixel: float) -> None:
    network = linear_network(np.random.default_rng(6))
    images = np.full((1, 4, 4, 2), pixel)
    with pytest.raises(ConfigError, match="outside the range"):
        over_a_socket(network, SMALL, images)


@pytest.mark.parametrize(
    ("field", "value"),
    [("batch", 0), ("inputs", {}), ("output_shape", [-1]), ("output_scale", "nan"), ("bits", None)],
)
def test_a_plan_that_cannot_be_followed(field: str, value: object) -> None:
    good = {
        "parameters": SMALL.to_json(),
        "inputs": {"x": asdict(EncryptedInput((2,), 0.0, 1.0))},
        "batch": 1,
        "is_packed": True,
        "is_complex": False,
        "output_shape": [3],
        "output_primes": 1,
        "output_scale": 2.0**30,
        "bits": 8.0,
    }
    assert plan_from_json(good).output_shape == (3,)
    with pytest.raises(ProtocolError):
        plan_from_json({**good, field: value})
