"""Which models are trained together: those that take the same steps, or nearly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

from capc.learning.experiment import Training
from capc.learning.store import content_key
from capc.learning.vectorised.checkpoints import Checkpoint

MOST = 64  # models in one task, so that several devices have something to do
_UNEVEN = 1.25  # the longest training of a group, as a multiple of the shortest


class Job(Protocol):
    """A model to train."""

    @property
    def dataset(self) -> str:
        """Its data set."""

    @property
    def model_type(self) -> str:
        """Its architecture."""

    @property
    def training(self) -> Training:
        """Its optimizer's settings."""

    @property
    def examples(self) -> int:
        """How many examples it is trained on."""


J = TypeVar("J", bound=Job)


def grouped(jobs: Mapping[str, J]) -> list[dict[str, J]]:
    """The jobs, by key, in groups that one task trains side by side."""

    def kind(item: tuple[str, J]) -> tuple[str, str, str, int]:
        job = item[1]
        batch = min(job.training.batch_size, job.examples)
        return job.dataset, job.model_type, repr(job.training), batch

    ordered = sorted(jobs.items(), key=lambda item: (kind(item), item[1].examples, item[0]))
    groups: list[dict[str, J]] = []
    for _, of_kind in groupby(ordered, key=kind):
        group: dict[str, J] = {}
        shortest = 0
        for key, job in of_kind:
            if not group or len(group) == MOST or job.examples > _UNEVEN * shortest:
                group, shortest = {}, job.examples
                groups.append(group)
            group[key] = job
    return groups


def parts_of(jobs: Mapping[str, J], most: int) -> Iterator[dict[str, J]]:
    """A group in parts of at most so many, which fit into a device's memory together."""
    items = list(jobs.items())
    for start in range(0, len(items), most):
        yield dict(items[start : start + most])


def checkpoint_of(root: Path, keys: Iterable[str]) -> Checkpoint:
    """Where the training of these jobs together is kept while it goes on."""
    name = content_key("together", keys=list(keys))
    return Checkpoint(root / "checkpoints" / f"{name}.npz")
