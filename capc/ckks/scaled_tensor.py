"""What a CKKS ciphertext tensor holds, its levels, scale and precision; see capc.ckks.tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from capc.ckks.context import CkksContext
from capc.ckks.elements import Parts, elements, from_elements
from capc.ckks.levels import (
    FEWEST_WEIGHT_BITS,
    TAIL,
    relinearisation_variance,
    rounding_variance,
    weight_scale,
)
from capc.ckks.modular import Residues, multiply_mod
from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.he.rns import UInt64

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class ScaledTensor:
    """As in capc.ckks.tensor: `magnitude`, `variance` (1, *shape), `sample` (n, *shape)."""

    context: CkksContext
    primes: int
    scale: float
    polynomials: int
    depth: int
    magnitude: Float64
    variance: Float64
    sample: Float64
    is_complex: bool
    relin_keys: Any = None
    parts: Parts | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image's values."""
        return self.magnitude.shape[1:]

    @property
    def size(self) -> int:
        """How many values an image has: as many ciphertexts as there are."""
        return self.magnitude.size

    @property
    def ciphertexts(self) -> Parts:
        """The residues; ValueError for a rehearsal."""
        if self.parts is None:
            raise ValueError("a rehearsal has no ciphertexts")
        return self.parts

    @property
    def power(self) -> Float64:
        """The mean square of every element."""
        return np.asarray(np.mean(self.sample**2, axis=0, keepdims=True), dtype=np.float64)

    @property
    def precision_bits(self) -> float:
        """-log2 of the largest error to expect, TAIL standard deviations."""
        return -math.log2(TAIL * math.sqrt(float(self.variance.max())) + 2.0**-60)

    def settled(self) -> Self:
        """The same values in two polynomials, rescaled down to about the scale of the context."""
        tensor = self._relinearised()
        count, scale = 0, tensor.scale
        while count < tensor.primes - 1:
            last = self.context.primes[tensor.primes - 1 - count]
            if scale / last < self.context.scale / 2:
                break
            scale, count = scale / last, count + 1
        return tensor._rescaled(count) if count else tensor

    def _rescaled(self, count: int) -> Self:
        """Two polynomials, divided by the last `count` primes."""
        context, primes = self.context, self.primes - count
        scale = self.scale / math.prod(context.primes[primes : self.primes])
        target = context.level_id(primes)
        return self.checked(
            primes=primes,
            scale=scale,
            variance=self.variance + 1.1 * rounding_variance(context) / scale**2,
            parts=self._through_seal([self], lambda x: context.evaluator.rescale_to(x[0], target)),
        )

    def rescaled_to(self, scale: float) -> Self:
        """The same values at another scale, at the cost of one prime."""
        last = self.context.primes[self.primes - 1]
        factor = scale * last / self.scale
        if self.primes < 2 or factor < 2.0**FEWEST_WEIGHT_BITS:
            raise ConfigError("two values meet at different scales, and no level is left to match")
        whole = float(np.rint(factor))
        parts = self._each(
            lambda part, prime: multiply_mod(part, np.array(int(whole) % prime), prime).astype(
                part.dtype
            )
        )
        error = self.power * ((factor - whole) / factor) ** 2
        raised = self.checked(
            scale=self.scale * factor, variance=self.variance + error, parts=parts
        )
        return replace(raised._rescaled(1), scale=scale)

    def at_last_level(self) -> Self:
        """Settled, and switched to the fewest primes that hold the values: nothing else travels."""
        tensor = self.settled()
        limit = 2 * tensor.scale * tensor._reach()
        primes = tensor.primes
        while primes > 1 and math.prod(tensor.context.primes[: primes - 1]) > limit:
            primes -= 1
        return tensor._dropped_to(primes)

    def _relinearised(self) -> Self:
        if self.polynomials == 2:
            return self
        context, keys = self.context, self.relin_keys
        if not context.has_key_switching:
            raise ConfigError(
                f"coeff_modulus {list(context.parameters.coeff_modulus)} has no prime for keys: "
                "products of two ciphertexts need at least two primes"
            )
        added = relinearisation_variance(context, self.primes) / self.scale**2
        return self.checked(
            polynomials=2,
            variance=self.variance + added,
            parts=self._through_seal([self], lambda x: context.evaluator.relinearize(x[0], keys)),
        )

    def factor_for(self, magnitude: Float64) -> float:
        """The scale at which factors up to `magnitude` are encoded for a product."""
        reach = float(magnitude.max(initial=0.0))
        return weight_scale(self.context, self.primes, self.scale, reach, self.depth)

    def _reach(self) -> float:
        return float((self.magnitude + TAIL * np.sqrt(self.variance)).max(initial=0.0))

    def checked(self, **changes: Any) -> Self:
        """The changed tensor; ConfigError where a value may leave the modulus."""
        result = replace(self, **changes)
        modulus = math.prod(self.context.primes[: result.primes])
        need = 2 * result.scale * result._reach()
        if not need < modulus:
            raise ConfigError(
                f"values up to {result._reach():.3g} need {math.log2(need):.1f} bits at this "
                f"scale, and the {result.primes} primes left at multiplication {result.depth} "
                f"hold {math.log2(modulus):.1f}"
            )
        return result

    def require_real(self) -> None:
        """Raise ConfigError where each slot holds two images."""
        if self.is_complex:
            raise ConfigError("complex packing holds two images in a slot: it cannot multiply them")

    def prime_values(self) -> tuple[int, ...]:
        """The primes of the modulus that is left."""
        return self.context.primes[: self.primes]

    def _dropped_to(self, primes: int) -> Self:
        parts = None if self.parts is None else self.parts[:primes]
        return self.checked(primes=primes, parts=parts)

    def _each(self, change: Callable[[Residues, int], Residues]) -> Parts | None:
        if self.parts is None:
            return None
        return tuple(
            change(part, prime) for part, prime in zip(self.parts, self.prime_values(), strict=True)
        )

    def _through_seal(
        self,
        tensors: Sequence[ScaledTensor],
        operate: Callable[[list[Any]], Any],
    ) -> Parts | None:
        """`operate` on the ciphertexts of each element, one of every tensor."""
        context = self.context
        streams = [
            elements(tensor.parts, context.degree) for tensor in tensors if tensor.parts is not None
        ]
        if len(streams) < len(tensors):
            return None
        results = (
            context.residues(
                operate(
                    [
                        context.ciphertext(_opaque(context, one, tensor.scale))
                        for one, tensor in zip(together, tensors, strict=True)
                    ]
                )
            )
            for together in zip(*streams, strict=True)
        )
        return from_elements(context, self.shape, results)

    def by_element(self, change: Callable[[int, UInt64], UInt64]) -> Parts | None:
        """The residues with `change(index, residues)` of each ciphertext; None for a rehearsal."""
        if self.parts is None:
            return None
        residues = enumerate(elements(self.parts, self.context.degree))
        return from_elements(self.context, self.shape, (change(*entry) for entry in residues))


def _opaque(context: CkksContext, residues: UInt64, scale: float) -> UInt64:
    """The same ciphertext, or one that SEAL does not refuse as a mere plaintext.

    That gets a small second polynomial, large enough to last until it is rescaled: an error of
    about the secret key's size, below that of any fresh encryption.
    """
    if residues[1:].any():
        return residues
    changed, small = residues.copy(), max(1, int(2 * scale / context.scale))
    for k, prime in enumerate(context.primes[: residues.shape[1]]):
        changed[1, k] = small % prime  # a constant polynomial in NTT form
    return changed
