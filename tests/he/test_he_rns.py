"""Residue arithmetic against Python's integers."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from he_reference import chi_square_is_plausible, crt
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import ProtocolError
from capc.gc import _engine
from capc.he import rns

FAST = (1152921504606748673, 1152921504606830593)
TEN = (140737488273409, 16515073, 16580609, 16760833)

ODD = (40961, 17592182243329, 61)  # 4, 11 and 2 nibbles; 44 bits
primes_lists = st.sampled_from([FAST, TEN, FAST[:1], TEN[:2]])


@given(primes_lists, st.integers(0, 7), st.data())
def test_combinations_of_words(primes: tuple[int, ...], count: int, data: st.DataObject) -> None:
    """Also of the largest words and factors, seven at a time."""
    word = st.integers(0, 2**64 - 1) | st.just(2**64 - 1)
    values = data.draw(st.lists(st.tuples(*[word] * count), min_size=1, max_size=5))
    rows = [data.draw(st.tuples(*[st.integers(0, p - 1) | st.just(p - 1)] * count)) for p in primes]
    offsets = [data.draw(st.integers(0, p - 1) | st.just(p - 1)) for p in primes]
    words = np.array(values, dtype=np.uint64).reshape(len(values), count).T.copy()
    result = _engine.combine(words, [list(row) for row in rows], offsets, primes)
    for row, factors, offset, prime in zip(result.tolist(), rows, offsets, primes, strict=True):
        sums = [sum(map(operator.mul, value, factors)) + offset for value in values]
        assert row == [total % prime for total in sums]


@given(
    st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=8),
    st.sampled_from([1, 2, 16]),
    primes_lists,
)
def test_quotients_of_integers(values: list[int], divisor: int, primes: tuple[int, ...]) -> None:
    found = rns.integer_residues(np.array(values, dtype=np.int64), primes, divisor)
    assert found.dtype == np.uint64
    for prime, row in zip(primes, found.tolist(), strict=True):
        assert all(x < prime for x in row)
        assert [x * divisor % prime for x in row] == [value % prime for value in values]


def test_combinations_of_other_shapes_are_refused() -> None:
    values = np.zeros((2, 3), dtype=np.uint64)
    for factors, offsets in (
        ([[1, 1]], [0, 0]),
        ([[1, 1], [1]], [0, 0]),
        ([[1, 1], [1, FAST[1]]], [0, 0]),
        ([[1, 1], [1, 1]], [0, FAST[1]]),
    ):
        with pytest.raises(ValueError, match="prime"):
            _engine.combine(values, factors, offsets, FAST)
    with pytest.raises(ValueError, match="seven"):
        _engine.combine(np.zeros((8, 3), dtype=np.uint64), [[1] * 8], [0], FAST[:1])


@pytest.mark.parametrize("primes", [FAST, TEN, (61, (1 << 61) - 1)])
def test_small_numbers_are_added_to_residues(primes: tuple[int, ...]) -> None:
    small = np.array([[-21, -1, 0, 1, 21, 0], [1, -1, 60, -60, 2, -2]], dtype=np.int8)
    column = np.array(primes, dtype=np.uint64)[:, np.newaxis]
    before = np.stack(
        [np.zeros((len(primes), 6), np.uint64), np.repeat(column - np.uint64(1), 6, 1)]
    )
    before[1, :, 1] = 0
    apart = np.stack([before, before], axis=1)
    rns.add_small(apart[:, 1], small, primes)
    expected = (before.astype(object) + small[:, np.newaxis].astype(object)) % column.astype(object)
    assert apart[:, 1].tolist() == expected.tolist()
    assert np.array_equal(apart[:, 0], before)
    with pytest.raises(ValueError, match="each coefficient"):
        rns.add_small(before, small[:1], primes)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=9), st.integers(1, 32))
def test_binomial_numbers_are_differences_of_ones(words: list[int], coins: int) -> None:
    data = b"".join(word.to_bytes(8, "little") for word in words)
    mask = (1 << coins) - 1
    expected = [(w & mask).bit_count() - (w >> coins & mask).bit_count() for w in words]
    assert _engine.binomial(data, coins).tolist() == expected


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
