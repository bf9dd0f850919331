"""Samples with several labels: trained on, asked about by each rule, and retrained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("tensorflow")

from capc.data.saved_queries import load_answers
from capc.errors import ConfigError
from capc.harness import learn_command
from capc.learning.experiment import Privacy, load_experiment
from capc.learning.measures import score_sets
from capc.learning.voting import ask
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism
from capc.privacy.voting_rules import VotingRule, numbered

LABELS, INPUTS = 3, 5
CONFIG: dict[str, Any] = {
    "name": "sets",
    "dataset": "sets=sets.npz",
    "task": "multi-label",
    "parties": 4,
    "querying_parties": 1,
    "models": ["dense"],
    "training": {"optimizer": "adam", "learning_rate": 0.02, "epochs": 12},
    "pool": 24,
    "queries": 6,
    "privacy": {"sigma": 0.5, "threshold": None, "epsilon": None, "noise": "seeded"},
    "retraining_seeds": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Samples whose label j says whether value j is positive, and an experiment's file."""
    generator = np.random.default_rng(8)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 480), ("test", 60)):
        values = generator.uniform(-1, 1, (count, INPUTS)).astype(np.float32)
        arrays |= {f"x_{part}": values, f"y_{part}": (values[:, :LABELS] > 0).astype(np.int8)}
    np.savez(tmp_path / "sets.npz", **arrays)
    (tmp_path / "sets.json").write_text(json.dumps(CONFIG))
    return tmp_path


def learn(folder: Path, stage: str, *flags: str) -> int:
    places = [f"--results_dir={folder / 'out'}", f"--cache={folder / 'cache'}", "--workers=0"]
    return learn_command.main([stage, f"--config={folder / 'sets.json'}", *places, *flags])


def test_sets_of_labels_are_learnt_and_asked_about(folder: Path) -> None:
    assert learn(folder, "all") == 0
    out = folder / "out" / "sets"
    queries = pd.read_csv(out / "queries.csv")
    assert queries["answered"].tolist() == [6, 24]
    assert (queries["labels_right"] > 0.8).all()
    accuracy = pd.read_csv(out / "accuracy.csv").set_index("arm")
    assert set(accuracy.index) == {"own", "capc", "vote", "pate", "distilled", "ensemble"}
    assert (accuracy["accuracy"] > 0.75).all()
    answered = next((folder / "cache").rglob("party0/answered"))
    _, sets = load_answers(answered, (INPUTS,), label_sets=True)
    assert len(set(sets.tolist())) > 2
    account = Accountant.load(answered.parents[1] / "account.json")
    assert account.counts == {Mechanism("labels", 0.5, changes=LABELS): 6}


def test_the_protocol_gives_the_simulations_labels(folder: Path) -> None:
    tau = ['--set=privacy.voting="tau"', "--set=privacy.max_labels=1", "--set=privacy.sigma=0"]
    assert learn(folder, "query", "--secure", "--secure_queries=3", "--batch_size=3", *tau) == 0
    found = pd.read_csv(folder / "out" / "sets" / "private" / "secure.csv")
    assert found["labels_equal"].tolist() == [3]
    assert found["reference_agrees"].tolist() == [3]


def test_what_does_not_go_together_is_named(folder: Path) -> None:
    refused = {
        "privacy.threshold=2": "privacy.threshold is refused with binary voting",
        'privacy.drawn_by="distributed"': "privacy.drawn_by distributed is refused",
        'privacy.bound="dependent"': "privacy.bound dependent is refused",
        'privacy.voting="tau"': "tau needs it",
        'strategies=["gap"]': "allowed are random, k-centre",
        'task="single-label"': "has 3 labels a sample: give the task multi-label",
        "dataset=mnist": "one class a sample, and the task is multi-label",
    }
    for override, said in refused.items():
        with pytest.raises(ConfigError, match=said):
            load_experiment(folder / "sets.json", [override])


def test_each_rule_is_asked_and_charged() -> None:
    """Unanimous votes under little noise: every rule answers them, at its own price."""
    logits = np.array([[2.0, -1.0, 1.0], [-1.0, -1.0, -2.0]])
    quiet = {"threshold": None, "epsilon": None, "sigma": 1e-3}
    expected = {
        VotingRule("binary", 3): ([5, 0], Mechanism("labels", 1e-3, changes=3)),
        VotingRule("tau", 3, 1): ([1, 0], Mechanism("labels", 1e-3, changes=2)),
        VotingRule("powerset", 3): ([5, 0], Mechanism("gnmax", 1e-3)),
    }
    for rule, (labels, mechanism) in expected.items():
        votes = 4 * rule.votes(logits)
        done = ask(
            [votes],
            Privacy(**quiet),  # type: ignore[arg-type]
            lambda _, count: np.zeros(count, dtype=np.int64),
            voters=4,
            rule=rule,
        )
        assert done.answers[0].label.tolist() == labels
        assert done.account.counts == {mechanism: 2}


def test_a_label_that_is_absent_counts_as_much_as_one_that_is_there() -> None:
    truth = numbered(np.array([[1, 0], [0, 0], [0, 0], [0, 1]]))
    found = score_sets(np.zeros(4, dtype=np.int64), truth, 2)
    assert found.correct == (3, 0, 3, 0)
    assert found.examples == (3, 1, 3, 1)
    assert (found.accuracy, found.balanced) == (0.75, 0.5)
