"""Both sides together: the decrypted result is the exact layer modulo t, and misuse is refused."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from he_reference import CRYPTONETS, TOY, linear, load, pair, prepared_layer, server_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_he_packing import shapes

from capc.errors import ConfigError, ProtocolError, RangeError
from capc.fixed_point import FixedPoint, Int64
from capc.he.cheapest_packing import plan_packing
from capc.he.client import HEClient
from capc.he.parameters import EncryptionParameters
from capc.he.server import HEServer, ServerLayer, new_key_seed
from capc.he.shapes import LinearShape
from capc.he.symmetric import SEED_BYTES

toy_pair = lru_cache(pair)


def run(client: HEClient, server: HEServer, layer: ServerLayer, share: Int64, mask: Int64) -> Int64:
    reply = server.evaluate(layer, client.encrypt(layer.packing, share), mask)
    return client.decrypt(layer.packing, reply)


def check(
    parameters: EncryptionParameters, ring_bits: int, shape: LinearShape, weight: Int64
) -> None:
    client, server = toy_pair(parameters, ring_bits)
    fixed_point = FixedPoint(ring_bits, 0)
    layer = prepared_layer(server, "layer", plan_packing(shape, client._context.degree), weight)
    share = fixed_point.uniform(shape.input_shape)
    mask = fixed_point.uniform(shape.output_shape)
    result = run(client, server, layer, share, mask)
    expected = fixed_point.reduce(linear(shape, share, weight) + mask)
    np.testing.assert_array_equal(result, expected)


def typical_weight(shape: LinearShape, seed: int = 0) -> Int64:
    normal = np.random.default_rng(seed).normal(0, 0.3, shape.weight_shape)
    return np.rint(normal * 4096).astype(np.int64)


@pytest.mark.parametrize("name", CRYPTONETS)
@pytest.mark.parametrize(
    ("config", "ring_bits"), [("fast", 37), ("fast", 41), ("fast", 45), ("10", 37), ("10", 41)]
)
def test_cryptonets_relu(name: str, config: str, ring_bits: int) -> None:
    check(load(config), ring_bits, CRYPTONETS[name], typical_weight(CRYPTONETS[name]))


@pytest.mark.parametrize("config", ["11", "12"])
def test_the_larger_degrees(config: str) -> None:
    check(load(config), 41, CRYPTONETS["logits"], typical_weight(CRYPTONETS["logits"]))


@settings(max_examples=60, deadline=None)
@given(shapes(), st.sampled_from([37, 41, 45]), st.integers(0, 1000))
def test_any_convolution(shape: LinearShape, ring_bits: int, seed: int) -> None:
    weight = np.random.default_rng(seed).integers(-(2**13), 2**13, shape.weight_shape)
    check(TOY, ring_bits, shape, weight)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(1, 60))
def test_any_dense_layer(n_in: int, n_out: int) -> None:
    shape = LinearShape.dense(n_in, n_out)
    check(TOY, 41, shape, typical_weight(shape, n_in))


@pytest.mark.parametrize("name", CRYPTONETS)
def test_a_batch_in_shared_polynomials(name: str) -> None:
    shape = CRYPTONETS[name]
    client, server = pair(load("fast"))
    packing = plan_packing(shape, 8192, 8)
    assert packing.blocks.images == 8
    weight = typical_weight(shape)
    layer = prepared_layer(server, "layer", packing, weight)
    share = FixedPoint(41, 0).uniform(packing.input_shape)
    mask = FixedPoint(41, 0).uniform(packing.output_shape)
    result = run(client, server, layer, share, mask)
    for one, added, found in zip(share, mask, result, strict=True):
        expected = FixedPoint(41, 0).reduce(linear(shape, one, weight) + added)
        np.testing.assert_array_equal(found, expected)


def test_several_tiles() -> None:
    shape = LinearShape.convolution((64, 40, 2), (3, 3, 2, 3), padding=((1, 1), (1, 1)))
    assert plan_packing(shape, 1024).input_polynomials > 4
    check(TOY, 41, shape, typical_weight(shape))


@pytest.mark.parametrize("zero", [slice(None), slice(0, 330)])
def test_weights_that_are_zero(zero: slice) -> None:
    shape = LinearShape.dense(660, 3)
    weight = typical_weight(shape)
    weight[zero] = 0
    check(TOY, 41, shape, weight)


def test_extreme_shares_and_weights() -> None:
    client, server = toy_pair(TOY, 41)
    shape, top = LinearShape.dense(4, 2), (1 << 41) - 1
    weight = np.array([[2**20, -(2**20)], [1, -1], [0, 1], [-(2**20), 2**20]])
    layer = prepared_layer(server, "layer", plan_packing(shape, 1024), weight)
    for values in ([0, 0, 0, 0], [top] * 4, [1 << 40] * 4, [top, 0, 1, (1 << 40) - 1]):
        share = np.array(values)
        result = run(client, server, layer, share, np.array([0, top]))
        expected = [
            int(sum(int(v) * int(w) for v, w in zip(values, column, strict=True)) + m) % (1 << 41)
            for column, m in zip(weight.T, (0, top), strict=True)
        ]
        assert result.tolist() == expected


class TestCorruption:
    """Every message of either side, truncated, lengthened, emptied or with changed bytes."""

    shape = LinearShape.dense(40, 30)

    def messages(self) -> tuple[HEClient, HEServer, ServerLayer, bytes, bytes]:
        client, server = toy_pair(TOY, 41)
        layer = prepared_layer(
            server, "layer", plan_packing(self.shape, 1024), typical_weight(self.shape)
        )
        request = client.encrypt(layer.packing, np.zeros(40, dtype=np.int64))
        return client, server, layer, request, self.reply(server, layer, request)

    def reply(self, server: HEServer, layer: ServerLayer, request: bytes) -> bytes:
        return server.evaluate(layer, request, np.zeros(30, dtype=np.int64))

    def test_wrong_lengths(self) -> None:
        client, server, layer, request, reply = self.messages()
        seed = new_key_seed()
        key = client.public_key(seed)
        for change in (lambda b: b"", lambda b: b[:-1], lambda b: b + b"\0", lambda b: b * 2):
            with pytest.raises(ProtocolError, match=r"(public key has|merging have) \d+ bytes"):
                HEServer(TOY, FixedPoint(41, 12), seed, change(key), allow_insecure=True)
            with pytest.raises(ProtocolError, match=r"encrypted input has \d+ bytes, not"):
                self.reply(server, layer, change(request))
            with pytest.raises(ProtocolError, match=r"reply has \d+ bytes, not"):
                client.decrypt(layer.packing, change(reply))

    def test_out_of_range(self) -> None:
        client, server, layer, request, reply = self.messages()
        seed = new_key_seed()
        key = client.public_key(seed)
        for place in (0, -16):
            with pytest.raises(ProtocolError):
                HEServer(TOY, FixedPoint(41, 12), seed, poison(key, place), allow_insecure=True)
            with pytest.raises(ProtocolError):
                self.reply(server, layer, poison(request, place or SEED_BYTES))
            with pytest.raises(ProtocolError):
                client.decrypt(layer.packing, poison(reply, place))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 255))
    def test_a_changed_byte_is_refused_or_gives_ring_elements(
        self, place: int, change: int
    ) -> None:
        client, server, layer, request, reply = self.messages()
        seed = new_key_seed()
        key = client.public_key(seed)

        def flip(data: bytes) -> bytes:
            changed = bytearray(data)
            changed[place % len(data)] ^= change
            return bytes(changed)

        def contained(answer: bytes) -> None:
            result = client.decrypt(layer.packing, answer)
            assert result.shape == (30,)
            assert ((result >= 0) & (result < 1 << 41)).all()

        for attempt in (
            lambda: contained(flip(reply)),
            lambda: contained(self.reply(server, layer, flip(request))),
            lambda: HEServer(TOY, FixedPoint(41, 12), seed, flip(key), allow_insecure=True),
        ):
            try:
                attempt()
            except ProtocolError:
                continue


def poison(data: bytes, place: int) -> bytes:
    """All of a residue of 7.5 bytes is set, wherever it begins."""
    changed = bytearray(data)
    stop = place + 16 or None
    changed[place:stop] = b"\xff" * 16
    return bytes(changed)


def test_another_configuration_is_refused() -> None:
    client, _ = toy_pair(TOY, 41)
    larger = EncryptionParameters("HE_SEAL", 2048, 0, (60, 60, 30))
    with pytest.raises(ProtocolError, match="same encryption parameters"):
        server_of(client, larger)


def test_insecure_parameters_need_leave() -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        HEClient(TOY, FixedPoint(41, 12))
    seed = new_key_seed()
    key = toy_pair(TOY, 41)[0].public_key(seed)
    with pytest.raises(ConfigError, match="--insecure"):
        HEServer(TOY, FixedPoint(41, 12), seed, key)


def test_a_key_seed_serves_once() -> None:
    """A second p0 to one p1 would show the errors of both."""
    client, seed = toy_pair(TOY, 41)[0], new_key_seed()
    client.public_key(seed)
    with pytest.raises(ProtocolError, match="used before"):
        client.public_key(seed)
    with pytest.raises(ProtocolError, match="31 bytes, not 32"):
        client.public_key(seed[:-1])


def test_one_client_serves_several_servers() -> None:
    client, shape = toy_pair(TOY, 41)[0], LinearShape.dense(4, 2)
    weight = typical_weight(shape)
    for _ in range(2):
        server = server_of(client, TOY)
        layer = prepared_layer(server, "fc", plan_packing(shape, 1024), weight)
        share = FixedPoint(41, 12).uniform(4)
        result = run(client, server, layer, share, np.zeros(2, dtype=np.int64))
        np.testing.assert_array_equal(
            result, FixedPoint(41, 0).reduce(linear(shape, share, weight).reshape(-1))
        )


def test_weights_beyond_the_ring() -> None:
    _, server = toy_pair(TOY, 41)
    packing = plan_packing(LinearShape.dense(2, 1), 1024)
    with pytest.raises(RangeError, match="'fc' has a weight of 42 bits; the ring has 41"):
        server.prepare_layer("fc", packing, np.array([[1], [-(2**40)]]), 41)
    with pytest.raises(RangeError, match="'fc' has a weight of 14 bits; agreed were 13"):
        server.prepare_layer("fc", packing, np.array([[1], [-(2**12)]]), 12)


def test_nothing_secret_in_a_repr() -> None:
    client, server = toy_pair(TOY, 41)
    packing = plan_packing(LinearShape.dense(2, 1), 1024)
    layer = prepared_layer(server, "fc", packing, np.ones((2, 1), dtype=np.int64))
    assert repr(client) == "HEClient(...)"
    assert "weights" not in repr(layer)


def test_a_reply_of_zeros_is_decrypted_as_any_other() -> None:
    """SEAL refuses a product with 0, of which a peer's ciphertext may consist."""
    client, _ = pair(TOY)
    packing = plan_packing(CRYPTONETS["logits"], TOY.poly_modulus_degree)
    found = client.decrypt(packing, bytes(client.reply_bytes(packing)))
    assert found.shape == CRYPTONETS["logits"].output_shape
    assert not found.any()
