"""Encryptions of zero under the secret key, and the uniform polynomials of a seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from he_reference import (
    chi_square_is_plausible,
    crt,
    load,
    noise,
    pair,
    secret_polynomial,
)

from capc.he import rns
from capc.he.context import Context
from capc.he.rns import UInt64
from capc.he.symmetric import binomial_errors, uniform_polynomials

FAST = (1152921504606748673, 1152921504606830593)
TEN = (140737488273409, 16515073, 16580609, 16760833)


def zeros(setting: Context, count: int) -> UInt64:
    return np.zeros((count, len(setting.primes), setting.degree), dtype=np.uint64)


@pytest.mark.parametrize("config", ["fast", "10"])
def test_the_phase_is_a_small_error(config: str) -> None:
    client, _ = pair(load(config), 41)
    context = client._context
    seed, values = client._zeros.encrypt(zeros(context, 3))
    first = context.from_ntt(values)
    second = context.from_ntt(uniform_polynomials(seed, 3, context))
    secret = secret_polynomial(client)
    errors = np.concatenate(
        [noise(np.stack(parts), secret, context.primes, 41) for parts in zip(first, second)]  # noqa: B905
    )
    assert np.abs(errors).max() <= 21
    # Variance 10.5; its estimate from 24576 errors has a standard deviation below 0.1.
    assert abs(errors.var() - 10.5) < 0.7
    assert abs(errors.mean()) < 0.15


def test_errors_follow_the_centred_binomial_law() -> None:
    count = 1 << 18
    values = np.array(
        [v - FAST[0] if v > FAST[0] // 2 else v for v in binomial_errors(count, FAST)[0].tolist()]
    )
    law = {k: math.comb(42, k + 21) / 2**42 for k in range(-21, 22)}
    assert abs(values).max() <= 21
    assert abs(values.var() - 10.5) < 0.2  # seven standard deviations of the estimate
    statistic = 0.0
    common = [k for k in law if law[k] * count >= 5]
    for k in common:
        expected = law[k] * count
        statistic += (np.count_nonzero(values == k) - expected) ** 2 / expected
    freedom = len(common)
    assert statistic < freedom + 2 * math.sqrt(22 * freedom) + 44  # below 1e-9 by chance
    assert (binomial_errors(64, FAST) != binomial_errors(64, FAST)).any()


def test_errors_agree_modulo_every_prime() -> None:
    values = crt(binomial_errors(512, TEN), TEN)
    modulus = math.prod(TEN)
    assert all(min(value, modulus - value) <= 21 for value in values)


@pytest.mark.parametrize("prime", [FAST[0], TEN[0], TEN[1]])
def test_expand_against_a_plain_reading_of_the_stream(prime: int) -> None:
    seed = bytes(range(32))
    stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor().update(bytes(1 << 16))
    size = 4 if prime < 1 << 32 else 8
    expected = []
    for start in range(0, len(stream), size):
        word = int.from_bytes(stream[start : start + size], "little")
        word &= (1 << prime.bit_length()) - 1
        if word < prime:
            expected.append(word)
    result = rns.expand(seed, 1, 4096, (prime,))[0, 0].tolist()
    assert result == expected[:4096]


def test_rows_read_the_stream_one_after_the_other() -> None:
    """Words of eight bytes, then of four, then of eight again."""
    seed = bytes(32)
    stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
    rows = []
    for prime in 2 * TEN[:2]:
        size, row = 4 if prime < 1 << 32 else 8, list[int]()
        while len(row) < 2000:
            word = int.from_bytes(stream.update(bytes(size)), "little")
            word &= (1 << prime.bit_length()) - 1
            row += [word] * (word < prime)
        rows.append(row)
    assert rns.expand(seed, 2, 2000, TEN[:2]).reshape(4, 2000).tolist() == rows
    with pytest.raises(ValueError, match="32 bytes"):
        rns.expand(seed[:31], 1, 8, TEN)


@pytest.mark.parametrize("primes", [FAST, TEN])
def test_expanded_polynomials_are_uniform_and_differ(primes: tuple[int, ...]) -> None:
    values = rns.expand(b"\x01" * 32, 2, 8192, primes)
    assert (values[0] != values[1]).any(axis=1).all()
    for row, prime in zip(values[0], primes, strict=True):
        slots = np.array([int(value) * 64 // prime for value in row])
        assert chi_square_is_plausible(slots, 64)
        assert chi_square_is_plausible((row & np.uint64(63)).astype(np.int64), 64)


def test_subtract_mod() -> None:
    left = np.array([[0, 1, FAST[0] - 1], [0, 5, 7]], dtype=np.uint64)
    right = np.array([[0, 2, FAST[0] - 1], [FAST[1] - 1, 5, 3]], dtype=np.uint64)
    expected = [[0, FAST[0] - 1, 0], [1, 0, 4]]
    assert rns.subtract_mod(left, right, FAST).tolist() == expected


def test_each_message_has_its_own_seed() -> None:
    client, _ = pair(load("fast"), 41)
    first, second = (client._zeros.encrypt(zeros(client._context, 1))[0] for _ in range(2))
    assert first != second
    assert repr(client._zeros) == "ZeroEncryptor(...)"
