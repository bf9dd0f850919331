"""The two messages of a product, read and written by hand."""

from __future__ import annotations

import numpy as np
from he_reference import TOY, noise, pair, secret_polynomial

from capc.fixed_point import FixedPoint
from capc.he import rns
from capc.he.cheapest_packing import plan_packing
from capc.he.messages import pack_reply, request_bytes, unpack_reply
from capc.he.noise import MAX_ERROR
from capc.he.shapes import LinearShape
from capc.he.symmetric import SEED_BYTES

PACKING = plan_packing(LinearShape.dense(660, 11), 1024)


def test_a_request_is_a_seed_and_every_first_polynomial() -> None:
    """With no more than an error and a rounding beside the values, and 0 behind them."""
    client, _ = pair(TOY)
    setting = client._context
    primes, degree, count = setting.primes, setting.degree, PACKING.input_polynomials
    values = FixedPoint(41, 12).uniform(660)
    request = client.encrypt(PACKING, values)
    size = rns.packed_size(primes, degree)
    assert count > 1
    assert len(request) == request_bytes(PACKING, setting) == SEED_BYTES + count * size
    second = setting.from_ntt(rns.expand(request[:SEED_BYTES], count, degree, primes))
    secret = secret_polynomial(client)
    for k, packed in enumerate(PACKING.pack_input(values)):
        start = SEED_BYTES + k * size
        values_of = rns.unpack(request[start : start + size], primes, degree)
        first = setting.from_ntt(values_of[np.newaxis])[0]
        padded = np.zeros(degree, dtype=np.int64)
        padded[: packed.size] = packed
        bare = rns.subtract_mod(first, rns.scaled_message(padded, 41, primes), primes)
        found = noise(np.stack([bare, second[k]]), secret, primes, 41)
        assert np.abs(found).max() <= MAX_ERROR


def test_a_reply_is_the_results_of_each_polynomial_and_all_of_its_second() -> None:
    setting = pair(TOY)[0]._context
    primes, positions = setting.primes, PACKING.output_positions
    assert len(positions) > 1
    random = np.random.default_rng(3)
    second = random.integers(0, 1 << 59, (len(positions), len(primes), 1024), dtype=np.uint64)
    first = [second[k, :, : used.size] + np.uint64(1) for k, used in enumerate(positions)]
    reply = b"".join(
        rns.pack(values, primes)
        for number in range(len(positions))
        for values in (first[number], second[number])
    )
    assert pack_reply(first, second, setting) == reply
    got_first, got_second = unpack_reply(bytearray(reply), PACKING, setting)
    for left, right in zip([*first, second], [*got_first, got_second], strict=True):
        np.testing.assert_array_equal(left, right)
