"""Private models that their owners bring: found, read as `capc run` reads them, never trained.

A folder has one model for each party, of any kind, named 0 to parties - 1. What the parties would
answer comes from the imported networks, those that the protocol computes with.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import Float32, dataset_info
from capc.data.fitting import Range, fitted
from capc.data.own_data import title
from capc.data.saved_queries import check_range
from capc.data.suspicions import is_near_chance
from capc.errors import ConfigError
from capc.graph.float_reference import evaluate_float
from capc.graph.frameworks import is_onnx
from capc.graph.model_names import models_of_parties
from capc.graph.prepared import cache_key, load_network, prepare
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.learning.experiment import Experiment
from capc.learning.session import Session, dataset_digest, dataset_of
from capc.learning.store import Store, content_key, read_json
from capc.learning.train_stage import STAGE, in_parts, save_logits, train
from capc.learning.workers import Task


def private_models(session: Session) -> dict[int, list[str]]:
    """The keys of the parties' models by seed: brought ones are read, others are trained."""
    if session.experiment.private_models is None:
        return train(session)
    return read_given(session)


def given_files(experiment: Experiment) -> list[Path] | None:
    """The model that each party brings, in order; None where models are trained.

    Raises ConfigError where one is missing, or where there are more models than parties.
    """
    if experiment.private_models is None:
        return None
    folder, parties = Path(experiment.private_models), experiment.parties
    files = models_of_parties(folder, parties, "parties")
    missing = [party for party, file in enumerate(files) if file is None]
    if missing:
        raise ConfigError(
            f"private_models: {folder} has no model {missing[0]}, and no model is trained beside "
            f"others' own: add {missing[0]}.pb, .keras, .h5, .onnx or a SavedModel of that name, "
            f"or set parties to the number of models (it is {parties})"
        )
    return [file for file in files if file is not None]


def linked_files(file: Path, name: str) -> list[tuple[str, Path]]:
    """What to link so that a folder has the model under another name: names there, and files.

    Weights that an ONNX model keeps in files of their own stay under the names that it has for
    them.
    """
    model = (name if file.is_dir() else f"{name}{file.suffix}", file.resolve())
    if not is_onnx(file):
        return [model]
    from capc.graph.onnx.sources import files_of  # noqa: PLC0415  needs onnx

    _, *weights = files_of(file)
    return [model, *((beside, part.resolve()) for beside, part in weights)]


@dataclass(frozen=True)
class ReadingJob:
    """One private model: its file, and the data on whose test set it answers."""

    dataset: str
    file: Path
    input_range: Range

    @property
    def key(self) -> str:
        """The key of the result in the store, by the content of the file and of the data."""
        multi_label = dataset_info(self.dataset).multi_label
        return content_key(
            STAGE,
            dataset=dataset_digest(self.dataset),
            given=cache_key(self.file, DEFAULT_INPUT, DEFAULT_OUTPUT, multi_label=multi_label),
            input_range=self.input_range,
        )


def read_given(session: Session) -> dict[int, list[str]]:
    """Read what the store lacks; the models' keys by seed, in the parties' order.

    Every seed has the same models. Warns of a model whose labels are right by chance only.
    """
    experiment = session.experiment
    files = given_files(experiment) or []
    jobs = [ReadingJob(experiment.dataset, file, experiment.query_range) for file in files]
    keys = [job.key for job in jobs]
    wanted = dict(zip(keys, jobs, strict=True))  # parties may share a model
    tasks = [
        Task(f"model {job.file.name}", read_one, (str(session.root), key, job))
        for key, job in wanted.items()
        if not session.store.has(STAGE, key)
    ]
    session.run("private models", tasks)
    for key, job in wanted.items():
        _warn_of_chance(session, key, job)
    return dict.fromkeys(experiment.seeds, keys)


def read_one(root: str, key: str, job: ReadingJob) -> None:
    """A worker's task."""
    info, called = dataset_info(job.dataset), title(job.dataset)
    prepared = prepare(job.file, input_range=job.input_range, multi_label=info.multi_label)
    network = load_network(prepared)
    (outputs,) = network.output.shape
    if outputs != info.num_classes:
        raise ConfigError(
            f"{job.file} has {outputs} classes and {called} has {info.num_classes}: all private "
            "models vote on the classes of the data set"
        )

    def logits_of(images: Float32) -> NDArray[np.float32]:
        check_range(called, images, job.input_range)
        samples = fitted(images, tuple(network.input.shape), called)
        return evaluate_float(network, samples).astype(np.float32)

    logits = in_parts(logits_of, dataset_of(job.dataset).test_images, job.input_range)
    with Store(Path(root)).writing(STAGE, key) as folder:
        save_logits(
            folder,
            job.dataset,
            logits,
            model_type=job.file.name,
            training=None,
            train_examples=None,
        )


def _warn_of_chance(session: Session, key: str, job: ReadingJob) -> None:
    if session.experiment.multi_label:
        return
    accuracy = read_json(session.store.folder(STAGE, key) / "model.json")["test_accuracy"]
    examples, classes = len(session.dataset.test_labels), dataset_info(job.dataset).num_classes
    low, high = job.input_range
    if is_near_chance(round(accuracy * examples), examples, classes):
        warnings.warn(
            f"{job.file.name} is right on {accuracy:.1%} of {title(job.dataset)}'s test examples "
            f"with values in [{low:g}, {high:g}], which chance gives: it may want another range "
            "(--input_range LOW HIGH) or other data",
            stacklevel=2,
        )
