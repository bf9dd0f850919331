"""Weights of models to train: the first ones, the rate at which they move, and their files."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.arrays import open_arrays
from capc.errors import ModelError
from capc.learning.experiment import Training

Weights = list[NDArray[np.float32]]
"""A model's variables, in Keras's order."""

_DROPS = (0.5, 0.75, 0.9)  # of the epochs (paper's code): the rate falls to a tenth at each
_PATIENCE, _SMALLEST_GAIN = 10, 1e-4  # of the schedule `plateau`


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


class LearningRate:
    """The learning rate of one model, epoch after epoch.

    With the schedule `plateau` it falls to a tenth when the loss has not become smaller by 1 in
    10,000 for more than ten epochs, as PyTorch's ReduceLROnPlateau does unless told otherwise.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._on_plateau = training.learning_rate
        self._best = math.inf
        self._waited = 0

    def at(self, epoch: int) -> float:
        """The rate of an epoch, counted from 0, when all before it were `heard`."""
        training = self._training
        done = epoch / training.epochs
        if training.schedule == "steps":
            return training.learning_rate * 0.1 ** sum(done >= drop for drop in _DROPS)
        if training.schedule == "cosine":
            return training.learning_rate * (1.0 + math.cos(math.pi * done)) / 2.0
        return self._on_plateau

    def heard(self, loss: float) -> None:
        """The mean loss of the epoch that is over."""
        if self._training.schedule != "plateau":
            return
        if loss < self._best * (1.0 - _SMALLEST_GAIN):
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited > _PATIENCE:
            self._on_plateau, self._waited = 0.1 * self._on_plateau, 0


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
