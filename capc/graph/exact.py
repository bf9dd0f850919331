"""Matrix products over int64, modulo 2^64, at the speed of floating-point BLAS where it is exact.

float64 holds every integer up to 2^53. Where the products of a sum stay below that in total, any
order of additions is exact; a left factor that is too wide is cut into limbs that are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.fixed_point import Float64, Int64

_EXACT_BITS = 53
_SMALLEST_LIMB = 6  # bits; narrower limbs cost more products than the integer loop


def exact_matmul(values: NDArray[Any], weights: NDArray[Any]) -> Int64:
    """values @ weights modulo 2^64, for int64 (..., m, k) and (..., k, n)."""
    return ExactFactor(weights).matmul(values)


class ExactFactor:
    """The right factor of exact products, int64 (..., k, n): cast and measured once for all."""

    def __init__(self, weights: NDArray[Any]) -> None:
        self._weights = weights
        self._as_float: Float64 = weights.astype(np.float64)
        self._column = column_magnitude(self._as_float)
        self._room = _EXACT_BITS - int(self._column).bit_length()

    def matmul(self, values: NDArray[Any]) -> Int64:
        """values @ weights modulo 2^64, for int64 (..., m, k)."""
        widest = magnitude(values)
        if widest == 0 or self._column == 0:
            nothing: Int64 = np.matmul(values[..., :1] * 0, self._weights[..., :1, :] * 0)
            return nothing
        if self._room < _SMALLEST_LIMB:
            product: Int64 = np.matmul(values, self._weights)
            return product
        if widest.bit_length() <= self._room:
            return _product(values, self._as_float)
        return _by_limbs(values, self._as_float, self._room, widest.bit_length())


class KeptFactor:
    """exact_matmul for callers whose right factor is the same every time: it is cast once."""

    def __init__(self) -> None:
        self._factor: ExactFactor | None = None

    def __call__(self, values: NDArray[Any], weights: NDArray[Any]) -> Int64:
        """values @ weights modulo 2^64; `weights` counts at the first call alone."""
        if self._factor is None:
            self._factor = ExactFactor(weights)
        return self._factor.matmul(values)


def magnitude(values: NDArray[Any]) -> int:
    """The largest absolute value in an int64 array; 0 for an empty one."""
    if values.size == 0:
        return 0
    return max(int(values.max()), -int(values.min()))


def column_magnitude(weights: NDArray[Any]) -> float:
    """An upper bound of the largest sum of absolute values over axis -2, of integers or floats."""
    if weights.size == 0:
        return 0.0
    sums: Float64 = np.abs(weights.astype(np.float64, copy=False)).sum(axis=-2)
    return float(sums.max()) * (1 + 2.0**-20)


def _product(values: Int64, weights: Float64) -> Int64:
    product: Float64 = np.matmul(values.astype(np.float64), weights)
    return product.astype(np.int64)


def _by_limbs(values: Int64, weights: Float64, limb_bits: int, value_bits: int) -> Int64:
    """The product as a sum over limbs; the top limb keeps the sign."""
    mask = np.int64((1 << limb_bits) - 1)
    total = _product(values & mask, weights)
    for shift in range(limb_bits, min(value_bits + 1, 64), limb_bits):
        limb = values >> np.int64(shift)
        if shift + limb_bits <= value_bits:
            limb = limb & mask
        total += _product(limb, weights) << np.int64(shift)
    return total
