"""Stage 3: retraining from scratch on own data plus answered queries, and the baselines.

Arms: `own` (own data only), `capc` (plus answered queries), `vote` (plus the same queries, all
labelled by the vote without noise), `pate` (a student on noisy answers alone, as in Papernot et
al. 2018), `distilled` (the same student without noise), `pooled` (everybody's training data). Arms
of one seed start from the same weights. With the strategy `public`, answers are those of the PATE
student: one public set of queries, whose answers every querying party gets. Where the parties
bring their private models, the querying parties' own arms are all that is trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import Float32, dataset_info, normalised
from capc.data.saved_queries import answer_count, load_answers
from capc.learning.experiment import Training
from capc.learning.jobs import trainer_arguments, training_tasks
from capc.learning.measures import Score, judged
from capc.learning.query_stage import PATE, asked_by
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.session import Session, dataset_digest, dataset_of, index_digest
from capc.learning.splits import Indices, seed_for
from capc.learning.store import Store, content_key, digest_of, read_json, write_json
from capc.learning.train_stage import classes_of, in_parts, other_trainer
from capc.learning.vectorised.choice import PROCESS
from capc.learning.vectorised.groups import checkpoint_of, parts_of

STAGE = "retrained"


@dataclass(frozen=True, eq=False)
class RetrainingJob:
    """One model: own examples of the training set, and a folder of answered queries or none."""

    dataset: str
    model_type: str
    training: Training
    own: Indices
    answers: Path | None
    evaluation: Indices
    seed: int
    trainer: str = PROCESS

    @property
    def examples(self) -> int:
        """How many examples it is trained on."""
        return len(self.own) + (0 if self.answers is None else answer_count(self.answers))

    @property
    def key(self) -> str:
        """The key of the result in the store: SHA-256 over all that decides it, in hex."""
        files = [] if self.answers is None else sorted(self.answers.glob("*.npy"))
        return content_key(
            STAGE,
            dataset=dataset_digest(self.dataset),
            model_type=self.model_type,
            training=asdict(self.training),
            own=index_digest(self.own),
            answers=digest_of(files),
            evaluation=index_digest(self.evaluation),
            seed=self.seed,
            **other_trainer(self.trainer),
        )


@dataclass(frozen=True, eq=False)
class Trial:
    """One row of accuracy.csv: whose model, how trained; party -1 is nobody's."""

    seed: int
    retraining_seed: int
    party: int
    strategy: str
    arm: str
    job: RetrainingJob


def retraining_trials(session: Session, queries: dict[int, str]) -> list[Trial]:
    """Every arm of every seed."""
    trials = []
    for seed, key in queries.items():
        folder = session.store.folder(QUERIES, key)
        for again in range(session.experiment.retraining_seeds):
            trials += _trials_of(session, seed, again, folder)
    return trials


def retrain(session: Session, trials: list[Trial]) -> list[Score]:
    """Train what the store lacks; the scores on the evaluation set, in the trials' order."""
    by_key = {trial.job.key: trial for trial in trials}
    left = {key: trial for key, trial in by_key.items() if not session.store.has(STAGE, key)}
    jobs = {key: trial.job for key, trial in left.items()}
    names = {
        key: f"{trial.arm} of party {trial.party} (seed {trial.seed}, {trial.retraining_seed})"
        for key, trial in left.items()
    }
    tasks = training_tasks(
        *(session, jobs, names, "retrained models"), one=retrain_one, together=retrain_together
    )
    session.run("retraining", tasks)
    return [score_of(session, trial.job) for trial in trials]


def score_of(session: Session, job: RetrainingJob) -> Score:
    """A finished job's score."""
    document = read_json(session.store.folder(STAGE, job.key) / "score.json")
    return Score(tuple(document["correct"]), tuple(document["examples"]))


def _trials_of(session: Session, seed: int, again: int, folder: Path) -> list[Trial]:
    experiment = session.experiment
    shards, evaluation = session.shards(seed), session.test_parts(seed).evaluation
    training = experiment.retraining or experiment.training
    nobody = np.empty(0, dtype=np.int64)

    def trial(party: int, strategy: str, arm: str, own: Indices, answers: Path | None) -> Trial:
        job = RetrainingJob(
            dataset=experiment.dataset,
            model_type=experiment.model_of(max(party, 0)),
            training=(experiment.pooled if arm == "pooled" else None) or training,
            own=own,
            answers=answers,
            evaluation=evaluation,
            seed=seed_for("retrain", seed, again, party),
            trainer=session.trainer,
        )
        return Trial(seed, again, party, strategy, arm, job)

    trials = []
    for party in experiment.querying:
        own = shards[party]
        trials.append(trial(party, "", "own", own, None))
        for strategy in experiment.strategies:
            answered = _brought(folder, strategy, party) / "answered"
            trials.append(trial(party, strategy, "capc", own, _if_any(answered)))
        plain = _brought(folder, experiment.strategies[0], party) / "plain_vote"
        trials.append(trial(party, experiment.strategies[0], "vote", own, plain))
    if experiment.private_models is not None:
        return trials  # nobody but the querying parties trains
    for arm, kind in (("pate", "answered"), ("distilled", "plain_vote")):
        student = _if_any(_brought(folder, PATE, -1) / kind)
        if student is not None:
            trials.append(trial(-1, PATE, arm, nobody, student))
    if experiment.pooled is not None and again == 0:  # by far the largest training set
        everything = np.sort(np.concatenate(shards))
        trials.append(trial(-1, "", "pooled", everything, None))
    return trials


def _brought(folder: Path, strategy: str, party: int) -> Path:
    """Where the answers lie that a strategy brought a party."""
    asked = asked_by(strategy)
    return folder / asked / f"party{-1 if asked == PATE else party}"


def _if_any(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


def retrain_one(root: str, key: str, job: RetrainingJob) -> None:
    """A worker's task."""
    from capc.learning.training import trainer_for  # noqa: PLC0415  TensorFlow

    dataset, trainer = dataset_of(job.dataset), trainer_for(*trainer_arguments(job))
    trainer.fit(*_examples(job), job.seed)
    _keep(root, key, job, in_parts(trainer.logits, dataset.test_images[job.evaluation]))


def retrain_together(root: str, jobs: dict[str, RetrainingJob]) -> None:
    """A worker's task: the jobs of one group, by key."""
    from capc.learning.vectorised.trainer import vectorised_trainer_for  # noqa: PLC0415  JAX

    first = next(iter(jobs.values()))
    dataset = dataset_of(first.dataset)
    trainer = vectorised_trainer_for(*trainer_arguments(first))
    for part in parts_of(jobs, trainer.most_parties()):
        examples = [_examples(job) for job in part.values()]
        counts = [len(labels) for _, labels in examples]
        ends = np.cumsum(counts)
        checkpoint = checkpoint_of(Path(root), part)
        weights = trainer.fit(
            np.concatenate([images for images, _ in examples]),
            np.concatenate([labels for _, labels in examples]),
            [np.arange(end - count, end) for end, count in zip(ends, counts, strict=True)],
            [job.seed for job in part.values()],
            checkpoint,
        )
        for (key, job), own in zip(part.items(), weights, strict=True):
            logits = trainer.logits([own], dataset.test_images[job.evaluation])[0]
            _keep(root, key, job, logits)
        checkpoint.remove()


def _examples(job: RetrainingJob) -> tuple[Float32, NDArray[np.int64]]:
    """A job's own examples and its answered queries: samples (n, ...) and labels (n,)."""
    info, dataset = dataset_info(job.dataset), dataset_of(job.dataset)
    images = normalised(dataset.train_images[job.own])
    labels = dataset.train_labels[job.own]
    if job.answers is None:
        return images, labels
    asked, answers = load_answers(job.answers, info.image_shape, label_sets=info.multi_label)
    return np.concatenate([images, asked]), np.concatenate([labels, answers])


def _keep(root: str, key: str, job: RetrainingJob, logits: NDArray[np.float32]) -> None:
    """Put a retrained model's score into the store; `logits` are on the evaluation set."""
    info, dataset = dataset_info(job.dataset), dataset_of(job.dataset)
    measured = judged(
        classes_of(logits, multi_label=info.multi_label),
        *(dataset.test_labels[job.evaluation], info.num_classes),
        multi_label=info.multi_label,
    )
    with Store(Path(root)).writing(STAGE, key) as folder:
        write_json(folder / "score.json", asdict(measured))
