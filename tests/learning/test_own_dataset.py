"""An experiment on a data set of the user's own, and a folder that holds another experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from capc.errors import ConfigError
from capc.harness import learn_command
from capc.learning.experiment import load_experiment

CONFIG: dict[str, Any] = {
    "name": "own",
    "dataset": "mnist",
    "parties": 3,
    "querying_parties": 1,
    "models": ["dense"],
    "training": {"optimizer": "adam", "learning_rate": 0.02, "epochs": 3},
    "pool": 20,
    "queries": 10,
    "privacy": {"sigma": 0.5, "threshold": None, "epsilon": None, "noise": "seeded"},
    "retraining_seeds": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of three classes, each around its own corner, and an experiment's file."""
    generator = np.random.default_rng(4)
    arrays = {}
    for part, count in (("train", 300), ("test", 60)):
        labels = np.arange(count) % 3
        arrays[f"x_{part}"] = generator.normal(0, 0.3, (count, 6)) + np.eye(3, 6)[labels] * 3
        arrays[f"y_{part}"] = labels
    np.savez(tmp_path / "table.npz", **arrays)
    (tmp_path / "own.json").write_text(json.dumps(CONFIG))
    return tmp_path


def learn(folder: Path, stage: str, *flags: str) -> int:
    places = [f"--results_dir={folder / 'out'}", f"--cache={folder / 'cache'}", "--workers=0"]
    return learn_command.main([stage, f"--config={folder / 'own.json'}", *places, *flags])


def test_a_table_of_ones_own_is_learnt_and_asked_about(folder: Path) -> None:
    own = f"--dataset=table={folder / 'table.npz'}"
    assert learn(folder, "all", own) == 0
    rows = (folder / "out" / "own" / "queries.csv").read_text().splitlines()
    assert rows[1].split(",")[:5] == ["1", "random", "0", "10", "10"]
    assert float(rows[1].split(",")[5]) > 0.9
    assert list((folder / "cache").rglob("samples-(dataset=table)*.npy"))
    assert not list((folder / "cache").rglob("raw-samples*.npy"))


def test_the_file_may_be_named_in_the_config(folder: Path) -> None:
    document = CONFIG | {"dataset": "table=table.npz"}
    (folder / "own.json").write_text(json.dumps(document))
    found = load_experiment(folder / "own.json")
    assert found.dataset == f"table={folder / 'table.npz'}"
    with pytest.raises(ConfigError, match=r"there is no file absent\.npz"):
        load_experiment(folder / "own.json", ["dataset=table=absent.npz"])


def test_convolutions_need_images(folder: Path) -> None:
    own = [f"--dataset=table={folder / 'table.npz'}", '--set=models=["vgg-5:2"]']
    with pytest.raises(Exception, match="use the model dense"):
        learn(folder, "train", *own)


def test_a_folder_of_another_experiment_is_left_alone(folder: Path) -> None:
    own = f"--dataset=table={folder / 'table.npz'}"
    assert learn(folder, "query", own) == 0
    written = (folder / "out" / "own" / "queries.csv").read_bytes()
    with pytest.raises(ConfigError, match="an experiment with another queries") as error:
        learn(folder, "query", own, "--set=queries=5")
    assert "name another --results_dir" in str(error.value)
    assert (folder / "out" / "own" / "queries.csv").read_bytes() == written
    assert learn(folder, "query", own) == 0
    assert learn(folder, "query", own, "--set=queries=5", "--set=name=fewer") == 0
