"""Scales, levels and errors of CKKS: what a multiplication may cost, and how noise grows.

Variances are averages over keys and errors (Kim et al., "Approximate Homomorphic Encryption with
Reduced Approximation Error", CT-RSA 2022, section 3.2, for ternary secrets), in slots, at scale 1.
Stated precision allows for TAIL standard deviations; no bound is a worst case.
"""

from __future__ import annotations

import math

from capc.ckks.context import CkksContext
from capc.errors import ConfigError

ERROR_VARIANCE = 10.5  # of one coefficient of a fresh error: SEAL's centred binomial, 21 coin pairs
TAIL = 8.0  # standard deviations allowed for in capacity and stated precision
FEWEST_WEIGHT_BITS = 10
_MOST_WEIGHT_BITS = 40


def fresh_variance(context: CkksContext) -> float:
    """Of an encryption under the secret key, its encoding's rounding included."""
    return context.degree * (ERROR_VARIANCE + 1 / 12)


def rounding_variance(context: CkksContext) -> float:
    """Of the division by a prime: rounding of both polynomials, one of them times the secret."""
    return context.degree * (1 + context.degree * 2 / 3) / 12


def relinearisation_variance(context: CkksContext, primes: int) -> float:
    """Of key switching: digits below a prime times fresh errors, over the special prime."""
    degree = context.degree
    digits = primes * max(context.primes[:primes]) ** 2 / 12 * degree * ERROR_VARIANCE
    return degree * digits / context.special_prime**2 + rounding_variance(context)


def public_zero_variance(context: CkksContext) -> float:
    """Of an encryption of zero under the public key at a level below the key's."""
    noise = context.degree * (context.degree * 4 / 3 + 1) * ERROR_VARIANCE
    if not context.has_key_switching:
        return noise
    smallest = min((*context.primes, context.special_prime))
    return noise / smallest**2 + rounding_variance(context)


def weight_scale(
    context: CkksContext, primes: int, scale: float, reach: float, depth: int
) -> float:
    """The factor of the weights of the multiplication after `depth` others.

    Rescaling brings the product back to the context's scale exactly; where no prime is left to
    rescale by, the factor takes what room there is above results up to `reach`. ConfigError
    where there is none.
    """
    product = 1.0
    for left in range(primes, 0, -1):
        factor = context.scale * product / scale
        if math.log2(factor) >= FEWEST_WEIGHT_BITS:
            break
        product *= context.primes[left - 1] if left > 1 else 1
    if FEWEST_WEIGHT_BITS <= math.log2(factor) <= _MOST_WEIGHT_BITS:
        return factor
    room = math.prod(context.primes[:primes]) / (4 * scale * max(reach, 1e-9))
    if math.log2(room) < FEWEST_WEIGHT_BITS:
        raise ConfigError(
            f"multiplication {depth + 1} in a row finds no level left: the "
            f"{len(context.primes)} data primes of coeff_modulus "
            f"{list(context.parameters.coeff_modulus)} are used up"
        )
    usual = min(math.log2(context.scale), _MOST_WEIGHT_BITS)
    return float(2.0 ** math.floor(min(usual, math.log2(room))))
