"""Encryptions of zero under the secret key, with the uniform polynomial given by a public seed.

(c0, c1) = (-(a s) + e, a): SEAL's symmetric encryption, which its Python face cannot write in the
seeded form, at half the bytes. The error law is SEAL's: 21 coin pairs, variance 10.5.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np

from capc.he import rns
from capc.he.noise import MAX_ERROR
from capc.he.polynomials import PolynomialRing
from capc.he.rns import UInt64

SEED_BYTES = 32


class ZeroEncryptor:
    """Holds the secret key; what encrypt() returns may be sent, after a message was added.

    times_secret() is for decryption.
    """

    def __init__(self, ring: PolynomialRing, secret: UInt64) -> None:
        """`secret` (primes, degree) in NTT form."""
        self._ring = ring
        self._secret = np.ascontiguousarray(secret[np.newaxis])
        self._negated = rns.subtract_mod(np.zeros_like(secret), secret, ring.primes)[np.newaxis]

    def __repr__(self) -> str:
        return "ZeroEncryptor(...)"

    def encrypt(self, messages: UInt64) -> tuple[bytes, UInt64]:
        """A fresh seed for all c1 (see uniform_polynomials), and c0 in NTT form.

        Of messages (count, primes, degree) in coefficient form, to which errors are added in place.
        """
        seed, ring = os.urandom(SEED_BYTES), self._ring
        uniform = uniform_polynomials(seed, len(messages), ring)
        self._add_errors(messages)
        return seed, self._products(uniform, self._negated, ring.to_ntt(messages))

    def first_polynomials(self, uniform: UInt64) -> UInt64:
        """e - a s in coefficient form, with fresh errors, for each a of `uniform` in NTT form.

        Both have the shape (count, primes, degree). Twice for one `a` would show errors.
        """
        polynomials = self._ring.from_ntt(self._products(uniform, self._negated))
        self._add_errors(polynomials)
        return polynomials

    def times_secret(self, polynomials: UInt64) -> UInt64:
        """c s for each c in NTT form, (count, primes, degree), in coefficient form. Secret."""
        return self._ring.from_ntt(self._products(polynomials, self._secret))

    def _add_errors(self, polynomials: UInt64) -> None:
        """Fresh ones, to polynomials in coefficient form, in place."""
        errors = rns.binomial(len(polynomials) * self._ring.degree, MAX_ERROR)
        rns.add_small(polynomials, errors.reshape(len(polynomials), -1), self._ring.primes)

    def _products(self, polynomials: UInt64, factor: UInt64, added: UInt64 | None = None) -> UInt64:
        """Those by the one polynomial of `factor` (1, primes, degree), all in NTT form."""
        numbers = np.arange(len(polynomials))
        pairs = np.stack([numbers, np.zeros_like(numbers)], axis=1)[:, np.newaxis]
        start = None if added is None else added[:, np.newaxis]
        products = rns.sums_of_products(
            *(polynomials[:, np.newaxis], factor, pairs, self._ring.primes, start)
        )
        return products[:, 0]


def uniform_polynomials(seed: bytes, count: int, ring: PolynomialRing) -> UInt64:
    """The polynomials c1 that a public seed stands for, (count, primes, degree), in NTT form.

    Uniform in either form; in this one neither party has to transform them.
    """
    return rns.expand(seed, count, ring.degree, ring.primes)


def key_polynomial(seed: bytes, ring: PolynomialRing) -> UInt64:
    """The polynomial p1 of a public key, (1, primes, degree), in NTT form.

    The seed is hashed under a name of its own, so that none of `uniform_polynomials` can be had.
    """
    own = hashlib.sha256(b"capc public key" + seed).digest()
    return uniform_polynomials(own, 1, ring)


def binomial_errors(count: int, primes: tuple[int, ...]) -> UInt64:
    """Fresh centred binomial errors in [-21, 21], as residues (primes, count)."""
    errors: UInt64 = np.zeros((1, len(primes), count), dtype=np.uint64)
    rns.add_small(errors, rns.binomial(count, MAX_ERROR)[np.newaxis], primes)
    return errors.reshape(len(primes), count)
