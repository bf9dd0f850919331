"""Noise that is drawn before it is needed: all of a run, or large blocks between its batches."""

from __future__ import annotations

import numpy as np
import pytest

from capc.fixed_point import Int64
from capc.privacy import noise_ahead
from capc.privacy.noise_ahead import NoiseAhead


class Counter:
    """Draws that can be told apart; remembers how many were asked for at once."""

    def __init__(self, words: int) -> None:
        self.asked: list[int] = []
        self._words = words
        self._next = 0

    def __call__(self, rows: int) -> Int64:
        self.asked.append(rows)
        first, self._next = self._next, self._next + rows * self._words
        return np.arange(first, self._next, dtype=np.int64).reshape(rows, self._words)


def test_a_run_has_all_its_noise_before_it_begins() -> None:
    draw = Counter(3)
    ahead = NoiseAhead(draw, words=3, queries=10, batch_size=4)
    assert draw.asked == [10]
    taken = []
    for count in (4, 1, 4, 1):
        taken.append(ahead.take(count))
        ahead.refill()
    assert draw.asked == [10]
    np.testing.assert_array_equal(np.concatenate(taken), np.arange(30).reshape(10, 3))
    with pytest.raises(ValueError, match="1 rows of noise are asked for and 0 are left"):
        ahead.take(1)


@pytest.mark.parametrize(("batch_size", "asked"), [(4, [5, 5, 5, 5, 3]), (7, [7, 7, 7, 2])])
def test_a_long_run_draws_large_blocks_between_its_batches(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, asked: list[int]
) -> None:
    monkeypatch.setattr(noise_ahead, "BLOCK_DRAWS", 15)
    draw = Counter(3)
    ahead = NoiseAhead(draw, words=3, queries=23, batch_size=batch_size)
    taken = []
    for first in range(0, 23, batch_size):
        before = len(draw.asked)
        taken.append(ahead.take(min(batch_size, 23 - first)))
        assert len(draw.asked) == before
        ahead.refill()
    assert draw.asked == asked
    np.testing.assert_array_equal(np.concatenate(taken), np.arange(69).reshape(23, 3))
