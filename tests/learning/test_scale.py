"""Smaller forms of experiments, and how long training will take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_data
import pytest

from capc.errors import ConfigError
from capc.files import REPOSITORY
from capc.harness.learn_flags import chosen_experiment, learn_parser
from capc.learning import forecast
from capc.learning import training as process_training
from capc.learning.experiment import Split, SweepPoint, Training, load_experiment
from capc.learning.forecast import images_to_train, training_seconds
from capc.learning.scale import scaled_down
from capc.learning.session import Session
from capc.learning.store import Store
from capc.learning.train_stage import training_jobs
from capc.learning.vectorised import trainer as vectorised_training
from capc.learning.workers import Task

PAPER = REPOSITORY / "config" / "learning" / "cifar10.json"


def test_a_tenth_shrinks_all_that_takes_time_and_keeps_what_a_party_has() -> None:
    whole = load_experiment(PAPER)
    small = scaled_down(whole, 0.2)
    assert (small.parties, small.pool, small.training.epochs) == (10, 1800, 100)
    assert small.retraining is not None
    assert (small.retraining.epochs, small.retraining_seeds) == (100, 1)
    assert small.examples_per_party == 50_000 // whole.parties
    privacy = small.privacy
    assert (privacy.threshold, privacy.epsilon) == (10, 100.0)
    assert (privacy.sigma, privacy.sigma_threshold) == pytest.approx((1.4, 6.0))
    assert small.sweep[0] == SweepPoint(10, privacy.sigma, 10, privacy.sigma_threshold)
    assert small.name == "cifar10-scale-0.2"
    assert scaled_down(whole, 1.0) is whole


def test_enough_parties_stay_to_vote() -> None:
    tiny = scaled_down(load_experiment(PAPER), 0.001)
    assert tiny.parties == tiny.querying_parties + 3
    assert tiny.training.epochs == 1
    assert len({point.parties for point in tiny.sweep}) == len(tiny.sweep)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_other_scales_are_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        scaled_down(load_experiment(PAPER), scale)


def test_flags_name_an_experiment_or_a_file() -> None:
    parsed = learn_parser().parse_args(["paper", "--experiment=svhn", "--scale=0.5"])
    assert chosen_experiment(parsed).parties == 125
    with pytest.raises(ConfigError, match="--config --experiment is required"):
        learn_parser().parse_args(["paper"])


def test_the_work_is_counted() -> None:
    tiny = made_data.experiment(pooled=None, strategies=("gap",), retraining_seeds=2)
    of_party = tiny.train_size // tiny.parties
    answers = tiny.pool // tiny.querying_parties
    epochs = tiny.training.epochs
    private = tiny.parties * of_party * epochs
    each = (3 * of_party + 2 * answers) * epochs  # own, by gap, and the vote's labels
    again = replace(tiny, seeds=(1,))
    found = images_to_train(again)
    assert sum(found.values()) == private + 2 * tiny.querying_parties * each
    assert sum(images_to_train(again, retraining=False).values()) == private


def test_seconds_are_work_by_the_measured_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = made_data.experiment(sweep=())
    session = Session(tiny, Store(tmp_path), workers=2)

    def measured(tasks: list[Task], **_: object) -> None:
        path, jobs = tasks[0].arguments
        assert jobs
        Path(path).write_text(json.dumps({"images_per_second": 100.0}))

    made_data.use(monkeypatch)
    monkeypatch.setattr(forecast, "run_tasks", measured)
    expected = sum(images_to_train(tiny).values()) / 200.0
    assert training_seconds(session) == pytest.approx(expected)


class TimedTrainer:
    """In the place of both trainers; compiles for ten seconds, then takes half a second a call."""

    fitted: list[list[int]]  # of each call: how many examples each model has
    now = 0.0

    def __init__(self, *arguments: Any) -> None:
        self.training: Training = arguments[3]

    def most_parties(self) -> int:
        return 2

    def fit(self, samples: Any, labels: Any, *shards_and_seeds: Any) -> None:
        assert self.training.epochs == 1
        together = len(shards_and_seeds) == 2
        sizes = [len(shard) for shard in shards_and_seeds[0]] if together else [len(samples)]
        TimedTrainer.now += 0.5 if TimedTrainer.fitted else 10.0
        TimedTrainer.fitted.append(sizes)


@pytest.mark.parametrize("measure", [forecast.measure_one, forecast.measure_group])
def test_a_rate_is_of_epochs_after_the_one_that_compiles(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_data.use(monkeypatch)
    monkeypatch.setattr(process_training, "Trainer", TimedTrainer)
    monkeypatch.setattr(vectorised_training, "VectorisedTrainer", TimedTrainer)
    monkeypatch.setattr(forecast, "time", SimpleNamespace(perf_counter=lambda: TimedTrainer.now))
    TimedTrainer.now, TimedTrainer.fitted = 0.0, []
    uneven = made_data.experiment(split=Split("dirichlet", alpha=5.0))
    jobs = training_jobs(Session(uneven, Store(tmp_path)), 1)
    held = [job.examples for job in jobs]
    assert held[0] != held[1]

    measure(str(tmp_path / "rate.json"), jobs)
    together = measure is forecast.measure_group
    each = [min(held[:2])] * 2 if together else [held[0]]  # a device holds two, with equal batches
    assert TimedTrainer.fitted == [each] * 7  # three seconds
    found = json.loads((tmp_path / "rate.json").read_text())
    assert found == {"images_per_second": sum(each) / 0.5}
