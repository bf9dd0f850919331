"""A small made data set in the form of MNIST: the class is where the bright bar lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.data.datasets import Dataset
from capc.fixed_point import Int64
from capc.learning import session
from capc.learning.experiment import Experiment, Privacy, Training

TRAIN, TEST = 900, 240


def images_of(labels: Int64, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Images (n, 28, 28, 1), noise with a bright bar in the place of each one's class."""
    images = generator.integers(0, 90, (len(labels), 28, 28, 1))
    for image, label in zip(images, labels, strict=True):
        row, column = 14 * (label // 5), 5 * (label % 5)
        image[row + 2 : row + 12, column + 1 : column + 4] += 90
    return images.astype(np.uint8)


def made_dataset() -> Dataset:
    """The data set, always the same."""
    generator = np.random.default_rng(11)
    train = generator.integers(0, 10, TRAIN)
    test = generator.integers(0, 10, TEST)
    return Dataset(images_of(train, generator), train, images_of(test, generator), test)


def use(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Give every stage of this process the made data under the name of MNIST."""
    dataset = made_dataset()
    monkeypatch.setattr(session, "load_dataset", lambda name: dataset)
    for cached in (session.dataset_of, session.dataset_digest):
        cached.cache_clear()
    return dataset


def experiment(**fields: Any) -> Experiment:
    """A small experiment on the made data; `fields` replace its own."""
    values: dict[str, Any] = {
        "name": "tiny",
        "dataset": "mnist",
        "parties": 6,
        "querying_parties": 2,
        "models": ("vgg-5:2",),
        "training": Training(
            optimizer="adam", learning_rate=0.02, epochs=4, batch_size=16, schedule="cosine"
        ),
        "pool": 120,
        "strategies": ("entropy", "random"),
        "privacy": Privacy(
            sigma=1.0,
            threshold=4,
            sigma_threshold=1.0,
            epsilon=60.0,
            conversion="improved",
            noise="seeded",
        ),
        "retraining_seeds": 2,
    }
    return Experiment(**values | fields)
