"""What the querying party, who knows the secret key and its own randomness, sees of the weights."""

from __future__ import annotations

import numpy as np
import pytest
from he_reference import (
    CRYPTONETS,
    centred,
    chi_square_is_plausible,
    crt,
    load,
    negacyclic,
    noise,
    pair,
    prepared_layer,
    reply_residues,
    secret_polynomial,
)
from numpy.typing import NDArray

from capc.fixed_point import FixedPoint
from capc.he import rns
from capc.he.cheapest_packing import plan_packing
from capc.he.client import HEClient
from capc.he.messages import unpack_request
from capc.he.server import HEServer, ServerLayer, new_key_seed
from capc.he.symmetric import SEED_BYTES, uniform_polynomials

SHAPE = CRYPTONETS["conv"]


class Session:
    """One query, asked again and again with the same ciphertexts of the client."""

    def __init__(self, config: str = "fast") -> None:
        self.client, self.server = pair(load(config), 41)
        self.packing = plan_packing(SHAPE, 8192)
        generator = np.random.default_rng(3)
        self.weight = generator.integers(-4000, 4000, SHAPE.weight_shape)
        self.layer = prepared_layer(self.server, "conv", self.packing, self.weight)
        self.nothing = prepared_layer(self.server, "zero", self.packing, np.zeros_like(self.weight))
        self.share = FixedPoint(41, 12).uniform(SHAPE.input_shape)
        self.request = self.client.encrypt(self.packing, self.share)

    def reply(self, layer: ServerLayer, mask: NDArray[np.int64] | None = None) -> bytes:
        fresh = FixedPoint(41, 12).uniform(SHAPE.output_shape) if mask is None else mask
        return self.server.evaluate(layer, self.request, fresh)

    def residues(self, reply: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """c0 at the coefficients that are sent, and c1, both in coefficient form."""
        ((first, second),) = reply_residues(self.client, self.packing, reply)
        return first[:, self.packing.output_positions[0]], second


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def top_bits(values: NDArray[np.uint64], prime: int, bins: int = 64) -> NDArray[np.int64]:
    return np.array([int(value) * bins // prime for value in values])


def test_one_query_twice_gives_unrelated_replies(session: Session) -> None:
    prime = session.client._context.primes[0]
    first, second = (session.residues(session.reply(session.layer)) for _ in range(2))
    for left, right in zip(first, second, strict=True):
        difference = (left[0].astype(object) - right[0].astype(object)) % prime
        assert chi_square_is_plausible(top_bits(difference, prime), 64)
        assert np.count_nonzero(left[0] == right[0]) == 0


@pytest.mark.parametrize("layer", ["layer", "nothing"])
def test_the_reply_looks_uniform_whatever_the_weights(session: Session, layer: str) -> None:
    prime = session.client._context.primes[0]
    for part in session.residues(session.reply(getattr(session, layer))):
        assert chi_square_is_plausible(top_bits(part[0], prime), 64)
        assert chi_square_is_plausible((part[0] & np.uint64(63)).astype(np.int64), 64)


def test_the_result_of_a_reply_is_uniform(session: Session) -> None:
    results = [
        session.client.decrypt(session.packing, session.reply(session.layer)) for _ in range(5)
    ]
    values = np.concatenate([result.reshape(-1) for result in results])
    assert chi_square_is_plausible(values >> 35, 64)
    assert chi_square_is_plausible(values & 63, 64)


def test_the_second_polynomial_does_not_show_the_weights(session: Session) -> None:
    """Without re-randomisation it would be the client's own polynomial times the weights."""
    context = session.client._context
    own = context.from_ntt(uniform_polynomials(session.request[:SEED_BYTES], 1, context))[0]
    weight = next(session.packing.pack_weights(session.weight)).tolist()
    modulus = context.primes[0] * context.primes[1]
    product = [value % modulus for value in negacyclic(crt(own, context.primes), weight)]
    _, second = session.residues(session.reply(session.layer))
    difference = [
        (a - b) % modulus for a, b in zip(crt(second, context.primes), product, strict=True)
    ]
    slots = np.array([value * 64 // modulus for value in difference])
    assert chi_square_is_plausible(slots, 64)
    assert min(min(value, modulus - value) for value in difference) > 2**64


def test_the_noise_is_that_of_the_mask(session: Session) -> None:
    """Uniform over a whole cell, and so alike for other weights, for all the client can see."""
    context = session.client._context
    secret = secret_polynomial(session.client)
    used = session.packing.output_positions[0]
    width = 2.0**-41 * context.primes[0] * context.primes[1]
    for layer in (session.layer, session.nothing):
        measured = []
        for _ in range(4):
            (residues,) = reply_residues(session.client, session.packing, session.reply(layer))
            measured.append(noise(residues, secret, context.primes, 41)[used])
        values = np.concatenate(measured)
        assert np.abs(values).max() <= width / 2
        slots = np.clip((values / width + 0.5) * 64, 0, 63).astype(np.int64)
        assert chi_square_is_plausible(slots, 64)


def test_coefficients_without_a_result_are_not_sent(session: Session) -> None:
    primes = session.client._context.primes
    for name, shape in CRYPTONETS.items():
        packing = plan_packing(shape, 8192)
        used = sum(positions.size for positions in packing.output_positions)
        assert used == int(np.prod(shape.output_shape)), name
    expected = rns.packed_size(primes, int(np.prod(SHAPE.output_shape)) + 8192)
    assert len(session.reply(session.layer)) == expected


def test_two_encryptions_of_one_share_differ(session: Session) -> None:
    messages = [
        np.frombuffer(session.client.encrypt(session.packing, session.share), dtype="<u8")
        for _ in range(2)
    ]
    assert np.count_nonzero(messages[0] == messages[1]) == 0
    low = (messages[0] ^ messages[1]) & np.uint64(63)
    assert chi_square_is_plausible(low.astype(np.int64), 64)


def test_the_message_hides_the_share(session: Session) -> None:
    setting = session.client._context
    zeros = np.zeros(SHAPE.input_shape, dtype=np.int64)
    request = session.client.encrypt(session.packing, zeros)
    _, first = unpack_request(request, session.packing, setting)
    for row, prime in zip(first[0], setting.primes, strict=True):
        assert chi_square_is_plausible(top_bits(row, prime), 64)


def test_keys_are_fresh_per_client() -> None:
    seed = new_key_seed()
    keys = [HEClient(load("fast"), FixedPoint(41, 12)).public_key(seed) for _ in range(2)]
    assert np.count_nonzero(np.frombuffer(keys[0], "<u4") == np.frombuffer(keys[1], "<u4")) < 64
    assert isinstance(HEServer(load("fast"), FixedPoint(41, 12), seed, keys[0]), HEServer)


def test_centred() -> None:
    assert [centred(value, 8) for value in (0, 3, 4, 7)] == [0, 3, -4, -1]
