"""Arithmetic on residues modulo word-sized primes: scaled messages, noise, bytes, products.

A residue array has shape (..., primes, coefficients), dtype uint64, entry j below prime j.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.gc import _engine

UInt64 = NDArray[np.uint64]
Int8 = NDArray[np.int8]

QUOTIENT_BITS = 128
_WORD_BITS = 64
_SHIFT = 1 << 62


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


def integer_residues(values: Int64, primes: Sequence[int], divisor: int = 1) -> UInt64:
    """values / divisor modulo each prime, for |values| < 2^62, 1-D -> (primes, coefficients).

    `divisor` is one that no prime divides.
    """
    shifted = values.view(np.uint64) + np.uint64(_SHIFT)  # from 0 on
    inverses = [pow(divisor, -1, prime) for prime in primes]
    offsets = [-_SHIFT * inverse % prime for inverse, prime in zip(inverses, primes, strict=True)]
    factors = [[inverse] for inverse in inverses]
    return _engine.combine(shifted[np.newaxis], factors, offsets, primes)


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
    inverses = [pow(modulus, -1, prime) for prime in primes]
    factors = [[-inverse % prime] for inverse, prime in zip(inverses, primes, strict=True)]
    offsets = [
        modulus // 2 * inverse % prime for inverse, prime in zip(inverses, primes, strict=True)
    ]
    return _engine.combine(shifted[np.newaxis], factors, offsets, primes)


def rounded_quotients(values: UInt64, ring_bits: int, primes: Sequence[int]) -> Int64:
    """round(t x / q) mod t, q the product of the primes, for residues of x (primes, coefficients).

    x / q is, but for an integer, the sum of y / p over the primes p, y = x (q / p)^-1 mod p. Each
    quotient is cut to QUOTIENT_BITS binary places: results are right where t x / q is further than
    t len(primes) / 2^QUOTIENT_BITS from the middle of two.
    """
    product = math.prod(primes)
    factors = [pow(product // prime, -1, prime) for prime in primes]
    return _engine.rounded_quotients(values, factors, ring_bits, primes)


def uniform_noise(width: int, count: int, primes: Sequence[int]) -> UInt64:
    """`count` integers uniform in [-width/2, width/2) as residues; `width` is even, at least 2.

    Fresh from the OS generator: words of as many bits as width - 1 has, those not below skipped.
    """
    words = -(-(width - 1).bit_length() // _WORD_BITS)
    top_bits = (width - 1).bit_length() - _WORD_BITS * (words - 1)
    digits: UInt64 = np.empty((words, 0), dtype=np.uint64)
    while digits.shape[1] < count:
        missing = count - digits.shape[1]
        raw = np.frombuffer(random_bytes(8 * words * missing), dtype="<u8")
        drawn = raw.reshape(words, missing).astype(np.uint64)
        drawn[-1] &= np.uint64((1 << top_bits) - 1)
        digits = np.concatenate([digits, drawn[:, _below(drawn, width)]], axis=1)
    factors = [[(1 << _WORD_BITS * k) % prime for k in range(words)] for prime in primes]
    return _engine.combine(digits, factors, [-(width // 2) % prime for prime in primes], primes)


def add_small(values: UInt64, small: Int8, primes: Sequence[int]) -> None:
    """Adds integers (count, coefficients), below every prime, to residues (count, primes, ...).

    In place; the coefficients of a polynomial lie side by side.
    """
    _engine.add_small(values, small, primes)


def binomial(count: int, coins: int) -> Int8:
    """`count` fresh differences of the heads among `coins` coins and as many others; at most 32."""
    return _engine.binomial(random_bytes(8 * count), coins)


def random_bytes(count: int) -> bytes:
    """Cryptographic bytes: AES-256 in counter mode under a fresh key of the OS generator."""
    return _stream(os.urandom(32)).update(bytes(count))


def ternary(count: int) -> Int8:
    """`count` integers uniform in {-1, 0, 1}, fresh from the OS generator."""
    values: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
    while values.size < count:
        missing = count - values.size
        draw = np.frombuffer(random_bytes(missing + missing // 64 + 16), dtype=np.uint8)
        values = np.concatenate([values, draw[draw < 255]])  # 255 is a multiple of three
    return (values[:count] % np.uint8(3)).view(np.int8) - np.int8(1)


def expand(seed: bytes, count: int, degree: int, primes: Sequence[int]) -> UInt64:
    """Uniform residues (count, primes, degree) from a 32-byte seed, the same everywhere.

    AES-256 in counter mode gives little-endian words of 4 bytes (primes below 2^32) or 8, cut to
    the prime's length; those not below the prime are skipped.
    """
    return _engine.expand_residues(seed, primes, count, degree)


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


def packed_size(primes: Sequence[int], coefficients: int) -> int:
    """Bytes that pack() needs for one polynomial."""
    return sum(-(-coefficients * _nibbles(prime) // 2) for prime in primes)


def pack(values: UInt64, primes: Sequence[int]) -> bytes:
    """Residues (primes, coefficients) in as few nibbles each, little-endian, prime by prime.

    Two residues of an odd number of nibbles share a byte; what is left of a last byte is 0.
    """
    return _engine.pack_residues(values, primes)


def unpack(data: bytes | memoryview, primes: Sequence[int], coefficients: int) -> UInt64:
    """The inverse of pack(); ProtocolError on another length or a residue not below its prime."""
    if len(data) != packed_size(primes, coefficients):
        raise ProtocolError(
            f"the peer sent a polynomial of {len(data)} bytes, "
            f"not {packed_size(primes, coefficients)}; it may run other encryption parameters"
        )
    return _engine.unpack_residues(data, primes, coefficients)


def _stream(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()


def _below(words: UInt64, bound: int) -> NDArray[np.bool_]:
    """Whether each integer, in words of 64 bits with the lowest first, is below the bound."""
    below = np.zeros(words.shape[1], dtype=np.bool_)
    for k, row in enumerate(words):
        word = np.uint64((bound >> (_WORD_BITS * k)) % (1 << _WORD_BITS))
        below = (row < word) | ((row == word) & below)
    if bound >> (_WORD_BITS * len(words)):
        below[:] = True
    return below


def _nibbles(prime: int) -> int:
    """Of four bits each, as many as a residue needs."""
    return -(-prime.bit_length() // 4)
