"""Draws that the models at random are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Random = np.random.Generator
T = TypeVar("T")


def number(random: Random, low: int, high: int) -> int:
    """A number from low to high, both included."""
    return int(random.integers(low, high + 1))


def chosen(random: Random, among: Sequence[T]) -> T:
    """One of several."""
    return among[number(random, 0, len(among) - 1)]


def coin(random: Random) -> bool:
    """True half of the time."""
    return bool(random.random() < 0.5)
