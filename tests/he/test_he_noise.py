"""Noise: measured exactly, against the computed bounds; planning and its refusals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from he_reference import (
    CRYPTONETS,
    TOY,
    linear,
    load,
    negacyclic,
    noise,
    pair,
    secret_polynomial,
    without_hiding,
)
from numpy.typing import NDArray

from capc.errors import ConfigError, RangeError
from capc.fixed_point import RING_BITS, FixedPoint, Int64, choose_ring_bits
from capc.he.client import HEClient
from capc.he.context import context
from capc.he.noise import FLOOD_RATIO_BITS, own_noise, reply_noise, return_level
from capc.he.packing import plan_packing
from capc.he.parameters import EncryptionParameters
from capc.he.planner import Product, layer_norm, plan
from capc.he.shapes import LinearShape


def weights_for(name: str, seed: int = 0) -> NDArray[Any]:
    normal = np.random.default_rng(seed).normal(0, 0.3, CRYPTONETS[name].weight_shape)
    return np.rint(normal * 4096).astype(np.int64)


def replies(
    shape: LinearShape,
    weight: Int64,
    config: EncryptionParameters,
    ring_bits: int,
    hidden: bool,
    runs: int,
) -> tuple[NDArray[Any], float]:
    """(noise of each result coefficient, bound) of replies, from the bytes that were sent."""
    client, server = pair(config, ring_bits)
    if not hidden:
        without_hiding(server, client)
    setting, level = client._context, client._level
    packing = plan_packing(shape, setting.degree)
    layer = server.prepare_layer("layer", packing, weight)
    secret = secret_polynomial(client)
    primes = setting.primes[: level.primes]
    bound = float(reply_noise(setting, level, layer_norm(packing, weight)))
    measured = []
    for _ in range(runs):
        prepared = client.prepare_inputs(packing)
        received = server.receive_inputs(layer, prepared.offline_message)
        share = server._fixed_point.uniform(shape.input_shape)
        message = client.encrypt(packing, share, prepared)
        caught = catch_ciphertexts(client)
        mask = server._fixed_point.uniform(shape.output_shape)
        client.decrypt(
            packing,
            server.evaluate(layer, received, message, server.prepare_reply(layer, mask)),
        )
        for residues, used in zip(caught[-packing.output_polynomials :], packing.output_positions):  # noqa: B905
            measured.append(noise(residues, secret, primes, ring_bits)[used])
    return np.concatenate(measured), bound


def catch_ciphertexts(client: HEClient) -> list[NDArray[np.uint64]]:
    """The residues of every ciphertext that the shared context builds from now on."""
    caught: list[NDArray[np.uint64]] = []
    setting, build = client._context, type(client._context).ciphertext

    def catching(residues: NDArray[np.uint64], *, is_ntt: bool = False) -> Any:
        caught.append(residues.copy())
        return build(setting, residues, is_ntt=is_ntt)

    setting.ciphertext = catching  # type: ignore[method-assign]
    return caught


@pytest.fixture(autouse=True)
def _restore_contexts() -> Iterator[None]:
    yield
    context.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", CRYPTONETS)
@pytest.mark.parametrize("config", ["10", "fast"])
def test_own_noise_stays_below_its_bound(name: str, config: str) -> None:
    measured, bound = replies(
        CRYPTONETS[name], weights_for(name), load(config), 41, hidden=False, runs=4
    )
    assert np.abs(measured).max() <= bound
    # Worst case against typical case: a bound that lost a factor would come out below this.
    assert np.abs(measured).max() > bound / 2**11


def test_the_bound_of_a_product_is_tight_within_a_factor_of_two() -> None:
    """One weight: the noise of a product is the client's error, at most 21, times the weight."""
    shape = LinearShape.convolution((64, 64, 1), (1, 1, 1, 1))
    weight = np.full((1, 1, 1, 1), 1 << 24)
    measured, bound = replies(shape, weight, load("fast"), 41, hidden=False, runs=4)
    assert bound / 2 < np.abs(measured).max() <= bound


@pytest.mark.slow
@pytest.mark.parametrize("name", CRYPTONETS)
@pytest.mark.parametrize(("config", "ring_bits"), [("10", 37), ("fast", 41), ("fast", 45)])
def test_reply_noise_stays_below_its_bound_and_decrypts(
    name: str, config: str, ring_bits: int
) -> None:
    measured, bound = replies(
        CRYPTONETS[name], weights_for(name), load(config), ring_bits, hidden=True, runs=2
    )
    assert np.abs(measured).max() <= bound
    setting = context(load(config), ring_bits)
    kept = math.prod(setting.primes[: return_level(setting).primes])
    assert bound < kept / 2 ** (ring_bits + 1)


@pytest.mark.parametrize("config", ["10", "11", "12", "fast"])
@pytest.mark.parametrize("ring_bits", [37, 41])
def test_flooding_of_cryptonets_relu(config: str, ring_bits: int) -> None:
    parameters, fixed_point = load(config), FixedPoint(ring_bits, 12)
    layers = [Product(n, CRYPTONETS[n], weights_for(n)) for n in CRYPTONETS]
    result = plan(layers, parameters, fixed_point)
    setting = context(parameters, ring_bits)
    for name, planned in result.layers.items():
        norm = layer_norm(planned.packing, weights_for(name))
        assert 1 << result.flood_bits >= 2**40 * own_noise(setting, norm)
        assert planned.flood_margin_bits >= FLOOD_RATIO_BITS
    assert result.returned_primes == (1 if config == "fast" else 2)


def test_the_level_is_public_and_as_low_as_it_can_be() -> None:
    setting = context(load("10"), 41)
    level = return_level(setting)
    assert (level.primes, level.flood_bits) == (2, 75)
    assert reply_noise(setting, level, 0) < Fraction(math.prod(setting.primes[:2]), 2 << 41)
    # One prime of 47 bits holds a value of 41 bits, but not the rounding of the switch as well.
    assert setting.primes[0] < (setting.degree + 1) << 41


def test_planned_bytes_are_the_bytes_sent() -> None:
    client, server = pair(load("fast"))
    for name, shape in CRYPTONETS.items():
        layers = [Product(name, shape, weights_for(name))]
        planned = plan(layers, load("fast"), FixedPoint(41, 12)).layers[name]
        layer = server.prepare_layer(name, planned.packing, weights_for(name))
        prepared = client.prepare_inputs(planned.packing)
        offline = prepared.offline_message
        message = client.encrypt(planned.packing, np.zeros(shape.input_shape, np.int64), prepared)
        reply = server.prepare_reply(layer, np.zeros(shape.output_shape, np.int64))
        received = server.receive_inputs(layer, offline)
        answer = server.evaluate(layer, received, message, reply)
        assert len(offline) == planned.offline_bytes_to_server
        assert len(message) == planned.online_bytes_to_server
        assert len(answer) == planned.bytes_to_client


def test_bad_plans_are_refused() -> None:
    shape = LinearShape.dense(980, 100)
    layer = Product("fc1", shape, weights_for("dense"))
    small = EncryptionParameters("HE_SEAL", 4096, 128, (36, 36, 37))
    with pytest.raises(
        ConfigError, match=r"too small for the model: layer 'fc1' needs .* flooding"
    ):
        plan([layer], small, FixedPoint(37, 12))
    with pytest.raises(ConfigError, match="too small for the model: a ring of 45 bits leaves no"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (47, 30)), FixedPoint(45, 12))
    with pytest.raises(ConfigError, match="cannot hold a ring of 45 bits"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (40, 30)), FixedPoint(45, 12))
    with pytest.raises(ConfigError, match="cannot hold a ring of 45 bits"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (30, 30)), FixedPoint(45, 12))
    with pytest.raises(ConfigError, match="at least two primes"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (60,)), FixedPoint(41, 12))
    huge = Product("fc2", LinearShape.dense(1, 1), np.array([[2**40]]))
    with pytest.raises(RangeError, match="layer 'fc2' has a weight of 42 bits"):
        plan([huge], load("fast"), FixedPoint(41, 12))
    wide = LinearShape.convolution((9, 600, 1), (9, 600, 1, 1))
    with pytest.raises(ConfigError, match="poly_modulus_degree 1024 is too small for the model"):
        plan(
            [Product("c", wide, np.zeros(wide.weight_shape, np.int64))],
            TOY,
            FixedPoint(41, 12),
        )


def test_large_weights_are_refused_for_lack_of_flooding() -> None:
    layer = Product("fc", LinearShape.dense(4, 1), np.full((4, 1), 2**39))
    with pytest.raises(ConfigError, match=r"layer 'fc' needs 8\d\.\d bits of flooding"):
        plan([layer], load("fast"), FixedPoint(41, 12))


@pytest.mark.parametrize(
    ("bounds", "bits"),
    [
        ([], 37),
        ([(0, 0)], 37),
        ([(0, 2**36 - 1)], 37),
        ([(0, 2**36)], 41),
        ([(-(2**36), 0)], 37),
        ([(-(2**36) - 1, 0)], 41),
        ([(-1, 1), (-(2**50), 5)], 53),
        ([(0, 2**56 - 1)], 57),
    ],
)
def test_choose_ring_bits(bounds: list[tuple[int, int]], bits: int) -> None:
    assert choose_ring_bits(bounds) == bits
    assert bits in RING_BITS


def test_no_ring_is_large_enough() -> None:
    with pytest.raises(ConfigError, match="needs values of 58 bits, and the largest ring has 57"):
        choose_ring_bits([(0, 2**56)])


def test_the_measuring_itself() -> None:
    """negacyclic and the layer reference on an example by hand."""
    assert negacyclic([1, 2, 0, 3], [0, 1, 0, -1]) == [-1, 1, 5, -1]
    shape = LinearShape.convolution((2, 2, 1), (2, 2, 1, 1), padding=((1, 0), (0, 0)))
    values = np.array([[[1], [2]], [[3], [4]]])
    kernel = np.array([[[[1]], [[10]]], [[[100]], [[1000]]]])
    assert linear(shape, values, kernel).reshape(-1).tolist() == [2100, 4321]
