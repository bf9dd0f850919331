"""Noise bounds of the encrypted linear layers, worst case, and the mask that leaves room for them.

A ciphertext of m under s has phase c0 + c1 s = q m / t + v (mod q) with a real v, its noise; it
decrypts to m exactly iff |v| < q / (2 t). A cell is the q / t integers around one q m / t. The mask
of a result is uniform over all cells, and within a cell over all of it but a guard at either end,
as wide as the noise can be. See docs/homomorphic-encryption.md for the derivation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from capc.errors import ConfigError
from capc.he.context import SMALLER_RING, Context
from capc.he.rns import QUOTIENT_BITS

DISTANCE_BITS = 40
"""A coefficient of a reply is uniform but for a statistical distance of at most 2^-40."""
MAX_ERROR = 21  # SEAL's centred binomial error: 21 coin pairs


@dataclass(frozen=True)
class ResultMask:
    """How the results of one layer are masked: by round(q s / t) + e, s uniform modulo t.

    e is uniform over the `width` integers of [-width/2, width/2), an even number below q / t.
    `distance` is the statistical distance of the mask from one uniform modulo q.
    """

    width: int
    distance: Fraction


def noise_limit(context: Context) -> Fraction:
    """The noise below which a reply decrypts: half a cell, but for the client's division."""
    lost = Fraction(len(context.primes) << context.ring_bits, 1 << QUOTIENT_BITS)
    return Fraction(math.prod(context.primes), 1 << context.ring_bits) * (Fraction(1, 2) - lost)


def switching_noise(context: Context) -> Fraction:
    """Bound on what one switch of keys after an automorphism adds to the noise.

    Of each prime p, a polynomial of residues below p times the errors of a key, over the special
    prime; and half a unit of rounding in both polynomials, one of which is multiplied by the
    secret.
    """
    digits = sum(prime - 1 for prime in context.primes)
    errors = Fraction(MAX_ERROR * context.degree * digits, context.key_primes[-1])
    return errors + Fraction(context.degree + 1, 2)


def own_noise(context: Context, weight_norm: int, merged: int = 1) -> Fraction:
    """Bound on the noise of a product plus a public-key encryption of zero plus a message.

    `weight_norm` is the largest sum, over the sums of products, of the absolute values of all
    weight coefficients that enter it. Each input coefficient carries at most MAX_ERROR and half
    a unit of rounding. Where so many sums are `merged`, what the first switch of keys adds is
    doubled by each of the others.
    """
    product = (MAX_ERROR + Fraction(1, 2)) * weight_norm
    zero = MAX_ERROR * (2 * context.degree + 1)
    merging = (merged - 1) * switching_noise(context) if merged > 1 else 0
    return product + merging + zero + Fraction(1, 2)


def result_mask(context: Context, weight_norm: int, merged: int = 1) -> ResultMask | None:
    """The widest mask with which every reply decrypts, by a bound on the weights' norm.

    `merged` is as own_noise takes it. None where not even a mask of two values leaves room for the
    noise.
    """
    reach = math.ceil(noise_limit(context) - own_noise(context, weight_norm, merged)) - 1
    if reach < 1:
        return None
    modulus = math.prod(context.primes)
    covered = Fraction(2 * reach << context.ring_bits, modulus)
    return ResultMask(2 * reach, 1 - covered)


def require_mask(context: Context, name: str, weight_norm: int, merged: int = 1) -> ResultMask:
    """The mask of the layer `name`; ConfigError where its distance would exceed 2^-40.

    `weight_norm` must follow from public figures, as the mask's width and the refusal do.
    """
    mask = result_mask(context, weight_norm, merged)
    if mask is not None and mask.distance * (1 << DISTANCE_BITS) <= 1:
        return mask
    guard = math.log2(own_noise(context, weight_norm, merged)) + 1
    cell = math.log2(math.prod(context.primes)) - context.ring_bits
    raise ConfigError(
        f"coeff_modulus {list(context.parameters.coeff_modulus)} is too small for the model: layer "
        f"{name!r} needs guards of {guard:.1f} bits, 2^-{DISTANCE_BITS} of a cell or less, and a "
        f"ring of {context.ring_bits} bits leaves cells of {cell:.1f}; {SMALLER_RING}"
    )
