"""The client's keys and values, and what a server does to a result before it leaves.

Decrypted CKKS values carry the scheme's noise: whoever sees many of them can find the secret key
(Li and Micciancio, EUROCRYPT 2021, IND-CPA-D). They stay with the holder of the key.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import seal

from capc.ckks.context import CkksContext
from capc.ckks.elements import elements, from_elements
from capc.ckks.levels import TAIL, public_zero_variance
from capc.ckks.modular import add_mod, multiply_mod
from capc.ckks.tensor import CipherTensor
from capc.errors import ProtocolError
from capc.fixed_point import Float64
from capc.he import rns
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, binomial_errors


class CkksKeys:
    """A fresh secret key, from SEAL's generator seeded by the operating system."""

    def __init__(self, context: CkksContext) -> None:
        self.context = context
        keys = seal.KeyGenerator(context.seal)
        secret_key = keys.secret_key()
        self._public_key = keys.create_public_key()
        self._relin_keys = keys.create_relin_keys() if context.has_key_switching else None
        self._secret = context.secret_residues(secret_key)
        self._decryptor = seal.Decryptor(context.seal, secret_key)

    def __repr__(self) -> str:
        return "CkksKeys(...)"

    def public_key(self) -> bytes:
        """Under which a server re-randomises its results; anyone may know it."""
        return bytes(self._public_key.to_string())

    def relin_keys(self) -> bytes:
        """What a server needs to multiply ciphertexts; anyone may know it. Empty for one prime."""
        return b"" if self._relin_keys is None else bytes(self._relin_keys.to_string())

    def encrypt(self, values: Float64, *, is_complex: bool) -> Iterator[UInt64]:
        """Values (batch, *shape), one ciphertext an element: residues (2, primes, degree) each."""
        for seed, first in self.encrypt_seeded(values, is_complex=is_complex):
            yield np.stack([first, uniform_polynomial(self.context, seed)])

    def encrypt_seeded(
        self, values: Float64, *, is_complex: bool
    ) -> Iterator[tuple[bytes, UInt64]]:
        """Each ciphertext as a public seed, which stands for its c1, and c0 (primes, degree).

        c0 = message + e - c1 s under the error law of SEAL, whose Python face cannot write this
        form, at half the bytes. One image a slot; with `is_complex` the second half of the batch
        is the imaginary part.
        """
        context = self.context
        for column in slot_values(values, is_complex):
            seed = os.urandom(SEED_BYTES)
            uniform = uniform_polynomial(context, seed)
            first = context.to_ntt(binomial_errors(context.degree, context.primes)).copy()
            message = context.encoded(column, context.scale, len(context.primes))
            for k, prime in enumerate(context.primes):
                product = multiply_mod(uniform[k], self._secret[k], prime)
                first[k] = add_mod(first[k], message[k], prime)
                first[k] = add_mod(first[k], np.uint64(prime) - product, prime)
            yield seed, first

    def decrypt(self, tensor: CipherTensor, batch: int) -> Float64:
        """Values (batch, *shape) of a tensor of two polynomials."""
        columns = [
            self._decode(residues, tensor.scale, tensor.is_complex)
            for residues in elements(tensor.ciphertexts, self.context.degree)
        ]
        values = np.stack(columns, axis=1)
        if tensor.is_complex:
            half = -(-batch // 2)
            values = np.concatenate([values.real[:half], values.imag[: batch - half]])
        return np.asarray(values[:batch].real.reshape(batch, *tensor.shape), dtype=np.float64)

    def _decode(self, residues: UInt64, scale: float, is_complex: bool) -> Any:
        plaintext = self._decryptor.decrypt(self.context.ciphertext(residues, scale))
        encoder = self.context.encoder
        return np.array(
            encoder.decode_complex(plaintext) if is_complex else encoder.decode(plaintext)
        )


def uniform_polynomial(context: CkksContext, seed: bytes) -> UInt64:
    """The c1 that a public seed stands for, (primes, degree), in NTT form."""
    uniform: UInt64 = rns.expand(seed, 1, context.degree, context.primes)[0]
    return uniform


class ReplyMask:
    """The server's last touch: a fresh encryption of zero, and noise as wide as precision allows.

    The re-randomisation leaves nothing of the server's arithmetic but the noise under the
    client's own key, and the added noise covers that by `bits`. Below 40 bits this is no
    statistical hiding: docs/he-transformer.md says what remains.
    """

    def __init__(self, context: CkksContext, public_key: bytes, result_bits: float) -> None:
        """`result_bits`: flooding may cost errors up to 2^-result_bits, in value units."""
        self._context = context
        self._result_bits = result_bits
        try:
            key = context.seal.from_public_str(public_key)
        except (ValueError, RuntimeError):
            raise ProtocolError("the peer sent a public key that SEAL refuses") from None
        self._encryptor = seal.Encryptor(context.seal, key)

    def bits(self, tensor: CipherTensor) -> float:
        """log2 of the added noise over the tensor's own, standard deviations."""
        own = math.sqrt(float(tensor.variance.max()))
        added = 2.0 ** flood_bits(tensor, self._result_bits) * math.sqrt(self._context.degree / 3)
        return math.log2(added / tensor.scale / own)

    def apply(self, tensor: CipherTensor) -> CipherTensor:
        """A tensor of two polynomials, masked."""
        context, count = self._context, tensor.primes
        primes = context.primes[:count]
        width = flood_bits(tensor, self._result_bits)

        def mask(residues: UInt64) -> UInt64:
            zero = self._encryptor.encrypt_zero(context.level_id(count))
            fresh = context.residues(zero)
            noise = context.to_ntt(rns.uniform_noise(2 << width, context.degree, primes))
            total = np.empty_like(fresh)
            for k, prime in enumerate(primes):
                total[:, k] = add_mod(residues[:, k], fresh[:, k], prime)
                total[0, k] = add_mod(total[0, k], noise[k], prime)
            return total

        masked = (mask(one) for one in elements(tensor.ciphertexts, context.degree))
        return replace(tensor, parts=from_elements(context, tensor.shape, masked))


def flood_bits(tensor: CipherTensor, result_bits: float) -> int:
    """b such that noise uniform in [-2^b, 2^b) keeps errors below 2^-result_bits, if they are.

    At the least it is as wide as the tensor's own noise.
    """
    degree = tensor.context.degree
    own = TAIL * math.sqrt(float(tensor.variance.max()))
    allowed = max(2.0**-result_bits - own, own)
    width = allowed * tensor.scale / (TAIL * math.sqrt(degree / 3))
    return max(0, math.floor(math.log2(width)))


def masked_precision_bits(tensor: CipherTensor, result_bits: float) -> float:
    """-log2 of the largest error to expect in a masked result, value units."""
    added = 4.0 ** flood_bits(tensor, result_bits) * tensor.context.degree / 3
    added = (added + public_zero_variance(tensor.context)) / tensor.scale**2
    return -math.log2(TAIL * (math.sqrt(float(tensor.variance.max())) + math.sqrt(added)))


def slot_values(values: Float64, is_complex: bool) -> Iterator[Any]:
    """One array of slot values per element of (batch, *shape), in row-major order."""
    flat = values.reshape(len(values), -1)
    if is_complex:
        half = -(-len(flat) // 2)
        second = np.zeros_like(flat[:half])
        second[: len(flat) - half] = flat[half:]
        yield from (flat[:half] + 1j * second).T
    else:
        yield from flat.T
