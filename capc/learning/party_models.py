"""One private model per party, each trained on a shard of its own, and frozen for serving.

Shards are uniform, disjoint and of equal size (paper, section 4.1). The seed sets the shards,
the first weights and the order of the examples: never a secret.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import Dataset, dataset_info, load_dataset, normalised, require_task
from capc.errors import ConfigError, ModelError
from capc.files import read_bounded, write_whole
from capc.graph.model_names import find_model, model_name, models_in
from capc.graph.prepared import prepare

log = logging.getLogger(__name__)

SMALLEST_SHARD = 100  # examples; fewer teach nothing, and a thousand parties are a mistake
_EXAMPLES_SEEN = 160_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 8, 30
_LEARNING_RATE = 0.003

Progress = Callable[[int, int, int], None]  # party (or 0), epochs done, epochs in all


@dataclass(frozen=True)
class TrainedModel:
    """One row of accuracy.csv; `test_accuracy` in [0, 1], `seconds` of training."""

    party: str
    file: str
    dataset_name: str
    model_type: str
    seed: int
    train_examples: int
    epochs: int
    test_accuracy: float
    seconds: float
    sha256: str


@dataclass(frozen=True)
class TrainingPlan:
    """What to train: the models of n_parties, or one `shared` model on the whole training set.

    `epochs` None chooses by the size of a shard.
    """

    n_parties: int
    dataset_name: str = "mnist"
    model_type: str = "cryptonets-relu"
    checkpoint_dir: Path = Path("models")
    seed: int = 2
    epochs: int | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        most = require_task(self.dataset_name, multi_label=False).train_size // SMALLEST_SHARD
        if not self.shared and not 1 <= self.n_parties <= most:
            raise ConfigError(
                f"--n_parties is {self.n_parties}; allowed are 1 to {most}, so that each party "
                f"has {SMALLEST_SHARD} training examples of {self.dataset_name}"
            )
        if self.epochs is not None and not 1 <= self.epochs <= 1000:
            raise ConfigError(f"--epochs is {self.epochs}; allowed are 1 to 1000")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"--seed is {self.seed}; allowed are 0 to {2**31 - 1}")

    @property
    def parties(self) -> list[str]:
        """The names of the models: 0 to n_parties - 1, or the model's type where shared."""
        return [self.model_type] if self.shared else [str(i) for i in range(self.n_parties)]

    @property
    def folder(self) -> Path:
        """Where the models and the table of accuracies go."""
        return self.checkpoint_dir if self.shared else self.checkpoint_dir / str(self.n_parties)

    @property
    def table(self) -> Path:
        """The CSV of test accuracies."""
        return self.folder / "accuracy.csv"

    def model_file(self, party: str) -> Path:
        """The frozen graph of one of `parties`; it need not be there yet."""
        return self.folder / f"{party}.pb"


def train_party_models(
    plan: TrainingPlan, *, force: bool = False, progress: Progress | None = None
) -> list[TrainedModel]:
    """Train what the plan lacks; returns the rows of accuracy.csv, in the parties' order.

    A model whose file is intact is kept, unless `force`: one of our own when its digest and its
    plan are those of the CSV, another one always. Raises ConfigError where the data or a folder is
    missing or a name is unknown, and where a model would be trained beside others that were not.
    """
    from capc.learning.private_models import MODEL_TYPES  # noqa: PLC0415

    if plan.model_type not in MODEL_TYPES:
        raise ConfigError(
            f"unknown --model_type '{plan.model_type}'; known are {', '.join(sorted(MODEL_TYPES))}"
        )
    rows = _read_table(plan.table)
    todo = [
        (place, party)
        for place, party in enumerate(plan.parties)
        if force or not _intact(plan, party, rows.get(party))
    ]
    if todo:
        refuse_others(plan.folder, [party for _, party in todo], among_all=not plan.shared)
        dataset = load_dataset(plan.dataset_name)
        shards = split_shards(len(dataset.train_labels), len(plan.parties), plan.seed)
        trainer = _Trainer(plan, dataset)
        for place, party in todo:
            rows[party] = trainer.train(place, party, shards[place], progress)
            _write_table(plan.table, rows, plan.parties)
    return [rows[party] for party in plan.parties if party in rows]


def split_shards(examples: int, parties: int, seed: int) -> list[NDArray[np.int64]]:
    """Disjoint uniform index sets of equal size, drawn without replacement."""
    order = np.random.default_rng(seed).permutation(examples)
    size = examples // parties
    return [order[place * size : (place + 1) * size] for place in range(parties)]


def epochs_for(examples: int) -> int:
    """More passes over fewer examples, within the same work."""
    return min(max(math.ceil(_EXAMPLES_SEEN / examples), _FEWEST_EPOCHS), _MOST_EPOCHS)


class _Trainer:
    """One compiled training step, used for every party with fresh weights."""

    def __init__(self, plan: TrainingPlan, dataset: Dataset) -> None:
        from capc.graph.tensorflow.loader import load_keras, load_tensorflow  # noqa: PLC0415

        self._plan = plan
        self._dataset = dataset
        self._tf: Any = load_tensorflow()
        self._keras: Any = load_keras()
        self._tf.config.experimental.enable_op_determinism()
        self._keras.utils.set_random_seed(plan.seed)
        self._model = self._build()
        self._optimizer = self._keras.optimizers.Adam(_LEARNING_RATE)
        self._optimizer.build(self._model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self._optimizer.variables]
        self._step = self._tf.function(self._train_step, reduce_retracing=True)

    def _build(self) -> Any:
        """A Keras model with fresh weights."""
        from capc.learning.private_models import build_model  # noqa: PLC0415

        info = dataset_info(self._plan.dataset_name)
        return build_model(self._plan.model_type, info.image_shape, info.num_classes)

    def train(
        self, place: int, party: str, shard: NDArray[np.int64], progress: Progress | None
    ) -> TrainedModel:
        """Train, freeze and score the model of one party."""
        started = time.monotonic()
        epochs = self._plan.epochs or epochs_for(len(shard))
        self._restart(place)
        self._fit(place, shard, epochs, progress)
        file = self._plan.model_file(party)
        self._freeze(file)
        return TrainedModel(
            party=party,
            file=file.name,
            dataset_name=self._plan.dataset_name,
            model_type=self._plan.model_type,
            seed=self._plan.seed,
            train_examples=len(shard),
            epochs=epochs,
            test_accuracy=round(self._accuracy(), 4),
            seconds=round(time.monotonic() - started, 2),
            sha256=_digest(file),
        )

    def _restart(self, place: int) -> None:
        """First weights drawn anew from (seed, place), and an optimizer without memory."""
        self._keras.utils.set_random_seed((self._plan.seed * 1_000_003 + place) % 2**31)
        self._model.set_weights(self._build().get_weights())
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def _fit(
        self, place: int, shard: NDArray[np.int64], epochs: int, progress: Progress | None
    ) -> None:
        images = normalised(self._dataset.train_images[shard])
        labels = self._dataset.train_labels[shard]
        batch = 64 if len(shard) >= 2000 else 32
        batches = len(shard) // batch
        order = np.random.default_rng([self._plan.seed, place])
        for epoch in range(epochs):
            mixed = order.permutation(len(shard))
            for number in range(batches):
                done = (epoch * batches + number) / (epochs * batches)
                self._optimizer.learning_rate.assign(
                    _LEARNING_RATE * (1 + math.cos(math.pi * done)) / 2
                )
                chosen = mixed[number * batch : (number + 1) * batch]
                self._step(self._tf.constant(images[chosen]), self._tf.constant(labels[chosen]))
            if progress is not None:
                progress(place, epoch + 1, epochs)

    def _train_step(self, images: Any, labels: Any) -> None:
        variables = self._model.trainable_variables
        with self._tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            losses = self._tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = self._tf.reduce_mean(losses)
        gradients = tape.gradient(loss, variables)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _accuracy(self) -> float:
        images = normalised(self._dataset.test_images)
        predicted = [
            self._model(images[start : start + 2000], training=False).numpy().argmax(axis=1)
            for start in range(0, len(images), 2000)
        ]
        return float(np.mean(np.concatenate(predicted) == self._dataset.test_labels))

    def _freeze(self, file: Path) -> None:
        """Fold the linear layers between the activations and write the graph."""
        from capc.graph.tensorflow.export import save_keras  # noqa: PLC0415

        save_keras(self._model, self._plan.model_type, file)


def _intact(plan: TrainingPlan, party: str, row: TrainedModel | None) -> bool:
    found = find_model(plan.folder, party)
    if found is None:
        return False
    file = plan.model_file(party)
    if found != file:
        return True
    if row is not None and row.sha256 == _digest(file):
        wanted = (plan.dataset_name, plan.model_type, plan.seed)
        same_epochs = plan.epochs in {None, row.epochs}
        return (row.dataset_name, row.model_type, row.seed) == wanted and same_epochs
    try:
        prepare(file)
    except ModelError as error:
        log.warning("%s is trained anew: %s", file, error)
        return False
    return True


def refuse_others(folder: Path, missing: Sequence[str], *, among_all: bool = True) -> None:
    """Raise ConfigError, naming a missing model, where a folder holds models not trained here.

    Ours are those that accuracy.csv has by their digest, and those of its files that are damaged.
    Without `among_all`, only models of the missing names count.
    """
    rows = {row.file: row for row in _read_table(folder / "accuracy.csv").values()}
    models = [path for path in models_in(folder) if among_all or model_name(path) in missing]
    others = [path for path in models if not _ours(path, rows.get(path.name))]
    if others:
        raise ConfigError(
            f"{folder} holds {others[0].name}, which was not trained here, and the model "
            f"{missing[0]} is missing or would be replaced: add {missing[0]}.pb, .keras, .h5, "
            ".onnx or a SavedModel of that name, or name another --checkpoint_dir to have all "
            "models trained"
        )


def _ours(file: Path, row: TrainedModel | None) -> bool:
    if row is None or not file.is_file():
        return False
    if row.sha256 == _digest(file):
        return True
    try:
        prepare(file)
    except ModelError:  # ours, and damaged: it is trained anew
        return True
    return False


def _digest(file: Path) -> str:
    return hashlib.sha256(read_bounded(file)).hexdigest()


def _read_table(path: Path) -> dict[str, TrainedModel]:
    """The rows of accuracy.csv by party; none where it is absent or of another form."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_row(entry) for entry in csv.DictReader(file)]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is not read: %s", path, error)
        return {}
    return {row.party: row for row in rows}


def _row(entry: dict[str, str]) -> TrainedModel:
    kinds = {"int": int, "float": float, "str": str}
    return TrainedModel(
        **{field.name: kinds[str(field.type)](entry[field.name]) for field in fields(TrainedModel)}
    )


def _write_table(path: Path, rows: dict[str, TrainedModel], parties: list[str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(TrainedModel)])
    writer.writeheader()
    writer.writerows(asdict(rows[party]) for party in parties if party in rows)
    write_whole(path, text.getvalue())
