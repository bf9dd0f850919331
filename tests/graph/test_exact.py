"""Integer matrix products through floating point: never off by one, on any side of 2^53."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from capc.graph.exact import KeptFactor, column_magnitude, exact_matmul, magnitude


def by_python(values: NDArray[Any], weights: NDArray[Any]) -> list[list[int]]:
    """Modulo 2^64, as signed 64-bit numbers."""
    rows = []
    for row in values.tolist():
        sums = [sum(a * b for a, b in zip(row, col, strict=True)) for col in weights.T.tolist()]
        rows.append([(total + 2**63) % 2**64 - 2**63 for total in sums])
    return rows


def random_integers(seed: int, shape: tuple[int, int], bits: int) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    full = random.integers(-(2**63), 2**63 - 1, shape, endpoint=True)
    return full >> np.int64(63 - bits)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 4)),
    st.integers(0, 63),
    st.integers(0, 63),
)
def test_equals_python_integers_modulo_2_64(
    seed: int, shape: tuple[int, int, int], value_bits: int, weight_bits: int
) -> None:
    values = random_integers(seed, shape[:2], value_bits)
    weights = random_integers(seed + 1, shape[1:], weight_bits)
    assert exact_matmul(values, weights).tolist() == by_python(values, weights)


def test_every_pair_of_widths() -> None:
    for value_bits in range(64):
        for weight_bits in range(64):
            values = random_integers(64 * value_bits + weight_bits, (2, 3), value_bits)
            weights = random_integers(64 * weight_bits + value_bits, (3, 2), weight_bits)
            found = exact_matmul(values, weights).tolist()
            assert found == by_python(values, weights), (value_bits, weight_bits)


@pytest.mark.parametrize("bits", range(24, 34))
def test_odd_sums_just_around_2_53_are_exact(bits: int) -> None:
    values = np.array([[2**bits - 1, 2**bits - 1, 1]])
    weights = np.array([[2 ** (53 - bits) - 1], [2 ** (53 - bits) - 1], [1]])
    assert exact_matmul(values, weights).tolist() == by_python(values, weights)


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, -(2**62), -1, 0])
@pytest.mark.parametrize("weight", [0, 1, -1, 255, 2**40, -(2**63)])
def test_ends_of_the_range(value: int, weight: int) -> None:
    values, weights = np.array([[value, value]]), np.array([[weight], [weight]])
    assert exact_matmul(values, weights).tolist() == by_python(values, weights)


def test_a_kept_factor_counts_at_the_first_product_alone() -> None:
    kept, weights = KeptFactor(), random_integers(1, (5, 3), 13)
    for seed, bits in enumerate((1, 63, 41, 0)):  # whole, in limbs, in limbs, nothing
        values = random_integers(seed, (2, 5), bits)
        given = weights if seed == 0 else np.empty_like(weights)
        assert kept(values, given).tolist() == by_python(values, weights), bits


def test_magnitudes() -> None:
    assert magnitude(np.array([-(2**63), 5])) == 2**63
    assert magnitude(np.empty((0, 3), dtype=np.int64)) == 0
    weights = np.array([[3, -4], [-3, 4]])
    assert 8 <= column_magnitude(weights) < 8.001
    assert exact_matmul(np.empty((2, 0), np.int64), np.empty((0, 3), np.int64)).tolist() == [
        [0, 0, 0],
        [0, 0, 0],
    ]
