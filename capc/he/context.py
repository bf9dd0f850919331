"""One SEAL context per parameters and ring, and SEAL's serialised objects as NumPy residues.

SEAL writes a ciphertext as a 16-byte header, its metadata and its residues as 64-bit words,
without compression. Building and reading these bytes here lets a party send the needed
coefficients alone, and checks every length before SEAL parses anything.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import seal

from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import Int64
from capc.gc import _engine
from capc.he.parameters import EncryptionParameters, moduli
from capc.he.rns import UInt64

_PLAIN = seal.compr_mode_type.none
_CIPHERTEXT_HEADER = 113
_PLAINTEXT_HEADER = 88
SMALLER_RING = (
    "use larger primes, as config/deep.json has, or make do with a smaller ring: calibrate on "
    "public examples (--calibration), or train with Relu6 for ReLU or with smaller weights"
)


class Context:
    """BFV with t = 2^ring_bits over the data primes; the last prime of the list is for keys only.

    ConfigError where the parameters have fewer than two primes or SEAL refuses them.
    """

    def __init__(self, parameters: EncryptionParameters, ring_bits: int) -> None:
        self.parameters = parameters
        self.degree = parameters.poly_modulus_degree
        self.ring_bits = ring_bits
        bits = list(parameters.coeff_modulus)
        if len(bits) < 2:
            raise ConfigError(
                f"coeff_modulus is {bits}; exact inference needs at least two primes, "
                "of which the last serves the keys alone"
            )
        settings = seal.EncryptionParameters(seal.scheme_type.bfv)
        settings.set_poly_modulus_degree(self.degree)
        settings.set_coeff_modulus(list(moduli(self.degree, parameters.coeff_modulus)))
        settings.set_plain_modulus(1 << ring_bits)
        security = seal.sec_level_type.none
        if parameters.security_level:
            security = getattr(seal.sec_level_type, f"tc{parameters.security_level}")
        self.seal: Any = seal.SEALContext(settings, True, security)
        # Without key switching, SEAL found no valid level below that of the keys.
        if not self.seal.parameters_set() or not self.seal.using_keyswitching():
            raise ConfigError(
                f"coeff_modulus {bits} is too small for the model: all but its last prime cannot "
                f"hold a ring of {ring_bits} bits; {SMALLER_RING}"
            )
        self.key_primes = tuple(
            prime.value() for prime in self.seal.key_context_data().parms().coeff_modulus()
        )
        data = self.seal.first_context_data()
        self.primes = tuple(prime.value() for prime in data.parms().coeff_modulus())
        self.first_id = data.parms_id()
        self.evaluator: Any = seal.Evaluator(self.seal)
        self._transforms = _engine.Transforms(self.degree, self.primes)
        empty = seal.Plaintext().to_bytes(_PLAIN)
        self._magic = empty[:6]

    def ciphertext(self, residues: UInt64, *, is_ntt: bool = False) -> Any:
        """A SEAL ciphertext from residues (2, primes, degree), in coefficient or in NTT form."""
        ciphertext = seal.Ciphertext()
        self._guard(ciphertext.load_bytes, self._ciphertext_bytes(residues, self.first_id, is_ntt))
        return ciphertext

    def residues(self, ciphertext: Any) -> UInt64:
        """The residues (2, primes, degree) of a SEAL ciphertext of two polynomials."""
        data = ciphertext.to_string(_PLAIN)
        words = np.frombuffer(data, dtype="<u8", offset=_CIPHERTEXT_HEADER)
        return words.reshape(2, -1, self.degree)

    def to_ntt(self, polynomials: UInt64) -> UInt64:
        """Polynomials (count, primes, degree) from coefficient to SEAL's NTT form, as new ones."""
        return self._transforms.forward(polynomials)

    def from_ntt(self, polynomials: UInt64) -> UInt64:
        """Polynomials (count, primes, degree) from SEAL's NTT to coefficient form, as new ones."""
        return self._transforms.inverse(polynomials)

    def switching_keys(self, keys: Mapping[int, UInt64]) -> Any:
        """SEAL's Galois keys from one key for each automorphism X -> X^e.

        By e, an odd number, residues (primes, 2, key primes, degree) in NTT form.
        """
        key_id = self.seal.key_context_data().parms_id()
        entries = []
        for element in range(1, max(keys) + 1, 2):
            parts = keys.get(element, ())
            entries.append(struct.pack("<Q", len(parts)))
            entries += [self._ciphertext_bytes(part, key_id, True) for part in parts]
        count = (max(keys) + 1) // 2
        content = b"".join((struct.pack("<4QQ", *key_id, count), *entries))
        data = self._magic + struct.pack("<HQ", 0, 16 + len(content)) + content
        return self.seal.from_galois_str(data)

    def secret_residues(self, secret_key: Any) -> UInt64:
        """The secret modulo all key primes, (key primes, degree), in NTT form."""
        words = np.frombuffer(secret_key.to_string(), dtype="<u8", offset=_PLAINTEXT_HEADER)
        return words.reshape(-1, self.degree)

    def coefficients(self, plaintext: Any) -> Int64:
        """The ring elements (degree,) of a SEAL plaintext in coefficient form."""
        words = np.frombuffer(plaintext.to_bytes(_PLAIN), dtype="<i8", offset=_PLAINTEXT_HEADER)
        values = np.zeros(self.degree, dtype=np.int64)
        values[: words.size] = words
        return values

    def _ciphertext_bytes(self, residues: UInt64, parms_id: Any, is_ntt: bool) -> bytes:
        size, primes, degree = residues.shape
        words = residues.size
        metadata = struct.pack("<4Q?QQQdQ", *parms_id, is_ntt, size, degree, primes, 1.0, 1)
        body = self._magic + struct.pack("<HQQ", 0, 24 + 8 * words, words)
        total = struct.pack("<HQ", 0, _CIPHERTEXT_HEADER + 8 * words)
        return b"".join((self._magic, total, metadata, body, _words(residues)))

    def _guard(self, load: Any, data: bytes) -> None:
        try:
            load(self.seal, data)
        except (ValueError, RuntimeError):
            raise ProtocolError("the peer sent a ciphertext that SEAL refuses") from None


def _words(values: Int64 | UInt64) -> memoryview:
    """The little-endian words of an array, without a copy where it lies in one piece."""
    words = np.ascontiguousarray(values).astype("<u8", copy=False)
    return words.reshape(-1).data


@lru_cache(maxsize=8)
def context(parameters: EncryptionParameters, ring_bits: int) -> Context:
    """The context of these parameters; a few are kept, since building one takes 50 ms."""
    return Context(parameters, ring_bits)
