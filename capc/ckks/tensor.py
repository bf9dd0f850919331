"""Tensors of CKKS ciphertexts, coefficient by coefficient: what a server computes on a query.

A tensor of shape (...) is one array (polynomials * degree, ...) per prime, in NTT form, so that
every map that treats a batch element by element applies to it as it stands. Beside it, per
element and in value units: `magnitude`, a bound of the plaintext's absolute value in every slot,
and `variance`, an estimate of its error's. A tensor without residues is a rehearsal: the same
operations check levels, scale and precision before any ciphertext exists.

Rescaling and relinearisation are lazy: a linear map that shrinks a tensor runs first, and the
few outputs are then rescaled (nGraph-HE2, Boemer et al., WAHC 2019, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.ckks.elements import Parts
from capc.ckks.modular import (
    Residues,
    add_mod,
    integers_mod,
    linear_mod,
    multiply_mod,
    negate_mod,
)
from capc.ckks.scaled_tensor import ScaledTensor
from capc.fixed_point import Float64
from capc.he.rns import UInt64

Map = Callable[[NDArray[Any]], NDArray[Any]]
WeightedMap = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


class CipherTensor(ScaledTensor):
    """See the module's docstring and ScaledTensor."""

    def moved(self, move: Map) -> CipherTensor:
        """Numbers moved about: `move` maps (n, *shape) to (n, *new shape) and may put in zeros."""
        return self.checked(
            magnitude=move(self.magnitude),
            variance=move(self.variance),
            sample=move(self.sample),
            parts=self._each(lambda part, _: np.ascontiguousarray(move(part))),
        )

    @staticmethod
    def joined(join: Callable[..., NDArray[Any]], tensors: Sequence[CipherTensor]) -> CipherTensor:
        """Numbers of several tensors moved into one, brought to one level and scale first."""
        first = tensors[0]
        if len(tensors) == 1:
            return first.moved(join)
        level = list(tensors)
        for index in range(1, len(level)):
            level[0], level[index] = _aligned(
                level[0]._relinearised(), level[index]._relinearised()
            )
        for index in range(1, len(level)):
            level[0], level[index] = _aligned(level[0], level[index])
        parts = None
        if all(tensor.parts is not None for tensor in level):
            parts = tuple(join(*held) for held in zip(*(t.ciphertexts for t in level), strict=True))
        return level[0].checked(
            depth=max(tensor.depth for tensor in level),
            magnitude=join(*(tensor.magnitude for tensor in level)),
            variance=join(*(tensor.variance for tensor in level)),
            sample=join(*(tensor.sample for tensor in level)),
            parts=parts,
        )

    def picked(self, others: Sequence[CipherTensor], order: NDArray[np.int64]) -> CipherTensor:
        """Numbers of this tensor and others, flat and side by side, at the places `order`.

        The result has the shape of `order`; a place of -1 is zero.
        """
        places, is_there = np.maximum(order.ravel(), 0), order.ravel() >= 0

        def pick(*arrays: NDArray[Any]) -> NDArray[Any]:
            flat = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
            picked = flat[:, places] * is_there.astype(flat.dtype)
            return np.asarray(picked).reshape(len(flat), *order.shape)

        return CipherTensor.joined(pick, [self, *others])

    def linear(self, apply: WeightedMap, weights: Float64) -> CipherTensor:
        """apply(values, weights), linear in both, values (n, *shape); depth 1 more.

        ConfigError where no prime is left for it or the result may leave the modulus.
        """
        magnitude = apply(self.magnitude, np.abs(weights))
        source = self.settled() if magnitude.size >= self.size else self
        factor = source.factor_for(magnitude)
        integers = np.rint(weights * factor)
        rounding = apply(source.power, np.ones_like(weights)) / (12 * factor**2)
        norm = float(apply(np.ones_like(source.magnitude), np.abs(integers)).max())
        return source.checked(
            scale=source.scale * factor,
            depth=source.depth + 1,
            magnitude=magnitude,
            variance=apply(source.variance, weights**2) + rounding,
            sample=apply(source.sample, weights),
            parts=source._each(
                lambda part, prime: linear_mod(lambda x: apply(x, integers), norm, part, prime)
            ),
        )

    def summed(self, apply: WeightedMap, weights: Float64) -> CipherTensor:
        """As linear(), for whole-numbered weights: no scale, no depth."""
        norm = float(apply(np.ones_like(self.magnitude), np.abs(weights)).max())
        return self.checked(
            magnitude=apply(self.magnitude, np.abs(weights)),
            variance=apply(self.variance, weights**2),
            sample=apply(self.sample, weights),
            parts=self._each(
                lambda part, prime: linear_mod(lambda x: apply(x, weights), norm, part, prime)
            ),
        )

    def times_constant(self, factors: Float64) -> CipherTensor:
        """Element by element with factors that broadcast to (1, *shape); depth 1 more."""
        factors = np.broadcast_to(factors, self.magnitude.shape)
        magnitude = self.magnitude * np.abs(factors)
        source = self.settled()
        factor = source.factor_for(magnitude)
        rounding = source.power / (12 * factor**2)
        return source.checked(
            scale=source.scale * factor,
            depth=source.depth + 1,
            magnitude=magnitude,
            variance=source.variance * factors**2 + rounding,
            sample=source.sample * factors,
            parts=source._each(
                lambda part, prime: multiply_mod(
                    part, integers_mod(factors * factor, prime), prime
                ).astype(part.dtype)
            ),
        )

    def plus_constant(self, values: Float64) -> CipherTensor:
        """Element by element plus values that broadcast to (1, *shape)."""
        values = np.broadcast_to(values, self.magnitude.shape)

        if self.is_complex:
            return self._plus_complex(values)

        def add(part: Residues, prime: int) -> Residues:
            first = part[: self.context.degree]
            total = add_mod(first, integers_mod(values * self.scale, prime), prime)
            return np.concatenate([total.astype(part.dtype), part[self.context.degree :]])

        return self.checked(
            magnitude=self.magnitude + np.abs(values),
            variance=self.variance + 1 / (12 * self.scale**2),
            sample=self.sample + values,
            parts=self._each(add),
        )

    def negated(self) -> CipherTensor:
        """The tensor times -1: no level, no noise."""
        parts = self._each(lambda part, prime: negate_mod(part, prime).astype(part.dtype))
        return replace(self, sample=-self.sample, parts=parts)

    def plus(self, other: CipherTensor) -> CipherTensor:
        """The sum of two tensors of one shape, brought to one level and scale first."""
        left, right = _aligned(self, other)

        def add(first: Residues, second: Residues, prime: int) -> Residues:
            short, long = sorted((first, second), key=len)
            total = add_mod(long[: len(short)], short, prime)
            return np.concatenate([total.astype(long.dtype), long[len(short) :]])

        parts = None
        if left.parts is not None and right.parts is not None:
            primes = self.context.primes[: left.primes]
            triples = zip(left.parts, right.parts, primes, strict=True)
            parts = tuple(add(*triple) for triple in triples)
        return left.checked(
            polynomials=max(left.polynomials, right.polynomials),
            depth=max(left.depth, right.depth),
            magnitude=left.magnitude + right.magnitude,
            variance=left.variance + right.variance,
            sample=left.sample + right.sample,
            parts=parts,
        )

    def squared(self) -> CipherTensor:
        """x * x in every slot; depth 1 more. ConfigError under complex packing."""
        source = self.settled()
        source.require_real()
        return source.checked(
            scale=source.scale**2,
            polynomials=3,
            depth=source.depth + 1,
            magnitude=source.magnitude**2,
            variance=4 * source.power * source.variance + 3 * source.variance**2,
            sample=source.sample**2,
            parts=source._through_seal([source], lambda x: source.context.evaluator.square(x[0])),
        )

    def times(self, other: CipherTensor) -> CipherTensor:
        """The product of two tensors of one shape; depth 1 more. Not under complex packing."""
        left, right = self.settled(), other.settled()
        left.require_real()
        primes = min(left.primes, right.primes)
        left, right = left._dropped_to(primes), right._dropped_to(primes)
        multiply = self.context.evaluator.multiply
        a, b = left.power, right.power
        variance = a * right.variance + b * left.variance + left.variance * right.variance
        return left.checked(
            scale=left.scale * right.scale,
            polynomials=3,
            depth=max(left.depth, right.depth) + 1,
            magnitude=left.magnitude * right.magnitude,
            variance=variance,
            sample=left.sample * right.sample,
            parts=left._through_seal([left, right], lambda x: multiply(x[0], x[1])),
        )

    def _plus_complex(self, values: Float64) -> CipherTensor:
        """plus_constant() for two images in a slot: b + b i."""
        slots, flat = np.ones(self.context.slots), values.ravel()
        return self.checked(
            magnitude=self.magnitude + math.sqrt(2) * np.abs(values),
            variance=self.variance + self.context.degree / (12 * self.scale**2),
            sample=self.sample + values,
            parts=self.plus_encoded(lambda index: slots * flat[index] * (1 + 1j)),
        )

    def plus_encoded(self, slots: Callable[[int], NDArray[Any]]) -> Parts | None:
        """The residues plus the encoding of `slots(index)` in each ciphertext."""

        def add(index: int, block: UInt64) -> UInt64:
            encoded = self.context.encoded(slots(index), self.scale, self.primes)
            total = block.copy()
            for k, prime in enumerate(self.prime_values()):
                total[0, k] = add_mod(block[0, k], encoded[k], prime)
            return total

        return self.by_element(add)


def _aligned(left: CipherTensor, right: CipherTensor) -> tuple[CipherTensor, CipherTensor]:
    """Both at one level and one scale; costs a multiplication where the scales differ."""
    if left.scale != right.scale:
        left, right = left.settled(), right.settled()
    swapped = left.primes <= right.primes  # which of the two is `low`
    low, high = (left, right) if swapped else (right, left)
    if not math.isclose(low.scale, high.scale, rel_tol=2.0**-40):
        high = high.rescaled_to(low.scale) if high.primes > low.primes else high
        if not math.isclose(low.scale, high.scale, rel_tol=2.0**-40):
            low = low.rescaled_to(high.scale)
    primes = min(low.primes, high.primes)
    low, high = low._dropped_to(primes), high._dropped_to(primes)
    return (low, high) if swapped else (high, low)
