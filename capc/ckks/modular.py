"""Products modulo word-sized primes in NumPy: linear maps through floating-point BLAS, exactly.

float64 holds every integer up to 2^53. Residues are cut into limbs so narrow that a whole sum of
products stays below that; weights are centred integers and stay whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.he.rns import UInt64

Residues = NDArray[Any]  # uint32 below a prime of 32 bits, else uint64

_EXACT_BITS = 53
_FEWEST_LIMB_BITS = 4
_ELEMENTS_AT_ONCE = 1 << 21  # 16 MiB: memory that the allocator hands out again


def residue_type(prime: int) -> type[np.uint32] | type[np.uint64]:
    """The narrowest of the two word types that holds residues modulo `prime`."""
    return np.uint32 if prime < 1 << 32 else np.uint64


def linear_mod(
    apply: Callable[[Float64], Float64], norm: float, values: Residues, prime: int
) -> Residues:
    """`apply`, a linear map with integer weights, modulo `prime`, for residues (n, ...).

    `norm` bounds the sum of absolute weights that enter one output. ConfigError where one sum
    does not fit float64 even limb by limb.
    """
    room = _EXACT_BITS - int(np.ceil(norm)).bit_length()
    if room < _FEWEST_LIMB_BITS:
        raise ConfigError("the weights of a layer are too large for CKKS here: use a smaller scale")
    count = -(-prime.bit_length() // room)
    width = -(-prime.bit_length() // count)
    step = max(1, _ELEMENTS_AT_ONCE // max(values[:1].size, 1))
    pieces = [
        _by_limbs(apply, values[start : start + step], prime, count, width)
        for start in range(0, len(values), step)
    ]
    return np.concatenate(pieces)


def multiply_mod(left: Residues, right: Residues, prime: int) -> UInt64:
    """left * right modulo a prime below 2^61, element by element, for residues that broadcast."""
    first, second = left.astype(np.uint64, copy=False), right.astype(np.uint64, copy=False)
    if prime < 1 << 32:
        product: UInt64 = first * second % np.uint64(prime)
        return product
    shift, mask = np.uint64(30), np.uint64((1 << 30) - 1)
    high = _times_short(_times_short(first, second >> shift, prime), np.uint64(1 << 30), prime)
    return add_mod(high, _times_short(first, second & mask, prime), prime)


def add_mod(left: Residues, right: Residues, prime: int) -> UInt64:
    """left + right modulo a prime below 2^61."""
    total = left.astype(np.uint64) + right
    return np.where(total >= prime, total - np.uint64(prime), total)


def negate_mod(values: Residues, prime: int) -> UInt64:
    """-values modulo a prime."""
    wide = values.astype(np.uint64, copy=False)
    return np.where(wide == 0, wide, np.uint64(prime) - wide)


def integers_mod(values: Float64, prime: int) -> UInt64:
    """Reals rounded to whole numbers of any size, modulo a prime."""
    rounded = np.rint(values)
    if not np.all(np.isfinite(rounded)):
        raise ConfigError("a constant is not a finite number")
    flat = [int(value) % prime for value in rounded.ravel().tolist()]
    return np.array(flat, dtype=np.uint64).reshape(rounded.shape)


def _by_limbs(
    apply: Callable[[Float64], Float64], values: Residues, prime: int, count: int, width: int
) -> Residues:
    """Horner's rule over the limbs, the highest first."""
    word = values.dtype.type
    mask = word((1 << width) - 1)
    total: UInt64 = np.zeros(0, dtype=np.uint64)
    for place in reversed(range(count)):
        limb = (values >> word(place * width)) & mask if count > 1 else values
        product = _reduced(apply(limb.astype(np.float64)), prime)
        if place < count - 1:
            raised = multiply_mod(total, np.array(1 << width), prime)
            product = add_mod(raised, product, prime)
        total = product
    return total.astype(word)


def _reduced(values: Float64, prime: int) -> UInt64:
    """Whole numbers below 2^53 in absolute value, modulo a prime."""
    if prime.bit_length() >= _EXACT_BITS - 1:
        whole = values.astype(np.int64)
        return np.where(whole < 0, whole + np.int64(prime), whole).view(np.uint64)
    values = values - np.floor(values * (1.0 / prime)) * prime
    values += (values < 0) * float(prime)
    values -= (values >= prime) * float(prime)
    return values.astype(np.uint64)


def _times_short(values: UInt64, factor: Any, prime: int) -> UInt64:
    """values * factor modulo a prime below 2^61, for factors below 2^32.

    The quotient, estimated in double precision, is off by at most one.
    """
    estimate = values.astype(np.float64) * (np.asarray(factor).astype(np.float64) / prime)
    remainder = (values * factor - estimate.astype(np.uint64) * np.uint64(prime)).view(np.int64)
    remainder = np.where(remainder < 0, remainder + np.int64(prime), remainder)
    remainder = np.where(remainder >= prime, remainder - np.int64(prime), remainder)
    return remainder.view(np.uint64)
