"""Stage 1: every party trains its private model on its own shard.

A model's folder holds its weights and its logits on the test set; a querying party's also the
features that k-centre needs. Votes are counted from the logits, one party at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.arrays import load_array
from capc.data.datasets import Float32, dataset_info, normalised
from capc.data.fitting import Range, scaled
from capc.learning.experiment import Training
from capc.learning.jobs import trainer_arguments, training_tasks
from capc.learning.measures import judged
from capc.learning.session import Session, dataset_digest, dataset_of, index_digest
from capc.learning.splits import Indices, seed_for
from capc.learning.store import Store, content_key, write_json
from capc.learning.vectorised.choice import PROCESS
from capc.learning.vectorised.groups import checkpoint_of, parts_of
from capc.learning.weights import Weights, save_weights
from capc.privacy.voting_rules import numbered

STAGE = "models"


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """One private model: on which examples, and from which seed.

    `pool`: test examples whose features are kept, for a querying party; None for the others.
    """

    dataset: str
    model_type: str
    training: Training
    shard: Indices
    pool: Indices | None
    seed: int
    trainer: str = PROCESS

    @property
    def examples(self) -> int:
        """How many examples it is trained on."""
        return len(self.shard)

    @property
    def key(self) -> str:
        """The key of the result in the store: SHA-256 over all that decides it, in hex."""
        return content_key(
            STAGE,
            dataset=dataset_digest(self.dataset),
            model_type=self.model_type,
            training=asdict(self.training),
            shard=index_digest(self.shard),
            pool=None if self.pool is None else index_digest(self.pool),
            seed=self.seed,
            **other_trainer(self.trainer),
        )


def other_trainer(trainer: str) -> dict[str, str]:
    """What a trainer adds to the key of a result: its bits are not those of a process."""
    return {} if trainer == PROCESS else {"trainer": trainer}


def training_jobs(session: Session, seed: int) -> list[TrainingJob]:
    """The jobs of all parties, in order."""
    experiment = session.experiment
    pools = session.test_parts(seed).pools
    return [
        TrainingJob(
            dataset=experiment.dataset,
            model_type=experiment.model_of(party),
            training=experiment.training,
            shard=shard,
            pool=pools[party] if party in experiment.querying else None,
            seed=seed_for("train", seed, party),
            trainer=session.trainer,
        )
        for party, shard in enumerate(session.shards(seed))
    ]


def train(session: Session) -> dict[int, list[str]]:
    """Train what the store lacks; the models' keys by seed, in the parties' order."""
    keys: dict[int, list[str]] = {}
    left: dict[str, TrainingJob] = {}
    names = {}
    for seed in session.experiment.seeds:
        jobs = training_jobs(session, seed)
        keys[seed] = [job.key for job in jobs]
        for party, (job, key) in enumerate(zip(jobs, keys[seed], strict=True)):
            if not session.store.has(STAGE, key):
                left[key] = job
                names[key] = f"model of party {party} (seed {seed})"
    called = "private models"
    tasks = training_tasks(session, left, names, called, one=train_one, together=train_together)
    session.run(called, tasks)
    return keys


def train_one(root: str, key: str, job: TrainingJob) -> None:
    """A worker's task."""
    from capc.learning.training import trainer_for  # noqa: PLC0415  TensorFlow

    dataset, trainer = dataset_of(job.dataset), trainer_for(*trainer_arguments(job))
    own = normalised(dataset.train_images[job.shard])
    trainer.fit(own, dataset.train_labels[job.shard], job.seed)
    logits = in_parts(trainer.logits, dataset.test_images)
    _keep(root, key, job, (trainer.weights(), logits, trainer.features))


def train_together(root: str, jobs: dict[str, TrainingJob]) -> None:
    """A worker's task: the jobs of one group, by key."""
    from capc.learning.vectorised.trainer import vectorised_trainer_for  # noqa: PLC0415  JAX

    first = next(iter(jobs.values()))
    dataset = dataset_of(first.dataset)
    trainer = vectorised_trainer_for(*trainer_arguments(first))
    for part in parts_of(jobs, trainer.most_parties()):
        checkpoint = checkpoint_of(Path(root), part)
        weights = trainer.fit(
            *(dataset.train_images, dataset.train_labels),
            *([job.shard for job in part.values()], [job.seed for job in part.values()]),
            checkpoint,
        )
        logits = trainer.logits(weights, dataset.test_images)
        for (key, job), own, of_test in zip(part.items(), weights, logits, strict=True):
            _keep(root, key, job, (own, of_test, partial(trainer.features_of_one, own)))
        checkpoint.remove()


Trained = tuple[Weights, NDArray[np.float32], Callable[[Float32], NDArray[np.float32]]]
"""A model's variables, its logits on the test set, and what gives its features of samples."""


def _keep(root: str, key: str, job: TrainingJob, trained: Trained) -> None:
    """Put a trained model into the store."""
    weights, logits, features = trained
    dataset = dataset_of(job.dataset)
    with Store(Path(root)).writing(STAGE, key) as folder:
        save_weights(weights, folder / "weights.npz")
        if job.pool is not None:
            own = normalised(dataset.train_images[job.shard])
            np.save(folder / "own_features.npy", features(own))
            pool = normalised(dataset.test_images[job.pool])
            np.save(folder / "pool_features.npy", features(pool))
        save_logits(
            folder,
            job.dataset,
            logits,
            model_type=job.model_type,
            training=asdict(job.training),
            train_examples=len(job.shard),
            **other_trainer(job.trainer),
        )


def save_logits(folder: Path, dataset: str, logits: NDArray[np.float32], **described: Any) -> None:
    """A model's logits on the test set, and what is known of it with its accuracy there."""
    info = dataset_info(dataset)
    measured = judged(
        classes_of(logits, multi_label=info.multi_label),
        *(dataset_of(dataset).test_labels, info.num_classes),
        multi_label=info.multi_label,
    )
    np.save(folder / "logits.npy", logits)
    write_json(folder / "model.json", described | {"test_accuracy": measured.accuracy})


def in_parts(
    function: Callable[[Float32], NDArray[np.float32]],
    images: NDArray[np.uint8],
    input_range: Range = (0.0, 1.0),
) -> NDArray[np.float32]:
    """Apply a function of scaled images to bytes, without holding all of them as floats."""
    parts = [
        function(scaled(images[i : i + 2000], input_range)) for i in range(0, len(images), 2000)
    ]
    joined: NDArray[np.float32] = np.concatenate(parts)
    return joined


def classes_of(logits: NDArray[np.float32], *, multi_label: bool) -> NDArray[np.int64]:
    """The classes (n,) of logits (n, C), ties to the lowest; or the sets of those above 0."""
    if multi_label:
        return numbered(logits > 0)
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)


def predictions(session: Session, key: str) -> NDArray[np.int64]:
    """A model's classes on the test set (n,), or its sets of labels."""
    multi_label = session.experiment.multi_label
    return classes_of(load(session, key, "logits"), multi_label=multi_label)


def load(session: Session, key: str, name: str) -> NDArray[np.float32]:
    """An array of a model's folder."""
    values: NDArray[np.float32] = load_array(session.store.folder(STAGE, key) / f"{name}.npy")
    return values
