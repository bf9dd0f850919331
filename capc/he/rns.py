"""Arithmetic on residues modulo word-sized primes, in NumPy: scaled messages, wide noise, bytes.

A residue array has shape (..., primes, coefficients), dtype uint64, entry j below prime j.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from capc.errors import ProtocolError
from capc.fixed_point import Int64

UInt64 = NDArray[np.uint64]

_DIGIT_BITS = 32
_DIGIT_MASK = np.uint64((1 << _DIGIT_BITS) - 1)


def multiply_mod(digits: UInt64, constant: int, prime: int) -> UInt64:
    """digits * constant mod prime, for digits below 2^32 and prime below 2^61.

    The quotient, estimated in double precision, is below 2^32 and off by at most one; the
    remainder then comes from arithmetic modulo 2^64.
    """
    constant %= prime
    quotient = (digits.astype(np.float64) * (constant / prime)).astype(np.uint64)
    difference = digits * np.uint64(constant) - quotient * np.uint64(prime)
    remainder: Int64 = difference.view(np.int64)
    remainder = np.where(remainder < 0, remainder + np.int64(prime), remainder)
    remainder = np.where(remainder >= prime, remainder - np.int64(prime), remainder)
    return remainder.view(np.uint64)


def residues(digits: Sequence[UInt64], offset: int, primes: Sequence[int]) -> UInt64:
    """sum_k digits[k] * 2^(32 k) + offset modulo each prime -> (primes, coefficients)."""
    return _combine(digits, 1, offset, primes)


def small_residues(values: Int64, primes: Sequence[int]) -> UInt64:
    """Integers below every prime in absolute value, 1-D -> (primes, coefficients)."""
    column = np.array(primes, dtype=np.int64)[:, None]
    return np.where(values < 0, values + column, values).view(np.uint64)


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


def uniform_noise(bits: int, count: int, primes: Sequence[int]) -> UInt64:
    """`count` integers uniform in [-2^bits, 2^bits) as residues, fresh from the OS generator."""
    width = bits + 1
    words = -(-width // _DIGIT_BITS)
    raw = np.frombuffer(random_bytes(4 * words * count), dtype="<u4").reshape(words, count)
    digits = [row.astype(np.uint64) for row in raw]
    digits[-1] &= np.uint64((1 << (width - _DIGIT_BITS * (words - 1))) - 1)
    return residues(digits, -(1 << bits), primes)


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


def add_mod(left: UInt64, right: UInt64, primes: Sequence[int]) -> UInt64:
    """left + right modulo each prime; both (..., primes, coefficients)."""
    column = np.array(primes, dtype=np.uint64)[:, None]
    total = left + right
    return np.where(total >= column, total - column, total)


def subtract_mod(left: UInt64, right: UInt64, primes: Sequence[int]) -> UInt64:
    """left - right modulo each prime; both (..., primes, coefficients)."""
    column = np.array(primes, dtype=np.uint64)[:, None]
    difference = left - right
    return np.where(left < right, difference + column, difference)


def packed_size(primes: Sequence[int], coefficients: int) -> int:
    """Bytes that pack() needs for one polynomial."""
    return coefficients * sum(_width(prime) for prime in primes)


def pack(values: UInt64, primes: Sequence[int]) -> bytes:
    """Residues (primes, coefficients) in whole bytes each, little-endian, prime by prime."""
    parts = []
    for row, prime in zip(values, primes, strict=True):
        octets = row.astype("<u8", order="C").view(np.uint8).reshape(-1, 8)
        parts.append(octets[:, : _width(prime)].tobytes())
    return b"".join(parts)


def unpack(data: bytes | memoryview, primes: Sequence[int], coefficients: int) -> UInt64:
    """The inverse of pack(); ProtocolError on another length or a residue not below its prime."""
    if len(data) != packed_size(primes, coefficients):
        raise ProtocolError(
            f"the peer sent a polynomial of {len(data)} bytes, "
            f"not {packed_size(primes, coefficients)}; it may run other encryption parameters"
        )
    values = np.zeros((len(primes), coefficients), dtype=np.uint64)
    octets = np.frombuffer(data, dtype=np.uint8)
    start = 0
    for j, prime in enumerate(primes):
        width = _width(prime)
        part = octets[start : start + width * coefficients].reshape(coefficients, width)
        wide = np.zeros((coefficients, 8), dtype=np.uint8)
        wide[:, :width] = part
        values[j] = wide.view("<u8")[:, 0]
        if coefficients and int(values[j].max()) >= prime:
            raise ProtocolError("the peer sent a coefficient that is not below its prime")
        start += width * coefficients
    return values


def _stream(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()


def _width(prime: int) -> int:
    return -(-prime.bit_length() // 8)


def _combine(digits: Sequence[UInt64], factor: int, offset: int, primes: Sequence[int]) -> UInt64:
    rows = []
    for prime in primes:
        total = np.full(digits[0].shape, offset % prime, dtype=np.uint64)
        for k, digit in enumerate(digits):
            total = total + multiply_mod(digit, factor << (_DIGIT_BITS * k), prime)
            total = np.where(total >= prime, total - np.uint64(prime), total)
        rows.append(total)
    return np.stack(rows)
