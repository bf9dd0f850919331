"""One SEAL context for CKKS, and SEAL's ciphertexts as NumPy residues in NTT form.

The scale of a ciphertext is public and kept beside it, in Python; inside SEAL it is always 1, so
that SEAL's own checks of it never stand in the way of lazy rescaling.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Any

import numpy as np
import seal
from numpy.typing import NDArray

from capc.errors import ConfigError, ProtocolError
from capc.he.parameters import EncryptionParameters
from capc.he.rns import UInt64

_PLAIN = seal.compr_mode_type.none
_HEADER = 16  # bytes before SEAL's metadata
_METADATA = struct.Struct("<4Q?QQQdQ")
_CIPHERTEXT_HEADER = 113
_PLAINTEXT_HEADER = 88


class CkksContext:
    """CKKS over the data primes; the last prime of a longer list is for keys only.

    `scale` is that of fresh ciphertexts, `slots` the number of values in one. ConfigError where
    SEAL refuses the parameters, or the scale leaves no room for values.
    """

    def __init__(self, parameters: EncryptionParameters) -> None:
        self.parameters = parameters
        self.degree = parameters.poly_modulus_degree
        self.slots = self.degree // 2
        bits = list(parameters.coeff_modulus)
        settings = seal.EncryptionParameters(seal.scheme_type.ckks)
        settings.set_poly_modulus_degree(self.degree)
        settings.set_coeff_modulus(seal.CoeffModulus.Create(self.degree, bits))
        security = seal.sec_level_type.none
        if parameters.security_level:
            security = getattr(seal.sec_level_type, f"tc{parameters.security_level}")
        self.seal: Any = seal.SEALContext(settings, True, security)
        if not self.seal.parameters_set():
            reason = self.seal.parameter_error_message()
            raise ConfigError(f"coeff_modulus {bits} cannot be used for CKKS: {reason}")
        self.has_key_switching = bool(self.seal.using_keyswitching())
        self._levels: dict[int, Any] = {}  # number of primes -> SEAL's id of that level
        level = self.seal.first_context_data()
        self.primes = _primes(level)
        while level is not None:
            self._levels[len(_primes(level))] = level.parms_id()
            level = level.next_context_data()
        self.special_prime = _primes(self.seal.key_context_data())[-1]
        self.scale = float(parameters.scale or default_scale(parameters.coeff_modulus))
        if self.scale * 2 >= math.prod(self.primes):
            raise ConfigError(
                f"scale 2^{math.log2(self.scale):.1f} leaves no room for values in the data primes "
                f"of coeff_modulus {bits}: use a smaller scale or larger primes"
            )
        self.evaluator: Any = seal.Evaluator(self.seal)
        self.encoder: Any = seal.CKKSEncoder(self.seal)
        self._magic = seal.Plaintext().to_bytes(_PLAIN)[:6]

    @property
    def levels(self) -> int:
        """How many times a ciphertext can be rescaled."""
        return len(self.primes) - 1

    def level_id(self, primes: int) -> Any:
        """SEAL's name for the level with that many primes left."""
        return self._levels[primes]

    def ciphertext(self, residues: UInt64, scale: float = 1.0) -> Any:
        """A SEAL ciphertext from residues (polynomials, primes, degree) in NTT form."""
        size, primes, degree = residues.shape
        words = residues.size
        metadata = _METADATA.pack(*self._levels[primes], True, size, degree, primes, scale, 1)
        body = self._magic + struct.pack("<HQQ", 0, 24 + 8 * words, words)
        total = struct.pack("<HQ", 0, _CIPHERTEXT_HEADER + 8 * words)
        content = np.ascontiguousarray(residues, dtype="<u8").tobytes()
        ciphertext = seal.Ciphertext()
        try:
            ciphertext.load_bytes(
                self.seal, b"".join((self._magic, total, metadata, body, content))
            )
        except (ValueError, RuntimeError):
            raise ProtocolError("the peer sent a ciphertext that SEAL refuses") from None
        return ciphertext

    def residues(self, ciphertext: Any) -> UInt64:
        """The residues (polynomials, primes, degree) of a SEAL ciphertext in NTT form."""
        data = ciphertext.to_string(_PLAIN)
        size, degree, primes = _METADATA.unpack_from(data, _HEADER)[5:8]
        words: UInt64 = np.frombuffer(data, dtype="<u8", offset=_CIPHERTEXT_HEADER)
        residues: UInt64 = words.reshape(size, primes, degree)
        return residues

    def encoded(self, values: NDArray[Any], scale: float, primes: int) -> UInt64:
        """Slot values, real or complex, as a plaintext's residues (primes, degree), NTT form."""
        encode = self.encoder.encode_complex if values.dtype.kind == "c" else self.encoder.encode
        try:
            plaintext = encode(np.ascontiguousarray(values), scale)
        except (ValueError, RuntimeError):
            raise ConfigError(
                f"values up to {np.abs(values).max(initial=0.0):.3g} do not fit the scale "
                f"2^{math.log2(scale):.1f} and coeff_modulus {list(self.parameters.coeff_modulus)}"
            ) from None
        words: UInt64 = np.frombuffer(
            plaintext.to_bytes(_PLAIN), dtype="<u8", offset=_PLAINTEXT_HEADER
        )
        residues: UInt64 = words.reshape(-1, self.degree)[:primes]
        return residues

    def secret_residues(self, secret_key: Any) -> UInt64:
        """The residues (primes, degree) of a SEAL secret key over the data primes, in NTT form."""
        words: UInt64 = np.frombuffer(secret_key.to_string(), dtype="<u8", offset=_PLAINTEXT_HEADER)
        return words[: len(self.primes) * self.degree].reshape(-1, self.degree)

    def to_ntt(self, polynomial: UInt64) -> UInt64:
        """The NTT of a polynomial given by residues (primes, degree) in coefficient form."""
        # SEAL refuses to transform a ciphertext whose second polynomial is zero.
        ciphertext = self.ciphertext(np.stack([polynomial, np.ones_like(polynomial)]))
        data = bytearray(ciphertext.to_string(_PLAIN))
        data[_HEADER + 32] = 0  # the flag of NTT form: these are coefficients
        plain = seal.Ciphertext()
        plain.load_bytes(self.seal, bytes(data))
        self.evaluator.transform_to_ntt_inplace(plain)
        transformed: UInt64 = self.residues(plain)[0]
        return transformed


def default_scale(bits: tuple[int, ...]) -> float:
    """The scale where none is given: he-transformer's choice, by the number of primes."""
    if len(bits) > 2:
        return 2.0 ** bits[-2]
    if len(bits) > 1:
        return 2.0 ** (bits[-1] - 12)
    return math.sqrt(2.0 ** (bits[-1] - 8))


@lru_cache(maxsize=4)
def ckks_context(parameters: EncryptionParameters) -> CkksContext:
    """The context of these parameters; a few are kept, since building one takes 50 ms."""
    return CkksContext(parameters)


def _primes(level: Any) -> tuple[int, ...]:
    return tuple(modulus.value() for modulus in level.parms().coeff_modulus())
