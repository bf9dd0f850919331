"""Encryptions of zero under the public key, in the two parts that fit into one reply.

(p0 u + e0, p1 u + e1) with a fresh ternary u, as in Lyubashevsky, Peikert and Regev (EUROCRYPT
2010). SEAL's own encryption works modulo the special prime as well and ends in coefficient form. In
a reply c1 stays in NTT form, and of c0 only the coefficients with results are sent.

p1 comes from a seed of the server's, and only p0 = -(p1 s + e) from the client. A p1 of the
client's choice, a small one say, would make p1 u + e1 hide nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from capc.he import rns
from capc.he.context import Context
from capc.he.rns import UInt64
from capc.he.symmetric import binomial_errors, key_polynomial


class PublicZeroEncryptor:
    """Holds one client's public key: a seed of p1, and p0 (primes, degree) in coefficient form."""

    def __init__(self, context: Context, seed: bytes, first: UInt64) -> None:
        self._context = context
        key = np.stack([context.to_ntt(first[np.newaxis])[0], key_polynomial(seed, context)[0]])
        self._key = context.ciphertext(key, is_ntt=True)

    def encrypt_zeros(self, count: int) -> list[Any]:
        """(p0 u, p1 u + e1) for fresh u and e1 each: SEAL ciphertexts in NTT form.

        Of the first polynomial nothing may be sent before e0 (see errors) and a mask are added.
        """
        context = self._context
        primes, degree = context.primes, context.degree
        errors = binomial_errors(count * degree, primes).reshape(len(primes), count, degree)
        results = []
        for error in context.to_ntt(errors.transpose(1, 0, 2)):
            ternary = rns.ternary(degree) & np.int64((1 << context.ring_bits) - 1)
            factor = context.plaintext(ternary)
            context.evaluator.transform_to_ntt_inplace(factor, context.first_id)
            zero = context.ciphertext(np.stack([np.zeros_like(error), error]), is_ntt=True)
            product = context.evaluator.multiply_plain(self._key, factor)
            context.evaluator.add_inplace(zero, product)
            results.append(zero)
        return results

    def errors(self, count: int) -> UInt64:
        """e0 at so many coefficients, (primes, count), in coefficient form."""
        return binomial_errors(count, self._context.primes)
