"""Encryptions of zero under the public key, in the two parts that fit into one reply.

(p0 u + e0, p1 u + e1) with a fresh ternary u, as in Lyubashevsky, Peikert and Regev (EUROCRYPT
2010). SEAL's own encryption works modulo the special prime as well and transforms the products
back; a reply is in NTT form where they are added, so here they stay in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import seal

from capc.he import rns
from capc.he.context import Context
from capc.he.rns import UInt64
from capc.he.symmetric import binomial_errors


class PublicZeroEncryptor:
    """Holds one client's public key, residues (2, primes, degree) in NTT form."""

    def __init__(self, context: Context, key: UInt64) -> None:
        self._context = context
        self._evaluator = seal.Evaluator(context.seal)
        self._key = context.ciphertext(key, is_ntt=True)

    def products(self) -> Any:
        """(p0 u, p1 u) for a fresh u, a SEAL ciphertext in NTT form. Secret without its errors."""
        ternary = rns.ternary(self._context.degree)
        factor = self._context.plaintext(ternary & np.int64((1 << self._context.ring_bits) - 1))
        self._evaluator.transform_to_ntt_inplace(factor, self._context.first_id)
        return self._evaluator.multiply_plain(self._key, factor)

    def errors(self, used: int) -> tuple[UInt64, UInt64]:
        """e0 at the `used` coefficients that are sent, (primes, used), and e1 (primes, degree)."""
        primes = self._context.primes
        return binomial_errors(used, primes), binomial_errors(self._context.degree, primes)
