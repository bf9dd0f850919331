"""Weights of models to train: the first ones, the rate at which they move, and their files."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.arrays import open_arrays
from capc.errors import ModelError
from capc.learning.experiment import Training

Weights = list[NDArray[np.float32]]
"""A model's variables, in Keras's order."""

_DROPS = (0.5, 0.75, 0.9)  # of the epochs (paper's code): the rate falls to a tenth at each


def fresh_weights(
    built: Sequence[NDArray[np.float32]], generator: np.random.Generator
) -> list[NDArray[np.float32]]:
    """First weights: kernels Glorot uniform (Glorot and Bengio 2010), the rest as built."""
    drawn = []
    for value in built:
        if value.ndim < 2:
            drawn.append(value)
            continue
        window = math.prod(value.shape[:-2])
        limit = math.sqrt(6.0 / (window * (value.shape[-2] + value.shape[-1])))
        drawn.append(generator.uniform(-limit, limit, value.shape).astype(np.float32))
    return drawn


def rates(training: Training) -> Iterator[float]:
    """The learning rate of each epoch."""
    for epoch in range(training.epochs):
        done = epoch / training.epochs
        if training.schedule == "steps":
            yield training.learning_rate * 0.1 ** sum(done >= drop for drop in _DROPS)
        elif training.schedule == "cosine":
            yield training.learning_rate * (1.0 + math.cos(math.pi * done)) / 2.0
        else:
            yield training.learning_rate


def save_weights(weights: Weights, path: Path) -> None:
    """One array per variable, numbered."""
    np.savez(path, **{f"w{place:03d}": value for place, value in enumerate(weights)})  # type: ignore[arg-type]


def load_weights(path: Path) -> Weights:
    """What `save_weights` wrote. Raises ModelError for another file."""
    try:
        with open_arrays(path) as archive:
            return [archive[name] for name in sorted(archive)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} does not hold the weights of a model: {error}") from None
