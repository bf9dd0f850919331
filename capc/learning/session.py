"""What the stages of one experiment share: its store, its workers, its data and its splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import Dataset, dataset_info, load_dataset, load_test_set
from capc.learning.experiment import Experiment
from capc.learning.splits import Indices, TestSetParts, cut_test_set, shards
from capc.learning.store import Store
from capc.learning.vectorised.choice import PROCESS
from capc.learning.workers import Progress, Task, run_tasks

Bar = Callable[[str], AbstractContextManager[Progress]]
"""What a stage is called, to a progress bar for it."""


def no_bar(_: str) -> AbstractContextManager[Progress]:
    """A progress bar that shows nothing."""
    return nullcontext(lambda done, total: None)


@lru_cache(maxsize=2)
def dataset_of(name: str) -> Dataset:
    """The data set, loaded once per process; it may have no training examples."""
    return load_dataset(name) if dataset_info(name).train_size else load_test_set(name)


@lru_cache(maxsize=8)
def dataset_digest(name: str) -> str:
    """SHA-256 of the images and labels, part of every key."""
    dataset = dataset_of(name)
    digest = hashlib.sha256()
    for values in (
        dataset.train_images,
        dataset.train_labels,
        dataset.test_images,
        dataset.test_labels,
    ):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def index_digest(indices: NDArray[np.int64]) -> str:
    """SHA-256 of a list of examples."""
    return hashlib.sha256(np.ascontiguousarray(indices, dtype=np.int64).tobytes()).hexdigest()


@dataclass(frozen=True)
class Session:
    """One experiment at work."""

    experiment: Experiment
    store: Store
    workers: int = 1
    ray_address: str | None = None
    bar: Bar = no_bar
    trainer: str = PROCESS

    @property
    def dataset(self) -> Dataset:
        """The experiment's whole data set, loaded once in each process."""
        return dataset_of(self.experiment.dataset)

    def shards(self, seed: int) -> list[Indices]:
        """Each party's training examples."""
        return shards(self.experiment, self.dataset.train_labels, seed)

    def test_parts(self, seed: int) -> TestSetParts:
        """The querying parties' pools, and what measures accuracy."""
        return cut_test_set(self.experiment, len(self.dataset.test_labels), seed)

    def run(self, title: str, tasks: Sequence[Task]) -> None:
        """The tasks that are left, with a progress bar."""
        with self.bar(title) as progress:
            run_tasks(tasks, workers=self.workers, ray_address=self.ray_address, progress=progress)

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self.store.root
