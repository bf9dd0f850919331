"""Encryptions of zero under the public key, in the two parts that fit into one reply.

(p0 u + e0, p1 u + e1) with a fresh ternary u, as in Lyubashevsky, Peikert and Regev (EUROCRYPT
2010). SEAL's own encryption works modulo the special prime as well and ends in coefficient form. In
a reply c1 stays in NTT form, and of c0 only the coefficients with results are sent.

p1 comes from a seed of the server's, and only p0 = -(p1 s + e) from the client. A p1 of the
client's choice, a small one say, would make p1 u + e1 hide nothing.
"""

from __future__ import annotations

import numpy as np

from capc.he import rns
from capc.he.context import Context
from capc.he.noise import MAX_ERROR
from capc.he.rns import UInt64
from capc.he.symmetric import binomial_errors, key_polynomial


class PublicZeroEncryptor:
    """Holds one client's public key: a seed of p1, and p0 (primes, degree) in coefficient form."""

    def __init__(self, context: Context, seed: bytes, first: UInt64) -> None:
        self._context = context
        self._key = np.stack([context.to_ntt(first[np.newaxis]), key_polynomial(seed, context)], 1)

    def encrypt_zeros(self, count: int) -> UInt64:
        """(p0 u, p1 u + e1) for fresh u and e1 each, (count, 2, primes, degree), in NTT form.

        Of the first polynomial nothing may be sent before e0 (see errors) and a mask are added.
        """
        context = self._context
        primes, degree = context.primes, context.degree
        small: UInt64 = np.zeros((2 * count, len(primes), degree), dtype=np.uint64)  # u, then e1
        ternary, errors = rns.ternary(count * degree), rns.binomial(count * degree, MAX_ERROR)
        rns.add_small(small, np.concatenate([ternary, errors]).reshape(2 * count, -1), primes)
        both = context.to_ntt(small)
        zeros = np.zeros((count, 2, len(primes), degree), dtype=np.uint64)
        zeros[:, 1] = both[count:]
        numbers = np.arange(count)
        pairs = np.stack([np.zeros_like(numbers), numbers], axis=1)[:, np.newaxis]
        return rns.sums_of_products(self._key, both[:count], pairs, primes, zeros)

    def errors(self, count: int) -> UInt64:
        """e0 at so many coefficients, (primes, count), in coefficient form."""
        return binomial_errors(count, self._context.primes)
