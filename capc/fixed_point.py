"""Numbers in Z_t, t = 2^ell: encoding, decoding, additive shares, and their exact arithmetic.

Ring elements are int64 arrays in [0, t). NumPy's int64 wraps modulo 2^64, and t divides 2^64,
so sums and products reduce correctly modulo t for every ell up to 63.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capc.errors import ConfigError, RangeError

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

MAX_RING_BITS = 60  # the largest plaintext modulus of SEAL
# Coarse, so that the ring that a model needs says little about its weights.
RING_BITS = (37, 41, 45, 49, 53, 57)
VOTE_BITS = 32  # m = 2^32: n votes plus noise never wrap
MAX_LOGIT = 36.0  # what a ring must hold at least, unless --max_logit says otherwise


@dataclass(frozen=True)
class FixedPoint:
    """Signed fixed point in Z_{2^ring_bits} with `fraction_bits` fractional bits (both in bits).

    Activations and weights carry `fraction_bits`; a product carries twice as many.
    """

    ring_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.ring_bits <= MAX_RING_BITS:
            raise ValueError(f"ring_bits is {self.ring_bits}; allowed are 2 to {MAX_RING_BITS}")
        if not 0 <= 2 * self.fraction_bits < self.ring_bits:
            raise ValueError(
                f"fraction_bits is {self.fraction_bits}; a product needs twice as many below "
                f"ring_bits = {self.ring_bits}"
            )

    @property
    def modulus(self) -> int:
        """t."""
        return 1 << self.ring_bits

    def reduce(self, values: ArrayLike) -> Int64:
        """Integers of any sign, modulo t, in [0, t)."""
        return modulo(self.ring_bits, values)

    def signed(self, elements: ArrayLike) -> Int64:
        """The representative of each ring element in [-t/2, t/2)."""
        shift = np.int64(64 - self.ring_bits)
        return (np.asarray(elements, dtype=np.int64) << shift) >> shift

    def encode(self, values: ArrayLike, *, fraction_bits: int | None = None) -> Int64:
        """Round reals to the nearest multiple of 2^-fraction_bits (ties to even), as ring elements.

        Raises RangeError where a value is not finite or leaves [-t/2, t/2).
        """
        bits = self.fraction_bits if fraction_bits is None else fraction_bits
        scaled = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), bits))
        limit = float(self.modulus // 2)
        if not np.all(np.isfinite(scaled)) or np.any(scaled < -limit) or np.any(scaled >= limit):
            raise RangeError(
                f"a value is not finite or needs more than {self.ring_bits} bits "
                f"with {bits} of them fractional"
            )
        return self.reduce(scaled.astype(np.int64))

    def decode(self, elements: ArrayLike, *, fraction_bits: int | None = None) -> Float64:
        """The reals that ring elements stand for."""
        bits = self.fraction_bits if fraction_bits is None else fraction_bits
        return np.ldexp(self.signed(elements).astype(np.float64), -bits)

    def truncate(self, elements: ArrayLike) -> Int64:
        """Drop `fraction_bits` bits by an arithmetic shift (rounds toward minus infinity)."""
        return self.reduce(self.signed(elements) >> np.int64(self.fraction_bits))

    def uniform(self, shape: int | tuple[int, ...]) -> Int64:
        """Fresh uniform ring elements from the operating system's generator."""
        return uniform_bits(self.ring_bits, shape)

    def share(self, elements: ArrayLike) -> tuple[Int64, Int64]:
        """Split ring elements x into (x - r, r) with r fresh and uniform."""
        values = np.asarray(elements, dtype=np.int64)
        mask = self.uniform(values.shape)
        return self.reduce(values - mask), mask


def modulo(bits: int, values: ArrayLike) -> Int64:
    """Integers of any sign, modulo 2^bits, in [0, 2^bits); bits <= 63."""
    return np.asarray(values, dtype=np.int64) & np.int64((1 << bits) - 1)


def uniform_bits(bits: int, shape: int | tuple[int, ...]) -> Int64:
    """Fresh uniform integers in [0, 2^bits), bits <= 63, from the operating system's generator."""
    dimensions = (shape,) if isinstance(shape, int) else shape
    count = int(np.prod(dimensions, dtype=np.int64))
    raw = np.frombuffer(secrets.token_bytes(8 * count), dtype=np.int64)
    return (raw & np.int64((1 << bits) - 1)).reshape(dimensions)


def choose_ring_bits(bounds: Iterable[tuple[int, int]]) -> int:
    """The smallest ring of RING_BITS in which every closed interval of signed integers fits.

    ConfigError where even the largest is too small.
    """
    need = 1
    for low, high in bounds:
        need = max(need, (-low - 1).bit_length() + 1 if low < 0 else 1, high.bit_length() + 1)
    for bits in RING_BITS:
        if need <= bits:
            return bits
    raise ConfigError(
        f"the model needs values of {need} bits, and the largest ring has {RING_BITS[-1]}; "
        "use fewer fractional bits or smaller weights"
    )
