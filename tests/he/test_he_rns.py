"""Residue arithmetic against Python's integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from he_reference import chi_square_is_plausible, crt
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import ProtocolError
from capc.he import rns

FAST = (1152921504606748673, 1152921504606830593)
TEN = (140737488273409, 16515073, 16580609, 16760833)

ODD = (40961, 17592182243329, 61)  # 4, 11 and 2 nibbles; 44 bits
primes_lists = st.sampled_from([FAST, TEN, FAST[:1], TEN[:2]])


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1),
    st.integers(0, 2**62),
    st.sampled_from(FAST + TEN),
)
def test_multiply_mod(digits: list[int], constant: int, prime: int) -> None:
    result = rns.multiply_mod(np.array(digits, dtype=np.uint64), constant, prime)
    assert result.tolist() == [digit * constant % prime for digit in digits]


@pytest.mark.parametrize("prime", FAST + TEN)
def test_multiply_mod_at_the_edges(prime: int) -> None:
    digits = [0, 1, 2**31, 2**32 - 1]
    for constant in (0, 1, prime - 1, prime // 2, prime, prime + 1, -1):
        result = rns.multiply_mod(np.array(digits, dtype=np.uint64), constant, prime)
        assert result.tolist() == [digit * constant % prime for digit in digits]


@settings(max_examples=200)
@given(primes_lists, st.integers(2, 60), st.data())
def test_scaled_message_rounds_exactly(
    primes: tuple[int, ...], ring_bits: int, data: st.DataObject
) -> None:
    modulus = 1 << ring_bits
    edges = st.sampled_from([0, 1, modulus // 2 - 1, modulus // 2, modulus - 1])
    message = data.draw(st.lists(st.integers(0, modulus - 1) | edges, min_size=1, max_size=8))
    product = int(np.prod([int(p) for p in primes], dtype=object))
    result = rns.scaled_message(np.array(message, dtype=np.int64), ring_bits, primes)
    expected = [(2 * product * m + modulus) // (2 * modulus) for m in message]
    assert crt(result, primes) == [value % product for value in expected]


@pytest.mark.parametrize(
    "width", [2, 4, 6, 2**31, 2**32, 2**32 + 2, 3 << 31, 2**64, 2**64 + 2, 5 << 70, 2**77 - 2]
)
@pytest.mark.parametrize("primes", [FAST, TEN])
def test_uniform_noise_fills_its_range_and_no_more(width: int, primes: tuple[int, ...]) -> None:
    product = int(np.prod([int(p) for p in primes], dtype=object))
    values = [
        (value + product // 2) % product - product // 2
        for value in crt(rns.uniform_noise(width, 4096, primes), primes)
    ]
    assert -width <= 2 * min(values)
    assert 2 * max(values) < width
    bins = min(64, width)
    slots = np.array([(value + width // 2) * bins // width for value in values])
    if bins == 64:
        assert chi_square_is_plausible(slots, bins)
    else:
        assert set(slots.tolist()) == set(range(bins))
    low = np.array([value & 63 for value in values])
    assert width < 1 << 12 or chi_square_is_plausible(low, 64)


def test_noise_is_fresh_each_time() -> None:
    assert (rns.uniform_noise(2**71, 64, FAST) != rns.uniform_noise(2**71, 64, FAST)).all()
    assert rns.random_bytes(32) != rns.random_bytes(32)


@given(primes_lists | st.just(ODD), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_pack_round_trip(primes: tuple[int, ...], count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.stack([generator.integers(0, p, count, dtype=np.uint64) for p in primes])
    values[:, :1] = np.array(primes, dtype=np.uint64)[:, None] - np.uint64(1)
    data = rns.pack(values, primes)
    assert len(data) == rns.packed_size(primes, count)
    np.testing.assert_array_equal(rns.unpack(data, primes, count), values)


def test_sixty_bits_take_seven_bytes_and_a_half() -> None:
    values = np.array([[0x123456789ABCDEF, 0x0FEDCBA987654321, 1]], dtype=np.uint64)
    data = rns.pack(values, FAST[:1])
    assert data.hex() == "efcdab896745231132547698badcfe" + "0100000000000000"
    assert rns.packed_size(FAST, 8192) == 15 * 8192
    with pytest.raises(ProtocolError, match="below its prime"):
        rns.unpack(data[:-1] + b"\x10", FAST[:1], 3)  # in what is left of the last byte


def test_unpack_refuses_other_lengths_and_values() -> None:
    data = rns.pack(np.zeros((2, 5), dtype=np.uint64), FAST)
    for wrong in (b"", data[:-1], data + b"\0"):
        with pytest.raises(ProtocolError, match="bytes"):
            rns.unpack(wrong, FAST, 5)
    with pytest.raises(ProtocolError, match="below its prime"):
        rns.unpack(FAST[0].to_bytes(8, "little") + data[8:], FAST, 5)


@given(st.integers(0, 2**32 - 1))
def test_add_mod(seed: int) -> None:
    generator = np.random.default_rng(seed)
    left, right = (
        np.stack([generator.integers(0, p, 9, dtype=np.uint64) for p in FAST]) for _ in range(2)
    )
    result = rns.add_mod(left, right, FAST)
    for row, a, b, prime in zip(result, left, right, FAST, strict=True):
        assert row.tolist() == [(int(x) + int(y)) % prime for x, y in zip(a, b, strict=True)]


@settings(max_examples=200)
@given(primes_lists, st.integers(2, 57), st.data())
def test_rounded_quotients(primes: tuple[int, ...], ring_bits: int, data: st.DataObject) -> None:
    product, modulus = math.prod(primes), 1 << ring_bits
    value = st.integers(0, product - 1)
    edges = st.integers(0, modulus - 1).map(lambda m: (2 * m + 1) * product // (2 * modulus))
    reach = len(primes) * product // (1 << rns.QUOTIENT_BITS) + 1  # of the division's own error
    near = st.tuples(edges, st.sampled_from([-reach, 1 + reach])).map(sum)
    near = near.filter(lambda v: 0 <= v < product)
    values = data.draw(st.lists(value | near, min_size=1, max_size=8))
    residues = np.array([[v % p for v in values] for p in primes], dtype=np.uint64)
    expected = [(2 * modulus * v + product) // (2 * product) % modulus for v in values]
    assert rns.rounded_quotients(residues, ring_bits, primes).tolist() == expected
