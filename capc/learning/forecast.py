"""How long the training of an experiment will take on this machine, measured before it starts."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from capc.data.datasets import normalised
from capc.learning.experiment import Experiment
from capc.learning.jobs import trainer_arguments
from capc.learning.session import Session, dataset_of
from capc.learning.train_stage import TrainingJob, training_jobs
from capc.learning.vectorised.choice import VECTORISED
from capc.learning.vectorised.groups import MOST
from capc.learning.workers import Task, run_tasks

_SECONDS = 3.0  # of training to measure


def training_seconds(session: Session) -> float:
    """Seconds that the experiment's training and its sweep take, if every query is answered.

    Of each architecture it trains one model (vectorised: one group) for a few seconds.
    """
    experiment = session.experiment
    jobs = training_jobs(session, experiment.seeds[0])
    images = Counter(images_to_train(experiment))
    for point in experiment.swept():
        if point.parties != experiment.parties:  # else its models are there
            images.update(images_to_train(point, retraining=False))
    seconds = 0.0
    for model, count in images.items():
        of_model = [job for job in jobs if job.model_type == model]
        seconds += count / _images_per_second(session, of_model[:MOST])
    return seconds


def images_to_train(experiment: Experiment, *, retraining: bool = True) -> dict[str, int]:
    """Examples times epochs of all models, by architecture; as if every query were answered.

    Each querying party retrains alone, with its answers by each strategy, and with the vote's.
    `retraining` False: private models alone.
    """
    of_party = experiment.share
    again = experiment.retraining or experiment.training
    answers = min(
        experiment.pool // experiment.querying_parties, experiment.queries or experiment.pool
    )
    arms = 1 + len(experiment.strategies) + 1
    with_answers = of_party * arms + answers * (arms - 1)
    images: dict[str, int] = {}
    for party in range(experiment.parties):
        work = of_party * experiment.training.epochs
        if retraining and party in experiment.querying:
            work += with_answers * again.epochs * experiment.retraining_seeds
        model = experiment.model_of(party)
        images[model] = images.get(model, 0) + work * len(experiment.seeds)
    if retraining and experiment.pooled is not None:
        everything = of_party * experiment.parties * experiment.pooled.epochs
        images[experiment.model_of(0)] += everything * len(experiment.seeds)
    return images


def _images_per_second(session: Session, jobs: list[TrainingJob]) -> float:
    """Measured in a process of its own; for processes, times the number of workers."""
    with tempfile.TemporaryDirectory(prefix="capc-forecast-") as scratch:
        path = Path(scratch) / "rate.json"
        vectorised = session.trainer == VECTORISED
        function = measure_group if vectorised else measure_one
        task = Task("a measurement", function, (str(path), jobs), on_device=True)
        run_tasks([task], workers=1, ray_address=session.ray_address)
        rate = float(json.loads(path.read_text())["images_per_second"])
    return rate if vectorised else rate * max(1, session.workers)


def measure_one(path: str, jobs: list[TrainingJob]) -> None:
    """A worker's task: the rate of one process."""
    from capc.learning.training import Trainer  # noqa: PLC0415  TensorFlow

    job = _of_one_epoch(jobs[0])
    dataset, trainer = dataset_of(job.dataset), Trainer(*trainer_arguments(job))
    images = normalised(dataset.train_images[job.shard])
    labels = dataset.train_labels[job.shard]
    _measure(path, lambda: trainer.fit(images, labels, job.seed), len(job.shard))


def measure_group(path: str, jobs: list[TrainingJob]) -> None:
    """A worker's task: the rate of one device with as many models as it holds together."""
    from capc.learning.vectorised.trainer import VectorisedTrainer  # noqa: PLC0415  JAX

    first = _of_one_epoch(jobs[0])
    dataset, trainer = dataset_of(first.dataset), VectorisedTrainer(*trainer_arguments(first))
    jobs = jobs[: trainer.most_parties()]
    smallest = min(len(job.shard) for job in jobs)
    shards = [job.shard[:smallest] for job in jobs]
    seeds = [job.seed for job in jobs]
    labels = dataset.train_labels.astype(np.int64)
    _measure(
        path,
        lambda: trainer.fit(dataset.train_images, labels, shards, seeds),
        smallest * len(shards),
    )


def _of_one_epoch(job: TrainingJob) -> TrainingJob:
    return replace(job, training=replace(job.training, epochs=1))


def _measure(path: str, epoch: Callable[[], object], images: int) -> None:
    """Write the rate of epochs; the first one, which compiles, does not count."""
    epoch()
    started, epochs = time.perf_counter(), 0
    while time.perf_counter() - started < _SECONDS:
        epoch()
        epochs += 1
    rate = epochs * images / (time.perf_counter() - started)
    Path(path).write_text(json.dumps({"images_per_second": rate}), encoding="utf-8")
