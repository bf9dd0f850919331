"""What both training stages do with their jobs: ask for a trainer, and hand out the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from capc.data.datasets import dataset_info
from capc.learning.experiment import Training
from capc.learning.session import Session
from capc.learning.vectorised.choice import VECTORISED
from capc.learning.vectorised.groups import J, Job, grouped
from capc.learning.workers import Task

TrainerArguments = tuple[str, tuple[int, ...], int, Training, bool]


def trainer_arguments(job: Job) -> TrainerArguments:
    """Architecture, sample shape, classes, training, and whether labels are sets."""
    info = dataset_info(job.dataset)
    return job.model_type, info.image_shape, info.num_classes, job.training, info.multi_label


def training_tasks(
    session: Session,
    jobs: Mapping[str, J],
    names: Mapping[str, str],
    called: str,
    *,
    one: Callable[[str, str, J], None],
    together: Callable[[str, dict[str, J]], None],
) -> list[Task]:
    """A task for each job, by key, or for each group where the session's trainer is vectorised.

    `names` says what to call each job in messages, and `called` what to call the models of a group.
    """
    root = str(session.root)
    if session.trainer == VECTORISED:
        return [
            Task(f"{len(group)} {called}", together, (root, group), on_device=True)
            for group in grouped(jobs)
        ]
    return [Task(names[key], one, (root, key, job)) for key, job in jobs.items()]
