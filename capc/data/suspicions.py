"""Signs that a model and the labelled data it is given do not belong together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import Labels
from capc.data.fitting import Range

MOST_EXAMPLES, FEWEST_EXAMPLES = 100, 10
_LOW_ACCURACY = 0.75  # below it, other ranges are tried
_RANGES: tuple[Range, ...] = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))

Predict = Callable[[NDArray[Any]], NDArray[Any]]
"""Samples (n, ...) to predicted classes (n,)."""


def is_near_chance(right: int, examples: int, classes: int) -> bool:
    """Whether so many right labels could be luck: two standard deviations above chance, or less."""
    chance = 1 / classes
    luck = examples * chance + 2 * math.sqrt(examples * chance * (1 - chance))
    return examples >= FEWEST_EXAMPLES and right <= luck and right < _LOW_ACCURACY * examples


def range_suspicion(
    predict: Predict,
    samples: NDArray[Any],
    labels: Labels,
    classes: int,
    input_range: Range,
    *,
    scales: bool,
    seconds: float = 2.0,
) -> str | None:
    """A sentence where the predictions are near chance, or much better in another range.

    `scales`: whether --input_range scales the data, as it does bytes. Not more is tried than
    `seconds` allow, about.
    """
    started = time.monotonic()
    first = predict(samples[:1])
    each = time.monotonic() - started
    affordable = int(seconds / (4 * max(each, 1e-6)))  # a batch costs less an example
    count = min(len(samples), MOST_EXAMPLES, max(FEWEST_EXAMPLES, affordable))
    if count < FEWEST_EXAMPLES or each * FEWEST_EXAMPLES > seconds:
        return None
    samples, labels = samples[:count], labels[:count]
    right = int(first[0] == labels[0]) + int(np.sum(predict(samples[1:]) == labels[1:]))
    if right >= _LOW_ACCURACY * count:
        return None
    low, high = input_range
    found = f"{right} of {count} labelled examples are right with values in [{low:g}, {high:g}]"
    if input_range in _RANGES:
        unit = (samples - low) / (high - low)
        others = [other for other in _RANGES if other != input_range]
        scores = [
            (int(np.sum(predict(least + unit * (most - least)) == labels)), (least, most))
            for least, most in others
        ]
        best, (least, most) = max(scores)
        if best >= right + max(3, count // 5):
            advice = (
                f"give --input_range {least:g} {most:g}"
                if scales
                else f"save the samples in that range, as --input_range {least:g} {most:g} says it"
            )
            return f"{found}, {best} with values in [{least:g}, {most:g}]: {advice}"
    if is_near_chance(right, count, classes):
        return (
            f"{found}, which {classes} classes give by chance: the model may want another range "
            "(--input_range LOW HIGH, and samples in it), other data or other classes"
        )
    return None


def classes_suspicion(classes: int, data_classes: int, data: str) -> str | None:
    """A sentence where the data has classes that the model cannot give."""
    if data_classes <= classes:
        return None
    return (
        f"the model has {classes} classes and {data} has {data_classes}: labels from {classes} up "
        "are never right"
    )
