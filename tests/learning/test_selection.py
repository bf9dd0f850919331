"""Query choice: known answers, and k-centre against a brute-force one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import ConfigError
from capc.learning.selection import by_entropy, by_gap, by_k_centre, probabilities, random_order

# Probabilities: sure, three-way tie, close call between two.
LOGITS = np.log(np.array([[0.98, 0.01, 0.01], [1 / 3, 1 / 3, 1 / 3], [0.495, 0.505, 1e-9]]))


def test_entropy_asks_the_most_uncertain_first() -> None:
    assert by_entropy(LOGITS).tolist() == [1, 2, 0]


def test_gap_asks_the_closest_call_first() -> None:
    almost = np.log(np.array([[0.4, 0.3, 0.3], [0.495, 0.505, 1e-9], [0.98, 0.01, 0.01]]))
    assert by_gap(almost).tolist() == [1, 0, 2]
    assert by_entropy(almost).tolist() == [0, 1, 2]  # where the two differ


def test_large_logits_do_not_overflow() -> None:
    chances = probabilities(np.array([[1e4, 0.0], [-1e4, 0.0]]))
    assert chances.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert by_entropy(np.array([[1e4, 0.0], [0.0, 0.0]])).tolist() == [1, 0]


def test_k_centre_takes_the_farthest_each_time() -> None:
    pool = np.array([[1.0], [10.0], [4.0], [10.5]])
    own = np.array([[0.0]])
    assert by_k_centre(pool, own, 4).tolist() == [3, 2, 0, 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 1000))
def test_k_centre_is_greedy(count: int, own_count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    pool, own = generator.normal(size=(count, 3)), generator.normal(size=(own_count, 3))
    centres = [*own]
    left = list(range(count))
    for chosen in by_k_centre(pool, own, count):
        distances = {i: min(float(np.sum((pool[i] - c) ** 2)) for c in centres) for i in left}
        assert distances[int(chosen)] == pytest.approx(max(distances.values()))
        left.remove(int(chosen))
        centres.append(pool[chosen])
    assert not left


def test_k_centre_refuses_other_shapes() -> None:
    with pytest.raises(ConfigError, match="features have shapes"):
        by_k_centre(np.zeros((3, 2)), np.zeros((3, 4)), 2)


def test_random_order_is_a_permutation() -> None:
    order = random_order(50, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() != list(range(50))
