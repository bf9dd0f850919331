"""Polynomials modulo X^N + 1 and several primes, as residues."""

from __future__ import annotations

from capc.gc import _engine
from capc.he.rns import UInt64


class PolynomialRing:
    """Polynomials of `degree` coefficients, modulo each of `primes`. NTT forms are SEAL's."""

    def __init__(self, degree: int, primes: tuple[int, ...]) -> None:
        self.degree = degree
        self.primes = primes
        self._transforms = _engine.Transforms(degree, primes)

    def to_ntt(self, polynomials: UInt64) -> UInt64:
        """Polynomials (count, primes, degree) from coefficient to NTT form, as new ones."""
        return self._transforms.forward(polynomials)

    def from_ntt(self, polynomials: UInt64) -> UInt64:
        """Polynomials (count, primes, degree) from NTT to coefficient form, as new ones."""
        return self._transforms.inverse(polynomials)
