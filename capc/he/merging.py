"""Several sums of products in one polynomial of a reply: fewer bytes, for switches of keys.

Results lie at multiples of m, a power of two, and what lies elsewhere is of no use. The sums
f_0 ... f_(m - 1) become one polynomial that has the results of f_k at k plus multiples of m. With
s = X^(m / 2) and the automorphism a: X -> X^(2 N / m + 1), which leaves multiples of m alone and
negates odd multiples of m / 2,

    (f + s g) + a(f - s g)

has twice the results of f at multiples of m, and twice those of g at odd multiples of m / 2. So
pairs become one, then pairs of these with m / 2 in place of m, and so on (Chen, Dai, Kim and Song,
"Efficient homomorphic conversion between (ring) LWE ciphertexts", ACNS 2021, section 3). All is
linear modulo q: with weights divided by m modulo q, noise of the products comes out as it went in.

An automorphism makes a ciphertext one under a(s), s the secret. A key of the client switches it
back: for each prime p of the data modulus an encryption of P a(s), P the special prime, modulo all
other primes 0.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.gc import _engine
from capc.he import rns
from capc.he.context import Context
from capc.he.parameters import EncryptionParameters
from capc.he.polynomials import PolynomialRing
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, ZeroEncryptor, uniform_polynomials

MOST_MERGED = _engine.MOST_MERGED


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
    ring, in_ntt_form = setting.key_ring, setting.secret_residues(secret_key)
    residues = ring.from_ntt(in_ntt_form[np.newaxis])[0]
    secret = np.where(residues[0] > 1, np.int64(-1), residues[0].astype(np.int64))
    zeros = ZeroEncryptor(ring, in_ntt_form)
    seed, special = os.urandom(SEED_BYTES), setting.key_primes[-1]
    parts = [seed]
    for element in _elements(setting.degree, merged):
        uniform = _uniform(ring, seed, element, len(setting.primes))
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


class Merger:
    """The server's side. ProtocolError on keys of another length or out of range."""

    def __init__(self, setting: Context, merged: int, keys: memoryview) -> None:
        if len(keys) != keys_bytes(setting, merged):
            raise ProtocolError(
                f"the peer's keys for merging have {len(keys)} bytes, "
                f"not {keys_bytes(setting, merged)}"
            )
        self._context = setting
        self._keys = _unpacked(setting, merged, keys)

    def merge(self, sums: UInt64, merged: int) -> UInt64:
        """One polynomial of up to `merged` sums, whose weights were divided by `merged`.

        Of ciphertexts (sums, 2, primes, degree) in NTT form, one (2, primes, degree). The results
        of the k-th come to lie at k. The keys must be for as many.
        """
        return self._context.merging.merge(sums, merged, self._keys)


def _elements(degree: int, merged: int) -> list[int]:
    """By e, the automorphisms X -> X^e of all merges."""
    return [(degree >> k) + 1 for k in range(merged.bit_length() - 1)]


def _unpacked(setting: Context, merged: int, keys: memoryview) -> UInt64:
    """By automorphism, (elements, primes, 2, key primes, degree) in NTT form."""
    primes, degree, seed = setting.key_primes, setting.degree, bytes(keys[:SEED_BYTES])
    elements, count = _elements(degree, merged), len(setting.primes)
    size = rns.packed_size(primes, degree)
    found: UInt64 = np.empty((len(elements), count, 2, len(primes), degree), dtype=np.uint64)
    for k, element in enumerate(elements):
        ring = setting.key_ring  # its tables take memory: where something is merged
        places = [SEED_BYTES + (k * count + part) * size for part in range(count)]
        parts = [rns.unpack(keys[place : place + size], primes, degree) for place in places]
        found[k, :, 0] = ring.to_ntt(np.stack(parts))
        found[k, :, 1] = _uniform(ring, seed, element, count)
    return found


def _uniform(ring: PolynomialRing, seed: bytes, element: int, count: int) -> UInt64:
    """The second polynomials of one automorphism's key, in NTT form: from a hash of its own."""
    own = hashlib.sha256(b"capc merging key %d" % element + seed).digest()
    return uniform_polynomials(own, count, ring)


def _turned(polynomial: Int64, element: int) -> Int64:
    """The polynomial under X -> X^element."""
    degree = len(polynomial)
    places = np.arange(degree) * element % (2 * degree)
    turned = np.empty_like(polynomial)
    turned[places % degree] = np.where(places < degree, polynomial, -polynomial)
    return turned
