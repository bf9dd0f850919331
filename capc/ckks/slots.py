"""Fresh tensors, and arithmetic with plain values that differ from slot to slot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from capc.ckks.context import CkksContext
from capc.ckks.elements import Parts
from capc.ckks.levels import fresh_variance
from capc.ckks.modular import multiply_mod
from capc.ckks.tensor import CipherTensor
from capc.fixed_point import Float64
from capc.he.rns import UInt64

_SPREAD_SAMPLES = 4
_MOST_SAMPLES = 64
_ALL_ROWS = slice(None)


def fresh(
    context: CkksContext,
    shape: tuple[int, ...],
    value_range: tuple[float, float],
    *,
    sample: Float64 | None = None,
    is_complex: bool = False,
    relin_keys: Any = None,
    parts: Parts | None = None,
) -> CipherTensor:
    """A tensor as a client encrypts it, values in `value_range`; a rehearsal without parts.

    `sample`, (n, *shape), stands for typical values; without it they spread over the range.
    """
    reach = max(abs(end) for end in value_range) * (math.sqrt(2) if is_complex else 1.0)
    tensor = CipherTensor(
        context=context,
        primes=len(context.primes),
        scale=context.scale,
        polynomials=2,
        depth=0,
        magnitude=np.full((1, *shape), reach),
        variance=np.full((1, *shape), fresh_variance(context) / context.scale**2),
        sample=spread(shape, value_range) if sample is None else sample[:_MOST_SAMPLES],
        is_complex=is_complex,
        relin_keys=relin_keys,
        parts=parts,
    )
    return tensor.checked()


def spread(shape: tuple[int, ...], value_range: tuple[float, float]) -> Float64:
    """Values (n, *shape) that fill a range evenly, by the golden ratio: a stand-in for data."""
    low, high = value_range
    steps = np.arange(1, _SPREAD_SAMPLES * math.prod(shape) + 1) * ((math.sqrt(5) - 1) / 2)
    values = low + (high - low) * (steps % 1.0)
    return np.asarray(values, dtype=np.float64).reshape(_SPREAD_SAMPLES, *shape)


def times_slots(tensor: CipherTensor, values: Float64, rows: slice = _ALL_ROWS) -> CipherTensor:
    """Element by element with values (batch, *shape), another in every slot; depth 1 more.

    `rows` of the batch lie in the slots; level and scale follow from all of them.
    """
    magnitude = tensor.magnitude * np.abs(values).max(axis=0, keepdims=True)
    source = tensor.settled()
    source.require_real()
    factor = source.factor_for(magnitude)
    columns = values[rows].reshape(len(values[rows]), -1).T

    def multiply(index: int, block: UInt64) -> UInt64:
        encoded = source.context.encoded(columns[index], factor, source.primes)
        rows = [
            multiply_mod(block[:, k], encoded[k], prime)
            for k, prime in enumerate(source.prime_values())
        ]
        return np.stack(rows, axis=1)

    encoding = source.power * source.context.degree / (12 * factor**2)
    return source.checked(
        scale=source.scale * factor,
        depth=source.depth + 1,
        magnitude=magnitude,
        variance=source.variance * (values**2).max(axis=0, keepdims=True) + encoding,
        sample=source.sample * np.sqrt((values**2).mean(axis=0)),
        parts=source.by_element(multiply),
    )


def plus_slots(tensor: CipherTensor, values: Float64, rows: slice = _ALL_ROWS) -> CipherTensor:
    """Element by element plus values (batch, *shape), another in every slot; `rows` as above."""
    tensor.require_real()
    columns = values[rows].reshape(len(values[rows]), -1).T
    return tensor.checked(
        magnitude=tensor.magnitude + np.abs(values).max(axis=0, keepdims=True),
        variance=tensor.variance + tensor.context.degree / (12 * tensor.scale**2),
        sample=tensor.sample + values.mean(axis=0),
        parts=tensor.plus_encoded(lambda index: columns[index]),
    )
