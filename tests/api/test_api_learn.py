"""`capc.learn` on a small made data set: what it gives, its arguments, and how it fails."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import capc
from capc.api import learning
from capc.errors import ConfigError
from capc.harness.learn_flags import chosen_experiment
from capc.learning.experiment import Experiment

SUMMARY = """\
arm,strategy,metric,mean,low,high,units
own,,accuracy,0.85,0.84,0.86,15
capc,gap,accuracy,0.88,0.87,0.89,15
capc,gap,accuracy_gain,0.03,0.02,0.04,15
own,,weak_accuracy,,,,0
"""
QUERIES = """\
seed,strategy,party,asked,answered,labels_right,epsilon_independent,delta,conversion,stopped_by
1,gap,0,100,80,0.95,19.5,1e-05,improved,independent
1,gap,1,90,0,,19.5,1e-05,improved,independent
1,pate,-1,300,248,0.9,19.9,1e-05,improved,independent
1,public,-1,300,240,0.9,19.9,1e-05,improved,independent
"""
FEW = Path(__file__).parents[2] / "config" / "learning" / "mnist-few.json"


class Stages:
    """In place of the stages: keeps what is asked, and leaves tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Any] = []

    def __call__(self, options: Any, console: Any) -> Path:
        self.asked.append((options, chosen_experiment(options), console.quiet))
        self.folder.mkdir(exist_ok=True)
        (self.folder / "summary.csv").write_text(SUMMARY)
        (self.folder / "queries.csv").write_text(QUERIES)
        record = {"experiment": self.asked[-1][1].as_json()}
        (self.folder / "run.json").write_text(json.dumps(record))
        return self.folder


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stages]:
    made = Stages(tmp_path / "tiny")
    monkeypatch.setattr(learning, "run_stages", made)
    yield made


def test_the_result_has_accuracies_answers_and_epsilon(stages: Stages) -> None:
    found = capc.learn(FEW, show=False)
    own, with_answers = found.accuracies
    assert (own.arm, own.strategy, own.mean, own.units) == ("own", "", 0.85, 15)
    assert (with_answers.strategy, with_answers.low, with_answers.high) == ("gap", 0.87, 0.89)
    assert [gain.mean for gain in found.gains] == [0.03]
    assert [row.labels_right for row in found.answers] == [0.95, None, 0.9, 0.9]
    assert found.answered == 80 + 240
    assert (found.epsilon, found.delta) == (19.9, 1e-5)
    assert found.table("queries")["asked"].tolist() == [100, 90, 300, 300]
    assert found.report == stages.folder / "report.html"
    with pytest.raises(ConfigError, match=r"no table 'sweep' in .*; it has queries, summary"):
        found.table("sweep")


def test_fields_replace_those_of_a_file_and_mappings_some_of_them(stages: Stages) -> None:
    capc.learn(FEW, parties=20, privacy={"sigma": 4}, seeds=[7], stage="query", workers=0)
    options, experiment, _ = stages.asked[0]
    assert (options.stage, options.workers) == ("query", 0)
    assert (experiment.parties, experiment.seeds) == (20, (7,))
    assert (experiment.privacy.sigma, experiment.privacy.threshold) == (4.0, 50)


def test_a_mapping_and_fields_alone_are_an_experiment_too(stages: Stages) -> None:
    capc.learn({"name": "tiny", "dataset": "mnist", "parties": 6}, parties=5, show=False)
    capc.learn(name="tiny", dataset="mnist", parties=5, queries=None)
    (_, mapped, quiet), (_, given, loud) = stages.asked
    assert mapped == given == Experiment("tiny", "mnist", 5)
    assert (quiet, loud) == (True, False)


def test_errors_name_the_field(stages: Stages) -> None:
    with pytest.raises(ConfigError, match=r"--config: privacy\.sigma is -1"):
        capc.learn(name="tiny", dataset="mnist", parties=5, privacy={"sigma": -1})
    with pytest.raises(ConfigError, match="partys"):
        capc.learn(FEW, partys=3)
    with pytest.raises(ConfigError, match="no value of JSON"):
        capc.learn(FEW, parties={1, 2})
    with pytest.raises(ConfigError, match="stage: invalid choice"):
        capc.learn(FEW, stage="trian")  # type: ignore[arg-type]


def test_no_field_has_the_name_of_another_argument() -> None:
    names = set(inspect.signature(capc.learn).parameters)
    assert not names & {field.name for field in fields(Experiment)}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the folder of an experiment"):
        capc.load_learning(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="that of something else"):
        capc.load_learning(tmp_path)
