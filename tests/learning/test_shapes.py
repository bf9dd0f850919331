"""Samples of any shape and any number of classes, from training to labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("tensorflow")

from capc.fixed_point import Float64
from capc.harness import learn_command
from capc.harness.experiment import run
from capc.harness.settings import parse_settings
from capc.learning import train_command

LENGTH = 64


def beats(labels: Any, generator: np.random.Generator) -> Float64:
    """Heartbeats in time, (n, LENGTH): class 1 has a wide main wave, class 2 a late one."""
    time = np.arange(LENGTH)
    waves = np.stack(
        [np.exp(-0.5 * ((time - at) / width) ** 2) for at, width in ((28, 2), (28, 6), (44, 2))]
    )
    baseline = 0.1 * np.sin(time / 9 + generator.uniform(0, 6, (len(labels), 1)))
    noisy: Float64 = waves[labels] + baseline + generator.normal(0, 0.05, (len(labels), LENGTH))
    return noisy


def save(folder: Path, name: str, make: Any, classes: int, train: int, test: int) -> Path:
    generator = np.random.default_rng(2)
    arrays: dict[str, Any] = {}
    for part, count in (("train", train), ("test", test)):
        labels = generator.permutation(np.arange(count) % classes)
        arrays |= {f"x_{part}": make(labels, generator).astype(np.float32), f"y_{part}": labels}
    np.savez(folder / f"{name}.npz", **arrays)
    return folder / f"{name}.npz"


def learn(folder: Path, dataset: Path, **fields: Any) -> pd.Series:
    """The row of queries.csv of an experiment with one querying party."""
    config = {
        "name": "shapes",
        "dataset": f"shapes={dataset}",
        "parties": 3,
        "querying_parties": 1,
        "training": {"optimizer": "adam", "learning_rate": 0.01, "epochs": 8},
        "pool": 30,
        "queries": 10,
        "privacy": {"sigma": 0.3, "threshold": None, "epsilon": None, "noise": "seeded"},
    }
    (folder / "shapes.json").write_text(json.dumps(config | fields))
    places = [f"--results_dir={folder / 'out'}", f"--cache={folder / 'cache'}", "--workers=0"]
    assert learn_command.main(["query", f"--config={folder / 'shapes.json'}", *places]) == 0
    return pd.read_csv(folder / "out" / "shapes" / "queries.csv").iloc[0]


def test_signals_are_learnt_in_time(tmp_path: Path) -> None:
    dataset = save(tmp_path, "beats", beats, 3, 360, 60)
    found = learn(tmp_path, dataset, models=["conv1d"])
    assert found["labels_right"] >= 0.9


@pytest.mark.parametrize(("classes", "epochs"), [(2, 25), (1000, 12)])
def test_any_number_of_classes(tmp_path: Path, classes: int, epochs: int) -> None:
    """Each class has a code of its own in a table of 30 features."""
    codes = np.random.default_rng(6).normal(0, 1, (classes, 30))

    def table(labels: Any, generator: np.random.Generator) -> Float64:
        noisy: Float64 = codes[labels] + generator.normal(0, 0.1, (len(labels), 30))
        return noisy

    dataset = save(tmp_path, "table", table, classes, max(300, 6 * classes), 60)
    training = {"optimizer": "adam", "learning_rate": 0.01, "epochs": epochs}
    found = learn(tmp_path, dataset, models=["dense"], training=training)
    assert found["answered"] == 10
    assert found["labels_right"] >= 0.9


def test_signals_from_training_to_the_protocols_labels(tmp_path: Path) -> None:
    dataset = f"beats={save(tmp_path, 'beats', beats, 3, 300, 30)}"
    flags = [
        "--n_parties=2",
        f"--checkpoint_dir={tmp_path / 'models'}",
        f"--dataset_name={dataset}",
    ]
    assert train_command.main([*flags, "--model_type=conv1d", "--epochs=6"]) == 0
    assert (tmp_path / "models" / "2" / "0.pb").stat().st_mode & 0o777 == 0o600
    settings = parse_settings(
        [
            *(*flags, "--n_queries=3", "--batch_size=3", "--sigma=0", "--launcher=subprocess"),
            f"--results_dir={tmp_path / 'results'}",
        ]
    )
    assert run(settings) == 0
    queries = pd.read_csv(tmp_path / "results" / "latest" / "queries.csv")
    assert (queries["label"] == queries["true_label"]).sum() >= 2
