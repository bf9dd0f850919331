"""A few models at random are read, or refused truly; `make random-models` tries more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import random_models
from random_models import Outcome, Sample, main, outcome, sample


@pytest.mark.parametrize("seed", range(7000, 7016))
def test_models_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    found = outcome(sample(seed, tmp_path))
    assert found.verdict in {"equal", "refused"}, found.reason


def equal_one(folder: Path) -> Sample:
    """The first model that is read."""
    for seed in range(20):
        place = folder / str(seed)
        place.mkdir()
        given = sample(seed, place)
        if outcome(given).verdict == "equal":
            return given
    raise AssertionError("of 20 models none is read")


def test_other_logits_and_labels_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = equal_one(tmp_path)
    largest = np.abs(given.logits).max()
    other = dataclasses.replace(given, logits=given.logits + 2e-4 * largest)
    assert outcome(other).verdict == "wrong"
    monkeypatch.setattr(random_models, "TOLERANCE", np.inf)
    found = outcome(dataclasses.replace(given, logits=-given.logits))
    assert found.verdict == "wrong"
    assert "labels" in found.reason


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("node 'scores' (Identity) is odd", "refused"),
        ("node 'scores' is of type Sin, which is not supported", "wrong"),
        ("node 'elsewhere' (Identity) is odd", "wrong"),
        ("node 'scores' (Identity) has data_format NCHW", "wrong"),
        ("something is odd", "wrong"),
        ("layer 'scores' is read otherwise than TensorFlow computes it", "wrong"),
    ],
)
def test_a_refusal_names_what_is_there(tmp_path: Path, message: str, verdict: str) -> None:
    seed = next(seed for seed in range(1, 99, 2) if sample(seed, tmp_path).path.suffix == ".pb")
    assert random_models.refusal(sample(seed, tmp_path), message).verdict == verdict


def test_the_program_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [Outcome("equal", "folder"), Outcome("refused", "graph", "node 'x'")]
    monkeypatch.setattr(random_models, "sample", lambda seed, folder: seed)
    monkeypatch.setattr(random_models, "outcome", lambda seed: outcomes[seed % 2])
    monkeypatch.setattr("sys.argv", ["random_models.py", "--count=4", "--seed=1"])
    assert main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 models: 2 equal, 2 refused, 0 wrong"
    outcomes[0] = Outcome("wrong", "folder", "a logit is off")
    assert main() == 1
    assert "seed 2, folder: wrong: a logit is off" in capsys.readouterr().out
