"""Answered queries from outside come into retraining, and are compared with own data alone.

A folder is one of the original's files (saved_queries.py), or what `capc run` left: its queries.csv
has the labels, its run.json says which queries they belong to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import Dataset, Float32, dataset_info
from capc.data.saved_queries import asked_queries, check_values, load_answers, save_queries
from capc.errors import ConfigError
from capc.files import read_json
from capc.learning.experiment import Experiment
from capc.learning.retrain_stage import RetrainingJob, Trial
from capc.learning.session import Session
from capc.learning.splits import Indices, seed_for
from capc.learning.store import content_key

STAGE = "imported"
STRATEGY = "imported"


@dataclass(frozen=True, eq=False)
class Answered:
    """Images float32 (n, H, W, C) and noisy labels int64 (n,) that one party brings."""

    source: Path
    images: Float32
    labels: NDArray[np.int64]


def parse_sources(given: Iterable[str], experiment: Experiment) -> dict[int, Path]:
    """`FOLDER`, for every querying party, or `PARTY=FOLDER`; by party.

    Raises ConfigError for a party that there is none of, or that is named twice.
    """
    sources: dict[int, Path] = {}
    for text in given:
        number, found, rest = text.partition("=")
        named = bool(found) and number.isdigit()
        parties = [int(number)] if named else list(experiment.querying)
        for party in parties:
            if party >= experiment.parties:
                raise ConfigError(
                    f"--answers {text}: there is no party {party}; they are 0 to "
                    f"{experiment.parties - 1}"
                )
            if party in sources:
                raise ConfigError(f"--answers {text}: party {party} has answers already")
            sources[party] = Path(rest if named else text)
    return sources


def load_answered(path: Path, dataset: str) -> Answered:
    """The answers in a folder, checked against the data set they are to join.

    Raises ConfigError that names the file and says what is wrong.
    """
    if not path.exists():
        raise ConfigError(f"--answers {path} does not exist")
    if (path / "queries.csv").is_file():
        images, labels = _answers_of_run(path, dataset)
    else:
        images, labels = load_answers(path, dataset_info(dataset).image_shape)
    check_values(f"--answers {path}", dataset, images, labels)
    return Answered(path, images, labels)


def _answers_of_run(folder: Path, dataset: str) -> tuple[Float32, NDArray[np.int64]]:
    """The answered queries of a run that ended well."""
    import pandas  # noqa: PLC0415

    try:
        record = read_json(folder / "run.json")
        table = pandas.read_csv(folder / "queries.csv")
        run = _Run.of(record)
        answered = table[table["answered"].astype(str).str.lower() == "true"]
        places = answered["query"].to_numpy(dtype=np.int64)
        labels = answered["label"].to_numpy(dtype=np.int64)
        stated = answered["true_label"].fillna(-1).to_numpy(dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--answers {folder} holds no run.json and queries.csv as `capc run` writes them: "
            f"{type(error).__name__}: {error}"
        ) from None
    if run.exit_status != 0:
        raise ConfigError(f"--answers {folder} is of a run that did not end well: run it again")
    if run.dataset != dataset:
        raise ConfigError(f"--answers {folder} is of {run.dataset}, not of {dataset}")
    if not len(labels):
        raise ConfigError(f"--answers {folder}: no query of that run was answered")
    images, truth = run.asked()
    if places.min() < 0 or places.max() >= len(images) or _differ(stated, truth, places):
        raise ConfigError(
            f"--answers {folder}: {run.path or dataset} no longer holds the queries of that run"
        )
    return images[places], labels


@dataclass(frozen=True)
class _Run:
    """What run.json says of a run's queries."""

    exit_status: int | None
    dataset: str
    path: str | None
    start: int
    count: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> _Run:
        flags = record["flags"]
        return cls(
            record["exit_status"],
            flags["dataset_name"],
            record["dataset_path"],
            int(flags["start_batch"]),
            int(flags["n_queries"]),
        )

    def asked(self) -> tuple[Float32, NDArray[np.int64] | None]:
        """The queries, and their true labels where they are known."""
        path = None if self.path is None else Path(self.path)
        return asked_queries(self.dataset, path, self.start, self.count)


def _differ(
    stated: NDArray[np.int64], truth: NDArray[np.int64] | None, places: NDArray[np.int64]
) -> bool:
    """Whether true labels that queries.csv states (-1: none) are not those of the queries."""
    if truth is None:
        return False
    known = stated >= 0
    return not np.array_equal(truth[places[known]], stated[known])


def imported_trials(
    session: Session, answers: Mapping[int, Answered]
) -> tuple[list[Trial], dict[int, int]]:
    """Arms `own` and `capc` of each party; per seed, the examples not measured because imported.

    Accuracy is measured on the part of the test set that no party may ask, less what was imported.
    """
    experiment, dataset = session.experiment, session.dataset
    kept = {party: _keep(session, found) for party, found in answers.items()}
    stored = dataset.test_images.dtype
    taken = {image.tobytes() for found in answers.values() for image in _as(stored, found.images)}
    trials, left_out = [], {}
    for seed in experiment.seeds:
        shards, whole = session.shards(seed), session.test_parts(seed).evaluation
        evaluation = _without(dataset, whole, taken)
        left_out[seed] = len(whole) - len(evaluation)
        if not len(evaluation):
            raise ConfigError("--answers hold every example that accuracy is measured on")
        for again in range(experiment.retraining_seeds):
            for party, folder in kept.items():
                for arm, source in (("own", None), ("capc", folder)):
                    job = RetrainingJob(
                        dataset=experiment.dataset,
                        model_type=experiment.model_of(party),
                        training=experiment.retraining or experiment.training,
                        own=shards[party],
                        answers=source,
                        evaluation=evaluation,
                        seed=seed_for("retrain", seed, again, party),
                        trainer=session.trainer,
                    )
                    strategy = STRATEGY if source else ""
                    trials.append(Trial(seed, again, party, strategy, arm, job))
    return trials, left_out


def _keep(session: Session, answered: Answered) -> Path:
    """A copy in the store, by content: workers need it, also those on other machines."""
    digest = hashlib.sha256(answered.images.tobytes() + answered.labels.tobytes()).hexdigest()
    key = content_key(STAGE, answers=digest, shape=list(answered.images.shape))
    if not session.store.has(STAGE, key):
        with session.store.writing(STAGE, key) as folder:
            save_queries(
                folder,
                answered.images,
                answered.labels,
                aggregated_labels=answered.labels,
                parameters={"imported": len(answered.labels)},
            )
    return session.store.folder(STAGE, key)


def _as(stored: np.dtype[Any], images: Float32) -> NDArray[Any]:
    """The images as the data set stores its own: k of pixels k / 255, where those are bytes."""
    if stored != np.uint8:
        return images
    return np.asarray(np.rint(images * 255.0), dtype=np.uint8)


def _without(dataset: Dataset, examples: Indices, taken: set[bytes]) -> Indices:
    kept = [dataset.test_images[example].tobytes() not in taken for example in examples]
    return examples[np.array(kept, dtype=np.bool_)]
