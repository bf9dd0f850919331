"""A querying party that deviates: what it sends off the plaintext grid, and as its public key.

The attacks succeed against replies that are only flooded and against a public key that the client
chooses whole; against today's replies they guess.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from he_reference import (
    TOY,
    centred,
    chi_square_is_plausible,
    crt,
    negacyclic,
    pair,
    prepared_layer,
    reply_residues,
    secret_polynomial,
)
from numpy.typing import NDArray

from capc.fixed_point import FixedPoint, Int64
from capc.he import public, rns
from capc.he.cheapest_packing import plan_packing
from capc.he.client import HEClient
from capc.he.context import Context
from capc.he.messages import pack_request
from capc.he.packing import Packing
from capc.he.rns import UInt64
from capc.he.server import HEServer, ServerLayer, new_key_seed
from capc.he.shapes import LinearShape
from capc.he.symmetric import SEED_BYTES, uniform_polynomials

RING = FixedPoint(41, 12)
WIDE = LinearShape.dense(1, 1000)  # one reply tells of a thousand weights
NARROW = LinearShape.dense(4, 2)


# What a client puts into an input's c0, in units of q / t, and how its half of the key starts.
INPUTS = {"half a cell": 0.5, "a third of a cell": 1 / 3, "on the grid": 3.0, "all but zero": 0.0}
KEYS = {"honest": None, "zero": 0, "one": 1}


def is_chance(right: int, guesses: int) -> bool:
    """Whether so many right guesses of two are chance; wrongly False below 2^-40 (Hoeffding)."""
    return abs(right - guesses / 2) < math.sqrt(guesses * 41 * math.log(2) / 2)


def encrypt_off_the_grid(client: HEClient, packing: Packing, value: int) -> bytes:
    """A request whose first coefficient holds `value`.

    `value` is added to the phase as it is, modulo q, where an honest client adds q m / t.
    """
    context = client._context
    shape = packing.input_polynomials, len(context.primes), context.degree
    residues: UInt64 = np.zeros(shape, dtype=np.uint64)
    residues[..., 0] = [value % prime for prime in context.primes]
    return pack_request(*client._zeros.encrypt(residues), context)


def reply(server: HEServer, layer: ServerLayer, request: bytes) -> bytes:
    return server.evaluate(layer, request, RING.uniform(layer.packing.output_shape))


def parts(client: HEClient, packing: Packing, data: bytes) -> tuple[list[int], list[int]]:
    """The sent coefficients of c0, at their places among zeros, and c1, of a reply of one."""
    ((first, second),) = reply_residues(client, packing, data)
    return crt(first, client._context.primes), crt(second, client._context.primes)


def server_under(client: HEClient, key: int | None) -> HEServer:
    """A server whose client answers its seed truly (None), or with p0 = `key` throughout."""
    seed, primes = new_key_seed(), client._context.primes
    answer = client.public_key(seed)
    if key is not None:
        answer = rns.pack(np.full((len(primes), 1024), key, dtype=np.uint64), primes)
    return HEServer(TOY, RING, seed, answer, allow_insecure=True)


def is_uniform(values: list[int], modulus: int) -> bool:
    """Whether integers modulo `modulus` look uniform over its cells, and within a cell."""
    cells = np.array([value * 64 // modulus for value in values])
    within = np.array([(value << 41) % modulus * 64 // modulus for value in values])
    return chi_square_is_plausible(cells, 64) and chi_square_is_plausible(within, 64)


def seen_in(
    client: HEClient, server: HEServer, layer: ServerLayer, value: float
) -> tuple[list[int], list[int], int]:
    """The sent coefficients of c0 in a reply, the phase at the same places, and their modulus.

    The phase under the client's key is what it could compute if it knew every bit of c1 s.
    """
    primes, packing = client._context.primes, layer.packing
    modulus = math.prod(primes)
    request = encrypt_off_the_grid(client, packing, int(value * (modulus >> 41)))
    if value == 0:  # no encryption at all: c0 is 1, whatever c1 is
        one = np.ones((1, len(primes), 1024), dtype=np.uint64)  # in NTT form
        request = pack_request(request[:SEED_BYTES], one, client._context)
    first, second = parts(client, packing, reply(server, layer, request))
    turned = negacyclic(second, secret_polynomial(client))
    used = packing.output_positions[0]
    return [first[k] for k in used], [(first[k] + turned[k]) % modulus for k in used], modulus


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("value", INPUTS.values(), ids=INPUTS)
def test_replies_are_uniform_in_every_cell(value: float, key: int | None) -> None:
    client, _ = pair(TOY)
    server = server_under(client, key)
    weight = np.random.default_rng(7).integers(-4000, 4000, WIDE.weight_shape)
    layer = prepared_layer(server, "layer", plan_packing(WIDE, 1024), weight)
    first, phase, modulus = seen_in(client, server, layer, value)
    assert is_uniform(first, modulus)
    assert is_uniform(phase, modulus)


def test_a_mask_of_an_eighth_of_a_cell_is_seen() -> None:
    """The control of the test above: flooding as wide as it used to be."""
    client, _ = pair(TOY)
    weight = np.random.default_rng(7).integers(-4000, 4000, WIDE.weight_shape)
    for key, value in ((None, 0.5), (None, 3.0), (0, 0.0), (1, 0.0)):
        server = server_under(client, key)
        layer = prepared_layer(server, "layer", plan_packing(WIDE, 1024), weight)
        narrow = replace(layer, mask_width=layer.mask_width // 16 * 2)
        first, phase, modulus = seen_in(client, server, narrow, value)
        assert not (is_uniform(first, modulus) and is_uniform(phase, modulus))


def test_off_the_grid_the_phase_does_not_tell_the_parities_of_weights() -> None:
    """q/2t at one input: an odd weight moves the phase by half a cell, an even one by none."""
    client, server = pair(TOY)
    packing = plan_packing(WIDE, 1024)
    weight: Int64 = np.random.default_rng(5).integers(-4000, 4000, WIDE.weight_shape)
    layer = prepared_layer(server, "layer", packing, weight)
    assert packing.output_polynomials == 1
    modulus = math.prod(client._context.primes)
    request = encrypt_off_the_grid(client, packing, modulus >> 42)
    first, second = parts(client, packing, reply(server, layer, request))
    turned = negacyclic(second, secret_polynomial(client))
    phase = [a + b for a, b in zip(first, turned, strict=True)]
    odd = [
        abs(centred(phase[k] << 41, modulus)) > modulus // 4 for k in packing.output_positions[0]
    ]
    right = np.array(odd) == (np.concatenate(packing.pack_output(weight[0])) % 2 == 1)
    assert is_chance(int(right.sum()), right.size)


def guesses_from_second_polynomial(guesses: int) -> int:
    """How often c1 - w a is small for the right one of two candidates w; the client drew `a`."""
    client, _ = pair(TOY)
    server, packing = server_under(client, 0), plan_packing(NARROW, 1024)
    generator, primes = np.random.default_rng(6), client._context.primes
    candidates = [generator.integers(-4000, 4000, NARROW.weight_shape) for _ in range(2)]
    layers = [prepared_layer(server, "layer", packing, weight) for weight in candidates]
    packed = [next(packing.pack_weights(weight)).tolist() for weight in candidates]
    right = 0
    for _ in range(guesses):
        chosen = int(generator.integers(2))
        request = encrypt_off_the_grid(client, packing, 0)
        uniform = uniform_polynomials(request[:SEED_BYTES], 1, client._context)
        own = crt(client._context.from_ntt(uniform)[0], primes)
        _, second = parts(client, packing, reply(server, layers[chosen], request))
        # Any coefficient will do: the first one of the product modulo X^N + 1.
        firsts = [
            weight[0] * own[0] - sum(weight[j] * own[-j] for j in range(1, 1024) if weight[j])
            for weight in packed
        ]
        sizes = [abs(centred(second[0] - first, math.prod(primes))) for first in firsts]
        right += int(np.argmin(sizes)) == chosen
    return right


def test_no_public_key_makes_the_second_polynomial_show_the_weights() -> None:
    """Without p1 u the reply's c1 is w a and a small error."""
    assert is_chance(guesses_from_second_polynomial(64), 64)


def test_a_small_p1_would_show_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: what a client would choose if it could."""

    def one(seed: bytes, context: Context) -> NDArray[np.uint64]:
        return np.ones((1, len(context.primes), context.degree), dtype=np.uint64)

    monkeypatch.setattr(public, "key_polynomial", one)
    assert guesses_from_second_polynomial(64) == 64
