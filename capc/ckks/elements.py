"""A tensor's ciphertexts one by one, for SEAL, and coefficient by coefficient, for NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from capc.ckks.context import CkksContext
from capc.ckks.modular import Residues, residue_type
from capc.he.rns import UInt64

Parts = tuple[Residues, ...]  # per prime: (polynomials * degree, *shape)

_BLOCK = 16  # ciphertexts transposed at once


def elements(parts: Parts, degree: int) -> Iterator[UInt64]:
    """Each ciphertext's residues (polynomials, primes, degree), in row-major order."""
    flat = [part.reshape(len(part), -1) for part in parts]
    for start in range(0, flat[0].shape[1], _BLOCK):
        block = np.stack([part[:, start : start + _BLOCK].T for part in flat], axis=1)
        split = block.reshape(len(block), len(flat), -1, degree)
        yield from split.transpose(0, 2, 1, 3).astype(np.uint64, order="C")  # rows are packed


def from_elements(
    context: CkksContext, shape: tuple[int, ...], residues: Iterable[UInt64]
) -> Parts:
    """The inverse of elements(), for as many ciphertexts as `shape` has elements."""
    count = math.prod(shape)
    parts: list[Residues] = []
    block: list[UInt64] = []
    for stop, one in enumerate(residues, start=1):
        block.append(one)
        if len(block) == _BLOCK or stop == count:
            _write(context, parts, block, stop, count)
            block = []
    return tuple(part.reshape(len(part), *shape) for part in parts)


def _write(
    context: CkksContext,
    parts: list[Residues],
    block: Sequence[UInt64],
    stop: int,
    count: int,
) -> None:
    stacked = np.stack(block)  # (block, polynomials, primes, degree)
    rows = stacked.shape[1] * context.degree
    for k, prime in enumerate(context.primes[: stacked.shape[2]]):
        if len(parts) <= k:
            parts.append(np.empty((rows, count), residue_type(prime)))
        parts[k][:, stop - len(block) : stop] = stacked[:, :, k].reshape(len(block), -1).T
