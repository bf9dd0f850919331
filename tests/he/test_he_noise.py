"""Noise: measured exactly, against the computed bounds; planning and its refusals."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from he_reference import (
    CRYPTONETS,
    TOY,
    crt,
    layer_norm,
    linear,
    load,
    negacyclic,
    noise,
    pair,
    prepared_layer,
    reply_residues,
    secret_polynomial,
    without_mask,
)
from hypothesis import given, settings
from numpy.typing import NDArray
from test_he_packing import shapes

from capc.errors import ConfigError, RangeError
from capc.fixed_point import RING_BITS, FixedPoint, Int64, choose_ring_bits
from capc.he import rns
from capc.he.cheapest_packing import plan_packing
from capc.he.client import HEClient
from capc.he.context import context
from capc.he.noise import (
    DISTANCE_BITS,
    noise_limit,
    own_noise,
)
from capc.he.parameters import EncryptionParameters
from capc.he.planner import Product, plan
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
) -> tuple[NDArray[Any], Fraction]:
    """(noise of each result coefficient, bound) of replies, from the bytes that were sent."""
    client, server = pair(config, ring_bits)
    setting = client._context
    packing = plan_packing(shape, setting.degree)
    layer = prepared_layer(server, "layer", packing, weight)
    if not hidden:
        layer = without_mask(layer)
    secret = secret_polynomial(client)
    bound = own_noise(setting, layer_norm(packing, weight)) + layer.mask_width // 2
    measured = []
    for _ in range(runs):
        request = client.encrypt(packing, server._fixed_point.uniform(shape.input_shape))
        mask = server._fixed_point.uniform(shape.output_shape)
        ciphertexts = reply_residues(client, packing, server.evaluate(layer, request, mask))
        for used, residues in zip(packing.output_positions, ciphertexts, strict=True):
            measured.append(noise(residues, secret, setting.primes, ring_bits)[used])
    return np.concatenate(measured), bound


@pytest.mark.slow
@pytest.mark.parametrize("name", CRYPTONETS)
@pytest.mark.parametrize("config", ["10", "fast"])
def test_own_noise_stays_below_its_bound(name: str, config: str) -> None:
    measured, bound = replies(
        CRYPTONETS[name], weights_for(name), load(config), 41, hidden=False, runs=4
    )
    assert np.abs(measured).max() <= float(bound)
    # Worst case against typical case: a bound that lost a factor would come out below this.
    assert np.abs(measured).max() > float(bound) / 2**11


def test_the_bound_of_a_product_is_tight_within_a_factor_of_two() -> None:
    """One weight: the noise of a product is the client's error, at most 21, times the weight."""
    shape = LinearShape.convolution((64, 64, 1), (1, 1, 1, 1))
    weight = np.full((1, 1, 1, 1), 1 << 24)
    measured, bound = replies(shape, weight, load("fast"), 41, hidden=False, runs=4)
    assert float(bound) / 2 < np.abs(measured).max() <= float(bound)


@pytest.mark.slow
@pytest.mark.parametrize("name", CRYPTONETS)
@pytest.mark.parametrize(("config", "ring_bits"), [("10", 37), ("fast", 41), ("fast", 45)])
def test_reply_noise_stays_below_its_bound_and_decrypts(
    name: str, config: str, ring_bits: int
) -> None:
    measured, bound = replies(
        CRYPTONETS[name], weights_for(name), load(config), ring_bits, hidden=True, runs=2
    )
    assert np.abs(measured).max() <= float(bound)
    setting = context(load(config), ring_bits)
    assert bound < Fraction(math.prod(setting.primes), 2 << ring_bits)


@pytest.mark.parametrize("config", ["10", "11", "12", "fast"])
@pytest.mark.parametrize("ring_bits", [37, 41])
def test_the_distance_of_cryptonets_relu(config: str, ring_bits: int) -> None:
    parameters, fixed_point = load(config), FixedPoint(ring_bits, 12)
    layers = [Product(n, CRYPTONETS[n], weights_for(n), 13) for n in CRYPTONETS]
    result = plan(layers, parameters, fixed_point)
    setting = context(parameters, ring_bits)
    cell = Fraction(math.prod(setting.primes), 1 << ring_bits)
    for planned in result.values():
        guards = 2 * own_noise(setting, planned.packing.weights_together << 13)
        assert guards / cell < planned.distance <= Fraction(1, 1 << DISTANCE_BITS)
        # The rest is the rounding to an even width.
        assert planned.distance < (guards + 4) / cell


@pytest.mark.parametrize("name", CRYPTONETS)
def test_as_many_weights_enter_a_polynomial_as_are_counted(name: str) -> None:
    for images in (1, 8):
        packing = plan_packing(CRYPTONETS[name], 8192, images)
        ones = np.ones(CRYPTONETS[name].weight_shape, dtype=np.int64)
        assert packing.weights_together == layer_norm(packing, ones)


@settings(max_examples=100, deadline=None)
@given(shapes())
def test_no_more_weights_enter_a_polynomial_than_are_counted(shape: LinearShape) -> None:
    packing = plan_packing(shape, 1024)
    ones = np.ones(shape.weight_shape, dtype=np.int64)
    assert packing.weights_together == layer_norm(packing, ones)


@pytest.mark.parametrize("config", ["fast", "10", "deep"])
def test_a_client_decrypts_up_to_the_limit(config: str) -> None:
    """Phases at both ends of a cell, where one more would be another result."""
    client = HEClient(load(config), FixedPoint(41, 12))
    setting, primes = client._context, client._context.primes
    modulus, packing = math.prod(primes), plan_packing(LinearShape.dense(1, 500), 8192)
    limit = math.ceil(noise_limit(setting)) - 1
    messages = FixedPoint(41, 12).uniform(packing.output_shape)
    used = packing.output_positions[0]
    ones = np.ones((1, len(primes), setting.degree), dtype=np.uint64)
    turned = crt(client._zeros.times_secret(ones)[0], primes)
    for sign in (1, -1):
        # |noise| <= limit for the exact q m / t, which floor and ceiling move by less than one.
        phases = [
            -(-int(m) * modulus // 2**41) - limit if sign < 0 else int(m) * modulus // 2**41 + limit
            for m in packing.pack_output(messages)[0]
        ]
        values = [phase - turned[k] for phase, k in zip(phases, used, strict=True)]
        first = np.array([[value % prime for value in values] for prime in primes], dtype=np.uint64)
        reply = rns.pack(first, primes) + rns.pack(ones[0], primes)
        np.testing.assert_array_equal(client.decrypt(packing, reply), messages)


def test_planned_bytes_are_the_bytes_sent() -> None:
    client, server = pair(load("fast"))
    for name, shape in CRYPTONETS.items():
        layers = [Product(name, shape, weights_for(name), 13)]
        planned = plan(layers, load("fast"), FixedPoint(41, 12))[name]
        layer = server.prepare_layer(name, planned.packing, weights_for(name), 13)
        request = client.encrypt(planned.packing, np.zeros(shape.input_shape, np.int64))
        reply = server.evaluate(layer, request, np.zeros(shape.output_shape, np.int64))
        assert len(request) == planned.bytes_to_server == server.request_bytes(layer)
        assert len(reply) == planned.bytes_to_client == client.reply_bytes(planned.packing)


def test_bad_plans_are_refused() -> None:
    shape = LinearShape.dense(980, 100)
    layer = Product("fc1", shape, weights_for("dense"), 13)
    small = EncryptionParameters("HE_SEAL", 4096, 128, (36, 36, 37))
    with pytest.raises(
        ConfigError, match=r"too small for the model: layer 'fc1' needs guards of .* bits"
    ):
        plan([layer], small, FixedPoint(37, 12))
    with pytest.raises(ConfigError, match=r"ring of 45 bits leaves cells of 2\.0; use larger"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (47, 30)), FixedPoint(45, 12))
    with pytest.raises(ConfigError, match="cannot hold a ring of 45 bits"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (40, 30)), FixedPoint(45, 12))
    with pytest.raises(ConfigError, match="cannot hold a ring of 45 bits"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (30, 30)), FixedPoint(45, 12))
    with pytest.raises(ConfigError, match="at least two primes"):
        plan([layer], EncryptionParameters("HE_SEAL", 8192, 128, (60,)), FixedPoint(41, 12))
    huge = Product("fc2", LinearShape.dense(1, 1), np.array([[2**40]]), 41)
    with pytest.raises(RangeError, match="layer 'fc2' has a weight of 42 bits"):
        plan([huge], load("fast"), FixedPoint(41, 12))
    wide = LinearShape.convolution((9, 600, 1), (9, 600, 1, 1))
    with pytest.raises(ConfigError, match="poly_modulus_degree 1024 is too small for the model"):
        plan(
            [Product("c", wide, np.zeros(wide.weight_shape, np.int64), 1)],
            TOY,
            FixedPoint(41, 12),
        )


def test_refusal_follows_from_public_figures_alone() -> None:
    """From the bits agreed on, whatever the weights are."""
    shape = LinearShape.dense(4, 1)
    for weight in (np.zeros((4, 1), dtype=np.int64), np.full((4, 1), 2**30)):
        plan([Product("fc", shape, weight, 31)], load("fast"), FixedPoint(41, 12))
        with pytest.raises(ConfigError, match=r"'fc' needs guards of 39\.4 bits, 2\^-40 of a"):
            plan([Product("fc", shape, weight, 32)], load("fast"), FixedPoint(41, 12))


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
