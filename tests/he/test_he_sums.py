"""The compiled sums of products of residues against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest

from capc.fixed_point import Int64
from capc.he import rns
from capc.he.rns import UInt64

FAST = (1152921504606748673, 1152921504606830593)
TEN = (140737488273409, 16515073, 16580609, 16760833)
LARGEST = ((1 << 61) - 1,)  # a prime, the largest that is allowed


def random_residues(seed: int, shape: tuple[int, ...], primes: tuple[int, ...]) -> UInt64:
    """Uniform residues (*shape[:-1], primes, shape[-1])."""
    generator = np.random.default_rng(seed)
    rows = [generator.integers(0, prime, size=shape, dtype=np.uint64) for prime in primes]
    return np.stack(rows, axis=-2)


def in_integers(
    inputs: UInt64, weights: UInt64, pairs: Int64, primes: tuple[int, ...], start: UInt64 | None
) -> list[object]:
    column = np.array(primes, dtype=object)[:, None]
    sums = []
    for number, terms in enumerate(pairs.tolist()):
        total = np.zeros(inputs.shape[1:], dtype=object)
        if start is not None:
            total = start[number].astype(object)
        for source, weight in terms:
            total = total + inputs[source].astype(object) * weights[weight].astype(object)
        sums.append((total % column).tolist())
    return sums


@pytest.mark.parametrize("primes", [FAST, TEN, LARGEST])
@pytest.mark.parametrize("degree", [1, 7, 512, 513])  # a block of the kernel is 512
@pytest.mark.parametrize("has_start", [False, True])
def test_sums_equal_those_of_integers(
    primes: tuple[int, ...], degree: int, has_start: bool
) -> None:
    inputs = random_residues(1, (4, 2, degree), primes)
    weights = random_residues(2, (6, degree), primes)
    pairs = np.array([[(0, 0), (3, 5), (1, 2)], [(2, 1), (2, 1), (0, 4)]])
    start = random_residues(3, (2, 2, degree), primes) if has_start else None
    result = rns.sums_of_products(inputs, weights, pairs, primes, start)
    assert result.dtype == np.uint64
    assert result.shape == (2, 2, len(primes), degree)
    assert result.tolist() == in_integers(inputs, weights, pairs, primes, start)


@pytest.mark.parametrize("primes", [FAST, LARGEST])
@pytest.mark.parametrize("terms", [1, 8, 9, 63, 64, 65, 128, 129, 1000])
def test_the_largest_residues_do_not_overflow(primes: tuple[int, ...], terms: int) -> None:
    """Between two reductions lie 64 products, of up to 122 bits each."""
    largest = np.array(primes, dtype=np.uint64)[:, None] - np.uint64(1)
    pairs = np.zeros((1, terms, 2), dtype=np.int64)
    start = largest[np.newaxis, np.newaxis]
    result = rns.sums_of_products(start, largest[np.newaxis], pairs, primes, start)
    # (p - 1)^2 is 1 modulo p, and what was there before is -1.
    assert result.ravel().tolist() == [terms - 1] * len(primes)


@pytest.mark.parametrize("prime", [3, 5, 40961, *TEN, *FAST, *LARGEST])
def test_residues_are_below_their_prime(prime: int) -> None:
    """Sums next to multiples of the prime, where the estimated quotient is one too small."""
    values = np.array([[0, 1, prime - 1, prime // 2, prime // 2 + 1, 1]], dtype=np.uint64)
    others = np.array([[0, prime - 1, prime - 1, 2, 2, 1]], dtype=np.uint64)
    pairs = np.zeros((1, 1, 2), dtype=np.int64)
    result = rns.sums_of_products(
        values[np.newaxis, np.newaxis], others[np.newaxis], pairs, [prime]
    )
    expected = [int(v) * int(w) % prime for v, w in zip(values[0], others[0], strict=True)]
    assert result.ravel().tolist() == expected


INPUTS = np.zeros((2, 2, 2, 8), dtype=np.uint64)
WEIGHTS = np.zeros((3, 2, 8), dtype=np.uint64)
PAIRS = np.zeros((2, 4, 2), dtype=np.int64)
START = np.zeros((2, 2, 2, 8), dtype=np.uint64)


@pytest.mark.parametrize(
    ("inputs", "weights", "pairs", "start", "message"),
    [
        (INPUTS[0], WEIGHTS, PAIRS, None, "inputs has 3 axes, not 4"),
        (INPUTS, INPUTS, PAIRS, None, "weights has 4 axes, not 3"),
        (INPUTS, WEIGHTS, PAIRS[0], None, "pairs has 2 axes, not 3"),
        (INPUTS, WEIGHTS[:, :1].copy(), PAIRS, None, "axis 1 of weights has 1 entries, not 2"),
        (INPUTS, WEIGHTS[..., :4].copy(), PAIRS, None, "axis 2 of weights has 4 entries, not 8"),
        (INPUTS, WEIGHTS, PAIRS[..., :1].copy(), None, "axis 2 of pairs has 1 entries, not 2"),
        (INPUTS, WEIGHTS, PAIRS, START[:1], "axis 0 of start has 1 entries, not 2"),
        (INPUTS, WEIGHTS, PAIRS, START[:, :1].copy(), "axis 1 of start has 1 entries, not 2"),
        (INPUTS[..., ::2], WEIGHTS, PAIRS, None, "inputs must lie in one piece, row by row"),
        (INPUTS.astype(np.float64), WEIGHTS, PAIRS, None, "inputs must be of 64-bit integers"),
        (INPUTS, WEIGHTS.astype(np.int64), PAIRS, None, "weights must be of 64-bit integers"),
        (INPUTS, WEIGHTS, PAIRS.astype(np.int32), None, "pairs must be of 64-bit integers"),
        (INPUTS, WEIGHTS, PAIRS, START.view(np.int64), "start must be of 64-bit integers"),
        (INPUTS, WEIGHTS, PAIRS + np.array([2, 0]), None, "a pair names input 2 of 2"),
        (INPUTS, WEIGHTS, PAIRS - np.array([0, 1]), None, "a pair names weight polynomial -1 of 3"),
    ],
)
def test_what_does_not_fit_is_refused(
    inputs: UInt64, weights: UInt64, pairs: Int64, start: UInt64 | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rns.sums_of_products(inputs, weights, pairs, FAST, start)


@pytest.mark.parametrize("prime", [0, 1, 2, 40962, 1 << 61, (1 << 61) + 1])
def test_primes_out_of_range_are_refused(prime: int) -> None:
    with pytest.raises(ValueError, match=f"a prime is {prime}; allowed are odd ones below 2\\^61"):
        rns.sums_of_products(INPUTS, WEIGHTS, PAIRS, (3, prime))


def test_another_number_of_primes_is_refused() -> None:
    with pytest.raises(ValueError, match="axis 2 of inputs has 2 entries, not 4"):
        rns.sums_of_products(INPUTS, WEIGHTS, PAIRS, TEN)


def test_no_terms_leave_the_start() -> None:
    start = START + np.uint64(1)
    nothing = np.zeros((2, 0, 2), dtype=np.int64)
    assert (rns.sums_of_products(INPUTS, WEIGHTS, nothing, FAST, start) == start).all()
