"""Several sums of products in one polynomial of a reply: fewer bytes, for switches of keys.

Results lie at multiples of m, a power of two, and what lies elsewhere is of no use. The sums
f_0 ... f_(m - 1) become one polynomial that has the results of f_k at k plus multiples of m. With
s = X^(m / 2) and the automorphism a: X -> X^(2 N / m + 1), which leaves multiples of m alone and
negates odd multiples of m / 2,

    (f + s g) + a(f - s g)

has twice the results of f at multiples of m, and twice those of g at odd multiples of m / 2. So
pairs become one, then pairs of these with m / 2 in place of m, and so on (Chen, Dai, Kim and Song,
"Efficient homomorphic conversion between (ring) LWE ciphertexts", ACNS 2021, section 3). All is
linear modulo q: the weights are halved modulo q as often as results double, and noise of the
products comes out as it went in.

An automorphism makes a ciphertext one under a(s), s the secret. A key of the client switches it
back: for each prime p of the data modulus an encryption of P a(s), P the special prime, modulo all
other primes 0.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import seal

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.he import rns
from capc.he.context import Context, context
from capc.he.parameters import MAX_PRIME_BITS, EncryptionParameters
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, ZeroEncryptor, uniform_polynomials

MOST_MERGED = 16


def most_merged(parameters: EncryptionParameters) -> int:
    """How many sums one polynomial of a reply may hold; 1 where switching keys adds much noise.

    It adds little where the special prime is as large as the others.
    """
    bits = parameters.coeff_modulus
    return MOST_MERGED if len(bits) > 1 and bits[-1] >= max(bits) else 1


def keys_bytes(setting: Context, merged: int) -> int:
    """The length of what merging_keys returns."""
    if merged == 1:
        return 0
    size = rns.packed_size(setting.key_primes, setting.degree)
    return SEED_BYTES + len(_elements(setting.degree, merged)) * len(setting.primes) * size


def merging_keys(setting: Context, secret_key: Any, merged: int) -> bytes:
    """The client's keys for merging up to so many sums: a seed, and the first polynomials.

    Anyone may know them: that they show nothing of the secret is the usual assumption of circular
    security. Empty where `merged` is 1.
    """
    if merged == 1:
        return b""
    over_all = _over_all_primes(setting)
    residues = over_all.from_ntt(setting.secret_residues(secret_key)[np.newaxis])[0]
    secret = np.where(residues[0] > 1, np.int64(-1), residues[0].astype(np.int64))
    zeros = ZeroEncryptor(over_all, secret_key)
    seed, special = os.urandom(SEED_BYTES), setting.key_primes[-1]
    parts = [seed]
    for element in _elements(setting.degree, merged):
        uniform = _uniform(over_all, seed, element, len(setting.primes))
        first = zeros.first_polynomials(uniform)
        turned = _turned(secret, element)
        for place, prime in enumerate(setting.primes):
            factor = np.uint64(special % prime)
            added = np.where(turned < 0, np.uint64(prime) - factor, factor)
            added = np.where(turned == 0, np.uint64(0), added)
            row = first[place, place : place + 1]
            first[place, place : place + 1] = rns.add_mod(row, added[np.newaxis], [prime])
        parts += [rns.pack(polynomial, setting.key_primes) for polynomial in first]
    return b"".join(parts)


@dataclass(frozen=True, eq=False)
class Sum:
    """A ciphertext in coefficient form; `is_zero` where it stands for 0, whatever it holds."""

    ciphertext: Any
    is_zero: bool


class Merger:
    """The server's side. ProtocolError on keys of another length or out of range."""

    def __init__(self, setting: Context, merged: int, keys: memoryview) -> None:
        if len(keys) != keys_bytes(setting, merged):
            raise ProtocolError(
                f"the peer's keys for merging have {len(keys)} bytes, "
                f"not {keys_bytes(setting, merged)}"
            )
        self._context = setting
        self._evaluator = setting.evaluator
        if merged > 1:
            self._keys = setting.switching_keys(_unpacked(setting, merged, keys))

    def merge(self, sums: Sequence[Sum], merged: int, step: int = 1) -> Sum:
        """One polynomial of up to `merged` sums, whose weights were halved log2(merged) times.

        The results of the k-th come to lie at k * step.
        """
        if merged == 1:
            return sums[0]
        even = self.merge(sums[::2], merged // 2, 2 * step)
        if len(sums) == 1:  # nothing lies where the others would
            return Sum(self._evaluator.add(even.ciphertext, even.ciphertext), even.is_zero)
        return self._joined(even, self.merge(sums[1::2], merged // 2, 2 * step), step)

    def _joined(self, even: Sum, odd: Sum, step: int) -> Sum:
        """(even + X^step odd) + a(even - X^step odd), by as many operations where one is zero."""
        evaluator, first = self._evaluator, even.ciphertext
        second = evaluator.multiply_plain(odd.ciphertext, seal.Plaintext(f"1x^{step}"))
        total, difference = evaluator.add(first, second), evaluator.sub(first, second)
        negative = evaluator.negate(second)
        if odd.is_zero:
            total = difference = first
        elif even.is_zero:
            total, difference = second, negative
        element = self._context.degree // step + 1
        turned = evaluator.apply_galois(difference, element, self._keys)
        return Sum(evaluator.add(total, turned), even.is_zero and odd.is_zero)


def _elements(degree: int, merged: int) -> list[int]:
    """By e, the automorphisms X -> X^e of all merges."""
    return [(degree >> k) + 1 for k in range(merged.bit_length() - 1)]


def _unpacked(setting: Context, merged: int, keys: memoryview) -> dict[int, UInt64]:
    """Each automorphism's key as Context.switching_keys takes it."""
    over_all, seed = _over_all_primes(setting), bytes(keys[:SEED_BYTES])
    count, primes = len(setting.primes), setting.key_primes
    size, start = rns.packed_size(primes, setting.degree), SEED_BYTES
    found = {}
    for element in _elements(setting.degree, merged):
        places = [start + k * size for k in range(count)]
        parts = [rns.unpack(keys[place : place + size], primes, setting.degree) for place in places]
        first, second = over_all.to_ntt(np.stack(parts)), _uniform(over_all, seed, element, count)
        found[element] = np.stack([first, second], axis=1)
        start += count * size
    return found


def _uniform(over_all: Context, seed: bytes, element: int, count: int) -> UInt64:
    """The second polynomials of one automorphism's key, in NTT form: from a hash of its own."""
    own = hashlib.sha256(b"capc merging key %d" % element + seed).digest()
    return uniform_polynomials(own, count, over_all)


def _turned(polynomial: Int64, element: int) -> Int64:
    """The polynomial under X -> X^element."""
    degree = len(polynomial)
    places = np.arange(degree) * element % (2 * degree)
    turned = np.empty_like(polynomial)
    turned[places % degree] = np.where(places < degree, polynomial, -polynomial)
    return turned


def _over_all_primes(setting: Context) -> Context:
    """Arithmetic modulo all key primes, for which SEAL wants one prime more, never used.

    No key is made there: the level is that of the parameters whose primes these are.
    """
    bits = setting.parameters.coeff_modulus
    spare = next(size for size in range(MAX_PRIME_BITS, 0, -1) if size not in bits)
    wider = replace(setting.parameters, security_level=0, coeff_modulus=(*bits, spare))
    return context(wider, setting.ring_bits)
