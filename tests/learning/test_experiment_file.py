"""Experiment files: the shipped ones load, and a wrong field is named with what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from capc.data.datasets import dataset_info
from capc.errors import ConfigError
from capc.learning.experiment import Experiment, SweepPoint, load_experiment

CONFIGS = Path(__file__).parents[2] / "config" / "learning"
SMALL = {"name": "x", "dataset": "mnist", "parties": 5}
POINT = {"parties": 4, "sigma": 1.0, "threshold": 3, "sigma_threshold": 1.0}


def load(tmp_path: Path, document: dict[str, Any], *overrides: str) -> Experiment:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(document))
    return load_experiment(path, overrides)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_experiments_load(path: Path) -> None:
    experiment = load_experiment(path)
    assert experiment.name == path.stem
    assert experiment.querying_parties == 3


@pytest.mark.parametrize(
    ("name", "parties", "privacy", "training"),
    [
        ("cifar10", 50, (7.0, 50, 30.0, 20.0, 1e-5), (0.01, 0.9, 1e-5, 128, 500)),
        ("svhn", 250, (40.0, 300, 200.0, 2.0, 1e-6), (0.1, 0.9, 1e-4, 128, 200)),
    ],
)
def test_the_papers_parameters(
    name: str, parties: int, privacy: tuple[float, ...], training: tuple[float, ...]
) -> None:
    found = load_experiment(CONFIGS / f"{name}.json")
    noise, how = found.privacy, found.training
    assert found.parties == parties
    assert (
        noise.sigma,
        noise.threshold,
        noise.sigma_threshold,
        noise.epsilon,
        noise.delta,
    ) == privacy
    assert how.optimizer == "sgd"
    assert (
        how.learning_rate,
        how.momentum,
        how.weight_decay,
        how.batch_size,
        how.epochs,
    ) == training
    assert found.retraining_seeds == 5
    evaluated = dataset_info(found.dataset).test_size - found.pool
    assert (found.share, evaluated) == {"cifar10": (1000, 1000), "svhn": (2417, 16032)}[name]


def test_it_goes_to_json_and_back(tmp_path: Path) -> None:
    document = SMALL | {"split": {"kind": "skewed", "weak_classes": [1, 2]}, "queries": 5}
    document |= {
        "retraining": {"epochs": 3},
        "sweep": [{"parties": 4, "sigma": 1.0, "threshold": None, "sigma_threshold": 0.0}],
    }
    experiment = load(tmp_path, document)
    assert experiment.split.weak_classes == (1, 2)
    assert experiment.retraining is not None and experiment.retraining.epochs == 3
    assert load(tmp_path, experiment.as_json()) == experiment


def test_overrides_reach_nested_fields(tmp_path: Path) -> None:
    found = load(tmp_path, SMALL, "privacy.sigma=3", "privacy.threshold=null", "name=y")
    assert (found.privacy.sigma, found.privacy.threshold, found.name) == (3.0, None, "y")


def test_models_are_given_in_turn() -> None:
    experiment = Experiment("x", "mnist", 5, models=("mlp", "cryptonets-relu"))
    assert [experiment.model_of(party) for party in range(3)] == ["mlp", "cryptonets-relu", "mlp"]


def test_a_sweep_point_changes_parties_and_noise() -> None:
    experiment = Experiment("x", "mnist", 5, examples_per_party=700)
    other = experiment.at(SweepPoint(100, 25.0, 135, 65.0))
    assert (other.parties, other.privacy.sigma, other.privacy.threshold) == (100, 25.0, 135)
    assert other.examples_per_party == 600
    assert experiment.at(SweepPoint(50, 1.0, None, 0.0)).examples_per_party == 700


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parties": 0}, "sweep[1].parties is 0; allowed is 2"),
        ({"parties": 2}, "sweep[1].querying_parties is 3; allowed is 1 to 2"),
        ({"sigma": -1}, "sweep[1].sigma is -1"),
    ],
)
def test_a_wrong_sweep_point_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    experiment = load(tmp_path, SMALL | {"sweep": [POINT, POINT | change]})
    with pytest.raises(ConfigError) as caught:
        experiment.swept()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "colour is no field; there are name, dataset"),
        ({"parties": "5"}, "parties is '5'; give a value of type int"),
        ({"parties": True}, "parties is True"),
        ({"parties": 1}, "parties is 1; allowed is 2 to 6000"),
        ({"dataset": "moon"}, "--dataset_name is moon; allowed are"),
        ({"models": []}, "models is"),
        ({"models": ["vgg-6"]}, "models names 'vgg-6'; known are"),
        ({"models": ["mlp:4"]}, "mlp has no width"),
        ({"models": ["vgg-5:0"]}, "width must be from 1 to 1024"),
        ({"strategies": ["best"]}, "allowed are random, entropy, gap, k-centre"),
        ({"split": {"kind": "skewed"}}, "split.weak_classes is empty"),
        ({"split": {"kind": "skewed", "weak_classes": [10]}}, "names 10, which is no class"),
        ({"split": {"ratio": 2}}, "split.ratio is 2; allowed is 0 to 1"),
        ({"split": {"size": 2}}, "split.size is no field"),
        ({"split": 3}, "split is 3; give a JSON object"),
        ({"privacy": {"bound": "loose"}}, "allowed are independent, dependent"),
        ({"privacy": {"threshold": 0.5}}, "privacy.threshold is 0.5; give a value of type int"),
        ({"training": {"optimizer": "lbfgs"}}, "allowed are sgd, adam"),
        ({"seeds": [1, 1]}, "seeds is"),
        ({"seeds": 3}, "seeds is 3; give a list"),
        ({"pool": 10000}, "pool is 10000; allowed is 3 to 9999"),
        ({"name": "a/b"}, "name is 'a/b'"),
        ({"name": ".."}, "name is '..'"),
        ({"name": "a\nb"}, "name is 'a"),
        ({"name": "x" * 101}, "at most 100"),
        ({"training": {"epochs": 0}}, "e.json: training.epochs is 0"),
        ({"retraining": {"epochs": 0}}, "e.json: retraining.epochs is 0"),
        ({"privacy": {"sigma": -1}}, "e.json: privacy.sigma is -1"),
        ({"sweep": [{"parties": 4}]}, "sweep[0].sigma is missing"),
        ({"examples_per_party": 12001}, "allowed is 1 to 12000"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SMALL | change)
    assert message in str(caught.value)
    assert "e.json" in str(caught.value)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="parties is missing"):
        load(tmp_path, {"name": "x", "dataset": "mnist"})


def test_files_that_are_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(tmp_path / "none.json")
    (tmp_path / "e.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_experiment(tmp_path / "e.json")
    (tmp_path / "e.json").write_text("[]")
    with pytest.raises(ConfigError, match="holds no JSON object"):
        load_experiment(tmp_path / "e.json")
    with pytest.raises(ConfigError, match="has no '='"):
        load(tmp_path, SMALL, "privacy.sigma")
    with pytest.raises(ConfigError, match="parties holds no fields"):
        load(tmp_path, SMALL, "parties.sigma=1")
