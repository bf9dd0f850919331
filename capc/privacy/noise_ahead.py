"""Noise that is there before it is needed: how long a draw takes tells how large it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from capc.fixed_point import Int64

BLOCK_DRAWS = 1 << 15
"""Draws made at once: about a second. A run that needs fewer draws them all before it begins."""


class NoiseAhead:
    """The noise of a run's queries, `words` draws for each, each given out once, in order.

    `draw(rows)` gives int64 (rows, words). A run of more than BLOCK_DRAWS draws gets them in
    blocks of so many, or of one batch of at most `batch_size` queries where that is more: the
    pause that a block makes tells of no single draw.
    """

    def __init__(
        self, draw: Callable[[int], Int64], *, words: int, queries: int, batch_size: int
    ) -> None:
        self._draw = draw
        self._left = queries
        self._batch_size = batch_size
        self._block = max(batch_size, BLOCK_DRAWS // words)
        self._stock: Int64 = np.zeros((0, words), dtype=np.int64)
        self.refill()

    def refill(self) -> None:
        """Have enough for the next batch. Call it where nothing is timed, between two batches."""
        if self._left and len(self._stock) < self._batch_size:
            rows = min(self._left, self._block)
            self._left -= rows
            self._stock = np.concatenate([self._stock, self._draw(rows)])

    def take(self, count: int) -> Int64:
        """The next `count` rows; no more than a batch between two calls of `refill`."""
        if count > len(self._stock):
            raise ValueError(f"{count} rows of noise are asked for and {len(self._stock)} are left")
        taken, self._stock = self._stock[:count], self._stock[count:]
        return taken
