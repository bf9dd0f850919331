"""Training: disjoint shards, models that fold as the paper's, and nothing trained twice."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.data.datasets import Dataset, load_dataset, normalised
from capc.errors import CapcError, ConfigError
from capc.graph.float_reference import evaluate_float
from capc.graph.prepared import load_network, prepare
from capc.graph.tensorflow.importer import import_network, network_of_keras
from capc.graph.tensorflow.loader import load_tensorflow
from capc.learning import party_models
from capc.learning.party_models import (
    TrainingPlan,
    epochs_for,
    split_shards,
    train_party_models,
)
from capc.learning.private_models import MODEL_TYPES, build_model

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models" / "cryptonets-relu.pb"


def made_digits(name: str) -> Dataset:
    """A task that a few steps learn: the class is the brightest of ten patches."""
    assert name == "mnist"
    random = np.random.default_rng(0)

    def part(count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        labels = random.integers(0, 10, count)
        images = random.integers(0, 60, (count, 28, 28, 1), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 5)
            image[14 * row : 14 * row + 14, 5 * column : 5 * column + 5] += 150
        return images, labels

    return Dataset(*part(800), *part(200))


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainingPlan:
    monkeypatch.setattr(party_models, "load_dataset", made_digits)
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path / "cache"))
    return TrainingPlan(2, checkpoint_dir=tmp_path / "models", model_type="dense", epochs=2)


@pytest.mark.parametrize(("examples", "parties"), [(100, 1), (100, 3), (60000, 250)])
def test_shards_are_disjoint_equal_and_follow_the_seed(examples: int, parties: int) -> None:
    shards = split_shards(examples, parties, 2)
    everything = np.concatenate(shards)
    assert {len(shard) for shard in shards} == {examples // parties}
    assert len(np.unique(everything)) == len(everything)
    assert everything.min() >= 0
    assert everything.max() < examples
    assert all(
        np.array_equal(a, b)
        for a, b in zip(shards, split_shards(examples, parties, 2), strict=True)
    )
    assert not np.array_equal(shards[0], split_shards(examples, parties, 3)[0])


def test_smaller_shards_get_more_epochs() -> None:
    assert [epochs_for(n) for n in (60000, 20000, 10000, 240)] == [8, 8, 16, 30]


def test_models_are_trained_once_and_again_when_something_changed(plan: TrainingPlan) -> None:
    seen: list[tuple[int, int, int]] = []
    rows = train_party_models(plan, progress=lambda *step: seen.append(step))
    assert seen == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]
    assert [row.train_examples for row in rows] == [400, 400]
    assert min(row.test_accuracy for row in rows) > 0.5
    assert sorted(path.name for path in plan.folder.iterdir()) == ["0.pb", "1.pb", "accuracy.csv"]

    files = [plan.model_file(party) for party in plan.parties]
    first = [file.read_bytes() for file in files]
    assert first[0] != first[1]
    assert train_party_models(plan, progress=lambda *step: seen.append(step)) == rows
    assert len(seen) == 4

    files[1].write_bytes(first[1][:-100])
    train_party_models(plan)
    assert [file.read_bytes() for file in files] == first

    train_party_models(replace(plan, seed=3))
    assert [file.read_bytes() for file in files] != first
    train_party_models(plan, force=True)
    assert [file.read_bytes() for file in files] == first


def test_models_are_their_owners_alone(plan: TrainingPlan) -> None:
    umask = os.umask(0)
    try:
        train_party_models(plan)
    finally:
        os.umask(umask)
    assert plan.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in plan.folder.iterdir()} == {0o600}


def test_accuracy_in_the_table_is_that_of_the_frozen_file(plan: TrainingPlan) -> None:
    row = train_party_models(plan)[0]
    dataset = made_digits("mnist")
    network = import_network(plan.model_file("0"), "input", "output/BiasAdd")
    labels = evaluate_float(network, normalised(dataset.test_images)).argmax(axis=1)
    assert float(np.mean(labels == dataset.test_labels)) == row.test_accuracy


@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_trained_beside_a_model_of_the_user(plan: TrainingPlan, force: bool) -> None:
    plan.folder.mkdir(parents=True)
    plan.model_file("0").write_bytes(SHIPPED.read_bytes())
    with pytest.raises(ConfigError, match=r"holds 0\.pb, which was not trained here"):
        train_party_models(plan, force=force)
    assert [path.name for path in plan.folder.iterdir()] == ["0.pb"]
    assert plan.model_file("0").read_bytes() == SHIPPED.read_bytes()
    plan.model_file("1").write_bytes(SHIPPED.read_bytes())
    assert train_party_models(plan) == []


def test_a_model_of_ours_that_the_user_replaced_is_the_users(plan: TrainingPlan) -> None:
    train_party_models(plan)
    plan.model_file("0").write_bytes(SHIPPED.read_bytes())
    plan.model_file("1").unlink()
    with pytest.raises(ConfigError, match="the model 1 is missing"):
        train_party_models(plan)


def test_the_shared_model_lies_beside_the_folders(plan: TrainingPlan) -> None:
    shared = TrainingPlan(5, checkpoint_dir=plan.checkpoint_dir, epochs=1, shared=True)
    rows = train_party_models(shared)
    assert [row.train_examples for row in rows] == [800]
    assert (plan.checkpoint_dir / "cryptonets-relu.pb").is_file()


def test_training_model_folds_to_the_published_architecture() -> None:
    tf: Any = load_tensorflow()
    tf.keras.utils.set_random_seed(3)
    model = build_model("cryptonets-relu", (28, 28, 1), 10)
    for weight in model.weights:
        if "bias" in weight.path:
            weight.assign(np.random.default_rng(1).normal(0, 0.2, weight.shape))
    network = network_of_keras(model, "model")
    kinds = [(type(layer).__name__, layer.shape) for layer in network.layers]
    assert kinds == [
        ("Input", (28, 28, 1)),
        ("Conv2D", (14, 14, 5)),
        ("Relu", (14, 14, 5)),
        ("Reshape", (980,)),
        ("Dense", (100,)),
        ("Relu", (100,)),
        ("Dense", (10,)),
    ]
    images = np.random.default_rng(2).uniform(0, 1, (5, 28, 28, 1)).astype(np.float32)
    expected = model.predict_on_batch(images)
    assert np.abs(evaluate_float(network, images) - expected).max() < 1e-5


@pytest.mark.parametrize("model_type", sorted(MODEL_TYPES))
def test_each_model_type_is_frozen_and_read_back(plan: TrainingPlan, model_type: str) -> None:
    one = TrainingPlan(1, model_type=model_type, checkpoint_dir=plan.checkpoint_dir, epochs=1)
    row = train_party_models(one)[0]
    network = import_network(one.model_file("0"))
    kinds = {type(layer).__name__ for layer in network.layers}
    marks = {"dense": "Dense", "cryptonets": "Square", "cryptonets-relu": "Relu", "mlp": "MaxPool"}
    marks |= {"conv1d": "Conv2D"}
    assert marks[model_type] in kinds
    assert row.model_type == model_type


def test_the_shipped_model_labels_98_5_percent() -> None:
    try:
        dataset = load_dataset("mnist")
    except ConfigError as error:
        pytest.skip(str(error))
    logits = evaluate_float(load_network(prepare(SHIPPED)), normalised(dataset.test_images))
    assert np.mean(logits.argmax(axis=1) == dataset.test_labels) >= 0.985
    assert SHIPPED.stat().st_size < 420_000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_parties": 0}, "--n_parties is 0; allowed are 1 to 600"),
        ({"n_parties": -3}, "--n_parties is -3"),
        ({"n_parties": 601}, "each party has 100 training examples"),
        ({"dataset_name": "letters"}, "--dataset_name is letters"),
        ({"model_type": "transformer"}, "unknown --model_type"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_bad_arguments_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"n_parties": 1, "checkpoint_dir": tmp_path} | fields
    with pytest.raises(CapcError, match=message):
        train_party_models(TrainingPlan(**given))


def test_the_script_fails_in_one_line(tmp_path: Path) -> None:
    script = str(ROOT / "scripts" / "train_models.py")
    done = subprocess.run(
        [sys.executable, script, "--n_parties", "0", "--checkpoint_dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("capc: error: --n_parties is 0")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
