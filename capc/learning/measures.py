"""Accuracy, overall and by class, and means with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.fixed_point import Float64
from capc.privacy.voting_rules import members

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """Right answers and examples by class, each of length `classes`."""

    correct: tuple[int, ...]
    examples: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """Share of all examples that are right, in [0, 1]."""
        return sum(self.correct) / max(sum(self.examples), 1)

    @property
    def by_class(self) -> Float64:
        """Accuracy on each class (its recall); nan for a class without examples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.array(self.correct) / np.array(self.examples), dtype=np.float64)

    @property
    def balanced(self) -> float:
        """Mean of the accuracies by class, over the classes that have examples."""
        return float(np.nanmean(self.by_class))

    def over(self, classes: Sequence[int]) -> float:
        """Mean accuracy over some classes; nan where none is named."""
        return float(np.nanmean(self.by_class[list(classes)])) if classes else math.nan


def score(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Score:
    """Compare predictions (n,) with labels (n,)."""
    right = np.bincount(labels[predicted == labels], minlength=classes)
    every = np.bincount(labels, minlength=classes)
    return Score(tuple(right.tolist()), tuple(every.tolist()))


def score_sets(predicted: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> Score:
    """The same for sets of `count` labels, as numbers (n,), of which each label is judged alone.

    Class 2 j is "label j is absent", class 2 j + 1 "label j is there". So the accuracy is the share
    of right labels, and the balanced one counts what is rare as much as what is common.
    """
    found, truth = members(predicted, count), members(labels, count)
    pairs = zip(found.T, truth.T, strict=True)
    each = [score(column, true, 2) for column, true in pairs]
    return Score(
        tuple(number for one in each for number in one.correct),
        tuple(number for one in each for number in one.examples),
    )


def judged(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int, *, multi_label: bool
) -> Score:
    """`score` or `score_sets`, as the task wants it."""
    return (score_sets if multi_label else score)(predicted, labels, classes)


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided confidence interval; nan bounds where one value says nothing."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval of independent values; nan everywhere without values."""
    numbers = np.asarray(values, dtype=np.float64)
    count = len(numbers)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(numbers.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    error = float(numbers.std(ddof=1)) / math.sqrt(count)
    reach = student_quantile(0.5 + confidence / 2.0, count - 1) * error
    return Interval(mean, mean - reach, mean + reach, count)


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t with whole degrees of freedom, for probability in (0.5, 1)."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability:
        high *= 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _student_cdf(value: float, freedom: int) -> float:
    """Closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(value / math.sqrt(freedom))
    cosine2 = math.cos(angle) ** 2
    odd = freedom % 2 == 1
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine2 * (step - 1) / step
        total += term
    inner = math.sin(angle) * total
    central = 2.0 / math.pi * (angle + inner) if odd else inner
    return 0.5 + central / 2.0
