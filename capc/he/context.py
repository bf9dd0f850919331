"""One SEAL context per parameters and ring, and the arithmetic over its primes.

SEAL chooses the primes, judges the parameters, and draws the secret key. All else is done on
residues, so that a party sends the needed coefficients alone.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import seal

from capc.errors import ConfigError
from capc.gc import _engine
from capc.he.parameters import EncryptionParameters, moduli
from capc.he.polynomials import PolynomialRing
from capc.he.rns import UInt64

_PLAINTEXT_HEADER = 88
SMALLER_RING = (
    "use larger primes, as config/deep.json has, or make do with a smaller ring: calibrate on "
    "public examples (--calibration), or train with Relu6 for ReLU or with smaller weights"
)


class Context(PolynomialRing):
    """BFV with t = 2^ring_bits over the data primes; the last prime of the list is for keys only.

    ConfigError where the parameters have fewer than two primes or SEAL refuses them.
    """

    def __init__(self, parameters: EncryptionParameters, ring_bits: int) -> None:
        self.parameters = parameters
        self.ring_bits = ring_bits
        degree = parameters.poly_modulus_degree
        bits = list(parameters.coeff_modulus)
        if len(bits) < 2:
            raise ConfigError(
                f"coeff_modulus is {bits}; exact inference needs at least two primes, "
                "of which the last serves the keys alone"
            )
        settings = seal.EncryptionParameters(seal.scheme_type.bfv)
        settings.set_poly_modulus_degree(degree)
        settings.set_coeff_modulus(list(moduli(degree, parameters.coeff_modulus)))
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
        primes = tuple(prime.value() for prime in data.parms().coeff_modulus())
        super().__init__(degree, primes)

    @cached_property
    def key_ring(self) -> PolynomialRing:
        """Polynomials modulo all primes."""
        return PolynomialRing(self.degree, self.key_primes)

    @cached_property
    def merging(self) -> _engine.Merging:
        """What merges sums of products (capc.he.merging)."""
        return _engine.Merging(self.degree, self.key_primes)

    def secret_residues(self, secret_key: Any) -> UInt64:
        """The secret modulo all key primes, (key primes, degree), in NTT form."""
        words = np.frombuffer(secret_key.to_string(), dtype="<u8", offset=_PLAINTEXT_HEADER)
        return words.reshape(-1, self.degree)


@lru_cache(maxsize=8)
def context(parameters: EncryptionParameters, ring_bits: int) -> Context:
    """The context of these parameters; a few are kept, since building one takes 50 ms."""
    return Context(parameters, ring_bits)
