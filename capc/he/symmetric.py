"""Encryptions of zero under the secret key, with the uniform polynomial given by a public seed.

(c0, c1) = (-(a s) + e, a): SEAL's symmetric encryption, which its Python face cannot write in the
seeded form, at half the bytes. The error law is SEAL's: 21 coin pairs, variance 10.5.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import seal

from capc.he import rns
from capc.he.context import Context
from capc.he.noise import MAX_ERROR
from capc.he.rns import UInt64

SEED_BYTES = 32


class ZeroEncryptor:
    """Holds the secret key; what encrypt() returns may be sent, after a message was added."""

    def __init__(self, context: Context, secret_key: Any) -> None:
        self._context = context
        self._evaluator = seal.Evaluator(context.seal)
        self._secret = context.secret_plaintext(secret_key)

    def __repr__(self) -> str:
        return "ZeroEncryptor(...)"

    def encrypt(self, count: int) -> tuple[bytes, UInt64]:
        """A fresh seed for all c1 (see uniform_polynomials), and c0 (count, primes, degree)."""
        primes, degree = self._context.primes, self._context.degree
        seed = os.urandom(SEED_BYTES)
        first = np.empty((count, len(primes), degree), dtype=np.uint64)
        uniform = uniform_polynomials(seed, count, self._context)
        for k in range(0, count, 2):  # a SEAL ciphertext has room for two polynomials
            two = uniform[[k, min(k + 1, count - 1)]]
            products = self._context.ciphertext(two, is_ntt=True)
            self._evaluator.multiply_plain_inplace(products, self._secret)
            self._evaluator.transform_from_ntt_inplace(products)
            first[k : k + 2] = self._context.residues(products)[: count - k]
        errors = binomial_errors(count * degree, primes).reshape(len(primes), count, degree)
        return seed, rns.subtract_mod(errors.transpose(1, 0, 2), first, primes)


def uniform_polynomials(seed: bytes, count: int, context: Context) -> UInt64:
    """The polynomials c1 that a public seed stands for, (count, primes, degree), in NTT form.

    Uniform in either form; in this one neither party has to transform them.
    """
    return rns.expand(seed, count, context.degree, context.primes)


def binomial_errors(count: int, primes: tuple[int, ...]) -> UInt64:
    """Fresh centred binomial errors in [-21, 21], as residues (primes, count)."""
    words = np.frombuffer(rns.random_bytes(8 * count), dtype="<u8")
    coins = np.uint64((1 << MAX_ERROR) - 1)
    heads = np.bitwise_count(words & coins).astype(np.int64)
    tails = np.bitwise_count((words >> np.uint64(MAX_ERROR)) & coins).astype(np.int64)
    return rns.small_residues(heads - tails, primes)
