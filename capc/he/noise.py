"""Noise bounds of the encrypted linear layers, worst case: no bound here can fail.

A ciphertext of m under s has phase c0 + c1 s = q m / t + v (mod q) with a real v, its noise; it
decrypts to m exactly iff |v| < q / (2 t). See docs/homomorphic-encryption.md for the derivation.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from capc.errors import ConfigError
from capc.he.context import SMALLER_RING, Context

FLOOD_RATIO_BITS = 40
MAX_ERROR = 21  # SEAL's centred binomial error: 21 coin pairs
_SAFETY = Fraction(1, 1 << 40)  # covers the base conversion inside SEAL's decryption, below 2^-50


@dataclass(frozen=True)
class ReturnLevel:
    """What the public parameters alone decide about every reply.

    `primes` are kept by the modulus switch; the flooding noise is uniform in
    [-2^flood_bits, 2^flood_bits), as wide as decryption allows; `noise_limit` bounds the noise
    below which a reply decrypts, before the switch.
    """

    primes: int
    flood_bits: int
    noise_limit: Fraction


def switch_noise(noise: Fraction, context: Context, primes: int) -> Fraction:
    """Noise after the switch from all data primes to the first `primes`, ternary secret."""
    for prime in reversed(context.primes[primes:]):
        noise = noise / prime + Fraction(context.degree + 1, 2)
    return noise


def return_level(context: Context) -> ReturnLevel:
    """The fewest primes that cost at most one bit of flooding; depends on nothing secret."""
    full = _level(context, len(context.primes))
    for primes in range(1, len(context.primes)):
        level = _level(context, primes)
        if level is not None and full is not None and level.flood_bits >= full.flood_bits - 1:
            return level
    if full is None:
        raise ConfigError(
            f"coeff_modulus {list(context.parameters.coeff_modulus)} is too small for the model: "
            f"a ring of {context.ring_bits} bits leaves no room for noise; {SMALLER_RING}"
        )
    return full


def own_noise(context: Context, weight_norm: int) -> Fraction:
    """Bound on the noise of a product plus a public-key encryption of zero plus a message.

    `weight_norm` is the largest sum, over the output polynomials, of the absolute values of all
    weight coefficients that enter it. Each input coefficient carries at most MAX_ERROR and half
    a unit of rounding.
    """
    product = (MAX_ERROR + Fraction(1, 2)) * weight_norm
    zero = MAX_ERROR * (2 * context.degree + 1)
    return product + zero + Fraction(1, 2)


def reply_noise(context: Context, level: ReturnLevel, weight_norm: int) -> Fraction:
    """Bound on the noise of a reply as QP receives it, flooding included."""
    noise = own_noise(context, weight_norm) + (1 << level.flood_bits)
    return switch_noise(noise, context, level.primes)


def _level(context: Context, primes: int) -> ReturnLevel | None:
    """The widest flooding that still decrypts at this level, with as much again left free."""
    product, kept = 1, 1
    for prime in context.primes:
        product *= prime
    for prime in context.primes[:primes]:
        kept *= prime
    limit = Fraction(kept, 2 << context.ring_bits) * (1 - _SAFETY)
    room = (limit - switch_noise(Fraction(0), context, primes)) * Fraction(product, kept)
    flood_bits = int(room).bit_length() - 2 if room >= 4 else -1
    return ReturnLevel(primes, flood_bits, room) if flood_bits >= 0 else None
