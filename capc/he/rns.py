"""Arithmetic on residues modulo word-sized primes, in NumPy: scaled messages, wide noise, bytes.

A residue array has shape (..., primes, coefficients), dtype uint64, entry j below prime j.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.gc import _engine

UInt64 = NDArray[np.uint64]

QUOTIENT_BITS = 128
_DIGIT_BITS = 32
_DIGIT_MASK = np.uint64((1 << _DIGIT_BITS) - 1)


def _reduced(values: UInt64, prime: UInt64 | np.uint64) -> UInt64:
    """Values below twice the prime, modulo the prime; what wraps below zero is the larger number.

    A minimum is one pass over the numbers; a choice by `np.where` takes several times as long.
    """
    reduced: UInt64 = np.minimum(values, values - prime)
    return reduced


def _lifted(values: UInt64, prime: UInt64 | np.uint64) -> UInt64:
    """Values above minus the prime, modulo 2^64, with the prime added where they are negative.

    A value that is not negative may have any size below 2^63: adding the prime makes it larger.
    """
    lifted: UInt64 = np.minimum(values, values + prime)
    return lifted


def multiply_mod(digits: UInt64, constant: int, prime: int) -> UInt64:
    """digits * constant mod prime, for digits below 2^32 and prime below 2^61.

    The quotient, estimated in double precision, is below 2^32 and off by at most one; the
    remainder then comes from arithmetic modulo 2^64.
    """
    constant %= prime
    quotient = (digits.astype(np.float64) * (constant / prime)).astype(np.uint64)
    difference = digits * np.uint64(constant) - quotient * np.uint64(prime)
    return _reduced(_lifted(difference, np.uint64(prime)), np.uint64(prime))


def residues(digits: Sequence[UInt64], offset: int, primes: Sequence[int]) -> UInt64:
    """sum_k digits[k] * 2^(32 k) + offset modulo each prime -> (primes, coefficients)."""
    return _combine(digits, 1, offset, primes)


def small_residues(values: Int64, primes: Sequence[int]) -> UInt64:
    """Integers below every prime in absolute value, 1-D -> (primes, coefficients)."""
    column = np.array(primes, dtype=np.uint64)[:, None]
    return _lifted(values.view(np.uint64), column)


def integer_residues(values: Int64, primes: Sequence[int]) -> UInt64:
    """Integers of any size, 1-D -> (primes, coefficients); small_residues is five times faster."""
    return np.mod(values, np.array(primes, dtype=np.int64)[:, None]).view(np.uint64)


def scaled_message(message: Int64, ring_bits: int, primes: Sequence[int]) -> UInt64:
    """round(q m / t) mod each prime, q their product, t = 2^ring_bits, for m in [0, t), 1-D.

    q m = t A + B with B the centred remainder modulo t, and A the wanted integer; since each prime
    divides q, A = -B / t modulo each prime, exactly.
    """
    modulus = 1 << ring_bits
    q_mod_t = 1
    for prime in primes:
        q_mod_t = q_mod_t * prime % modulus
    product = message.view(np.uint64) * np.uint64(q_mod_t) + np.uint64(modulus // 2)
    shifted = product & np.uint64(modulus - 1)  # B + t/2 in [0, t)
    digits = [shifted & _DIGIT_MASK]
    if ring_bits > _DIGIT_BITS:
        digits.append(shifted >> np.uint64(_DIGIT_BITS))
    rows = []
    for prime in primes:
        inverse = pow(modulus, -1, prime)
        rows.append(_combine(digits, -inverse, modulus // 2 * inverse, [prime])[0])
    return np.stack(rows)


def rounded_quotients(values: UInt64, ring_bits: int, primes: Sequence[int]) -> Int64:
    """round(t x / q) mod t, q the product of the primes, for residues of x (primes, coefficients).

    x / q is, but for an integer, the sum of y / p over the primes p, y = x (q / p)^-1 mod p. Each
    quotient is cut to QUOTIENT_BITS binary places, by long division in digits of 32 bits: results
    are right where t x / q is further than t len(primes) / 2^QUOTIENT_BITS from the middle of two.
    """
    product = math.prod(primes)
    sums = np.zeros((QUOTIENT_BITS // _DIGIT_BITS, values.shape[1]), dtype=np.uint64)
    for row, prime in zip(values, primes, strict=True):
        digits = [row & _DIGIT_MASK, row >> np.uint64(_DIGIT_BITS)]
        rest = _combine(digits, pow(product // prime, -1, prime), 0, [prime])[0]
        for k in range(len(sums)):
            quotient, rest = _next_digit(rest, prime)
            sums[k] += quotient
    for k in range(len(sums) - 1, 0, -1):
        sums[k - 1] += sums[k] >> np.uint64(_DIGIT_BITS)
        sums[k] &= _DIGIT_MASK
    top = (sums[0] << np.uint64(_DIGIT_BITS)) + sums[1] + np.uint64(1 << (63 - ring_bits))
    rounded: UInt64 = top >> np.uint64(64 - ring_bits)
    return rounded.view(np.int64)


def uniform_noise(width: int, count: int, primes: Sequence[int]) -> UInt64:
    """`count` integers uniform in [-width/2, width/2) as residues; `width` is even, at least 2.

    Fresh from the OS generator: words of as many bits as width - 1 has, those not below skipped.
    """
    words = -(-(width - 1).bit_length() // _DIGIT_BITS)
    top_bits = (width - 1).bit_length() - _DIGIT_BITS * (words - 1)
    digits: UInt64 = np.empty((words, 0), dtype=np.uint64)
    while digits.shape[1] < count:
        missing = count - digits.shape[1]
        raw = np.frombuffer(random_bytes(4 * words * missing), dtype="<u4")
        drawn = raw.reshape(words, missing).astype(np.uint64)
        drawn[-1] &= np.uint64((1 << top_bits) - 1)
        digits = np.concatenate([digits, drawn[:, _below(drawn, width)]], axis=1)
    return residues(list(digits), -(width // 2), primes)


def random_bytes(count: int) -> bytes:
    """Cryptographic bytes: AES-256 in counter mode under a fresh key of the OS generator."""
    return _stream(os.urandom(32)).update(bytes(count))


def ternary(count: int) -> Int64:
    """`count` integers uniform in {-1, 0, 1}, fresh from the OS generator."""
    values: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
    while values.size < count:
        missing = count - values.size
        draw = np.frombuffer(random_bytes(missing + missing // 64 + 16), dtype=np.uint8)
        values = np.concatenate([values, draw[draw < 255]])  # 255 is a multiple of three
    return (values[:count] % np.uint8(3)).astype(np.int64) - 1


def expand(seed: bytes, count: int, degree: int, primes: Sequence[int]) -> UInt64:
    """Uniform residues (count, primes, degree) from a 32-byte seed, the same everywhere.

    AES-256 in counter mode gives little-endian words of 4 bytes (primes below 2^32) or 8, cut to
    the prime's length; those not below the prime are skipped.
    """
    stream = _stream(seed)
    values = np.empty((count, len(primes), degree), dtype=np.uint64)
    for polynomial in values:
        for row, prime in zip(polynomial, primes, strict=True):
            word = np.dtype("<u4" if prime < 1 << 32 else "<u8")
            mask = word.type((1 << prime.bit_length()) - 1)
            filled = 0
            while filled < degree:
                draw = np.frombuffer(stream.update(bytes(word.itemsize * (degree - filled))), word)
                draw = draw & mask
                accepted = draw[draw < prime]
                row[filled : filled + accepted.size] = accepted
                filled += accepted.size
    return values


def sums_of_products(
    inputs: UInt64,
    weights: UInt64,
    pairs: Int64,
    primes: Sequence[int],
    start: UInt64 | None = None,
) -> UInt64:
    """Sums of products of polynomials in NTT form, (sums, parts, primes, degree).

    `pairs` (sums, terms, 2) numbers, for each product of a sum, one of the inputs (inputs, parts,
    primes, degree) and one of the weights (weights, primes, degree), which multiplies every part.
    `start`, of the result's shape, is added. All residues are below their primes, which are odd and
    below 2^61. ValueError on other shapes, types or primes, and on arrays that are not contiguous.
    """
    return _engine.sums_of_products(inputs, weights, pairs, primes, start)


def add_mod(left: UInt64, right: UInt64, primes: Sequence[int]) -> UInt64:
    """left + right modulo each prime; both (..., primes, coefficients)."""
    column = np.array(primes, dtype=np.uint64)[:, None]
    return _reduced(left + right, column)


def subtract_mod(left: UInt64, right: UInt64, primes: Sequence[int]) -> UInt64:
    """left - right modulo each prime; both (..., primes, coefficients)."""
    column = np.array(primes, dtype=np.uint64)[:, None]
    return _lifted(left - right, column)


def halve_mod(values: UInt64, primes: Sequence[int]) -> UInt64:
    """Half of each modulo its prime, all of which are odd."""
    column = np.array([(prime + 1) // 2 for prime in primes], dtype=np.uint64)[:, None]
    one = np.uint64(1)
    return (values >> one) + (values & one) * column


def packed_size(primes: Sequence[int], coefficients: int) -> int:
    """Bytes that pack() needs for one polynomial."""
    return sum(-(-coefficients * _nibbles(prime) // 2) for prime in primes)


def pack(values: UInt64, primes: Sequence[int]) -> bytes:
    """Residues (primes, coefficients) in as few nibbles each, little-endian, prime by prime.

    Two residues of an odd number of nibbles share a byte; what is left of a last byte is 0.
    """
    parts = []
    for row, prime in zip(values, primes, strict=True):
        nibbles = _nibbles(prime)
        if nibbles % 2:
            pairs = np.append(row, np.zeros(row.size % 2, dtype=np.uint64)).reshape(-1, 2)
            bits, rest = np.uint64(4 * nibbles), np.uint64(64 - 4 * nibbles)
            words = np.stack([pairs[:, 0] | (pairs[:, 1] << bits), pairs[:, 1] >> rest], axis=1)
            octets = _resized(words.astype("<u8", copy=False), nibbles)
            parts.append(octets[: -(-row.size * nibbles // 2)])
        else:
            words = row.astype("<u8", order="C", copy=False).reshape(-1, 1)
            parts.append(_resized(words, nibbles // 2))
    return b"".join(parts)


def unpack(data: bytes | memoryview, primes: Sequence[int], coefficients: int) -> UInt64:
    """The inverse of pack(); ProtocolError on another length or a residue not below its prime."""
    if len(data) != packed_size(primes, coefficients):
        raise ProtocolError(
            f"the peer sent a polynomial of {len(data)} bytes, "
            f"not {packed_size(primes, coefficients)}; it may run other encryption parameters"
        )
    values = np.empty((len(primes), coefficients), dtype=np.uint64)
    octets = np.frombuffer(data, dtype=np.uint8)
    start = 0
    for row, prime in zip(values, primes, strict=True):
        size = packed_size([prime], coefficients)
        found = _unpacked(octets[start : start + size], _nibbles(prime), coefficients)
        if found[coefficients:].any() or (coefficients and int(found.max()) >= prime):
            raise ProtocolError("the peer sent a coefficient that is not below its prime")
        row[:] = found[:coefficients]
        start += size
    return values


def _unpacked(octets: NDArray[np.uint8], nibbles: int, coefficients: int) -> UInt64:
    """The residues of one prime, and what is left of a last byte as one more."""
    if nibbles % 2 == 0:
        narrow = octets.reshape(coefficients, nibbles // 2)
        return np.frombuffer(_resized(narrow, 8), dtype="<u8")
    pairs = -(-coefficients // 2)
    whole = np.append(octets, np.zeros(pairs * nibbles - octets.size, dtype=np.uint8))
    widened = _resized(whole.reshape(pairs, nibbles), 16)
    words = np.frombuffer(widened, dtype="<u8").reshape(pairs, 2)
    bits, rest = np.uint64(4 * nibbles), np.uint64(64 - 4 * nibbles)
    first = words[:, 0] & np.uint64((1 << 4 * nibbles) - 1)
    second = (words[:, 0] >> bits) | (words[:, 1] << rest)
    return np.stack([first, second], axis=1).reshape(-1)


def _resized(rows: NDArray[Any], size: int) -> bytes:
    """Each row (count, n) cut to its first `size` bytes, or filled up with zeros.

    As whole items of so many bytes: NumPy copies slices of a row byte by byte, 20 times slower.
    """
    items = rows.reshape(-1).view(f"V{rows.shape[1] * rows.itemsize}")
    return items.astype(f"V{size}").tobytes()


def _stream(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()


def _next_digit(rest: UInt64, prime: int) -> tuple[UInt64, UInt64]:
    """Quotient and rest of rest * 2^32 by the prime, for rest below the prime, below 2^61.

    As in multiply_mod, the estimated quotient is off by at most one.
    """
    quotient = (rest.astype(np.float64) * (2.0**_DIGIT_BITS / prime)).astype(np.uint64)
    left = ((rest << np.uint64(_DIGIT_BITS)) - quotient * np.uint64(prime)).view(np.int64)
    quotient = quotient - (left < 0) + (left >= prime)
    return quotient, _reduced(_lifted(left.view(np.uint64), np.uint64(prime)), np.uint64(prime))


def _below(digits: UInt64, bound: int) -> NDArray[np.bool_]:
    """Whether each integer, in 32-bit digits with the lowest first, is below the bound."""
    below = np.zeros(digits.shape[1], dtype=np.bool_)
    for k, row in enumerate(digits):
        digit = np.uint64((bound >> (_DIGIT_BITS * k)) & int(_DIGIT_MASK))
        below = (row < digit) | ((row == digit) & below)
    if bound >> (_DIGIT_BITS * len(digits)):
        below[:] = True
    return below


def _nibbles(prime: int) -> int:
    """Of four bits each, as many as a residue needs."""
    return -(-prime.bit_length() // 4)


def _combine(digits: Sequence[UInt64], factor: int, offset: int, primes: Sequence[int]) -> UInt64:
    rows = []
    for prime in primes:
        total = np.full(digits[0].shape, offset % prime, dtype=np.uint64)
        for k, digit in enumerate(digits):
            total = _reduced(
                total + multiply_mod(digit, factor << (_DIGIT_BITS * k), prime), np.uint64(prime)
            )
        rows.append(total)
    return np.stack(rows)
