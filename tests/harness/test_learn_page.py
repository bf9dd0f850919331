"""The page of a learning experiment: of the files that it left, self-contained, and listed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from html_pages import Page

from capc.harness.pages.run_files import write_learn_page
from capc.harness.rundir import machine
from capc.learning.experiment import load_experiment

ROOT = Path(__file__).parents[2]
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
TABLES = {
    "queries": "seed,strategy,party,asked,answered,labels_right,epsilon_independent\n"
    "1,gap,0,80,24,0.875,19.91\n1,pate,-1,169,80,,19.99\n",
    "summary": "arm,strategy,metric,mean,low,high,units\n"
    "capc,gap,accuracy,0.824,0.793,0.855,6\n"
    "own,,accuracy,0.8,0.768,0.833,6\n"
    "capc,gap,accuracy_gain,0.024,0.012,0.036,1\n"
    "own,,balanced_accuracy,0.1,0.1,0.1,6\n"
    "own,,weak_accuracy,,,,0\n",
}


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder as `capc learn` leaves it, at its usual place."""
    folder = tmp_path / "results" / "learning" / "tried"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "accuracy.png").write_bytes(PICTURE)
    for name, text in TABLES.items():
        (folder / f"{name}.csv").write_text(text)
    record: dict[str, Any] = {
        "experiment": load_experiment(ROOT / "config/learning/mnist-few.json", []).as_json(),
        "stage": "all",
        "stages": {"train": 61.4},
        "peak_memory_mib": {"driver": 190},
        "machine": machine(),
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_what_was_asked_and_what_came_of_it(left: Path) -> None:
    report = write_learn_page(left)
    page = Page(report.read_text())
    for said in (
        "parties 50, of whom 3 ask",
        "party 0 seed 1, gap 80 24 87.5 19.91",
        "the student seed 1, pate 169 80 19.99",
        "own data alone 80.0 76.8 to 83.3 6",
        "own data and the answers, gain queries by gap 2.4 1",
        "train, seconds 61",
        "capc learn all --config experiment.json",
        "no epsilon covers them",
        "the 95 % interval of that mean",
    ):
        assert said in page.said, said
    assert page.said.index("own data alone 80.0") < page.said.index(
        "and the answers queries by gap"
    )
    assert "10.0 to 10.0" not in page.said  # other metrics stand in summary.csv


def test_the_page_stands_alone(left: Path) -> None:
    report = write_learn_page(left)
    assert report.stat().st_mode & 0o777 == 0o600
    page = Page(report.read_text())
    (source,) = page.leaves
    assert source == f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    assert "img-src data:" in report.read_text()
    assert str(left) not in report.read_text()


def test_an_experiment_without_answers_has_a_page(left: Path) -> None:
    for name in (*TABLES, "figures/accuracy"):
        (left / name).with_suffix(".png" if "/" in name else ".csv").unlink()
    page = Page(write_learn_page(left).read_text())
    assert "Answers" not in page.said
    assert "What it took" in page.said
    assert "img" not in page.tags


def test_it_is_listed_beside_the_runs(left: Path) -> None:
    write_learn_page(left)
    index = Page((left.parents[1] / "index.html").read_text())
    assert index.leaves == ["learning/tried/report.html"]
    assert "learning experiment" in index.said


def test_no_list_is_written_elsewhere(left: Path, tmp_path: Path) -> None:
    other = tmp_path / "learning" / "tried"
    left.rename(tmp_path / "moved")
    other.parent.mkdir()
    (tmp_path / "moved").rename(other)
    write_learn_page(other)
    assert not (tmp_path / "index.html").exists()
    assert not (tmp_path / "learning" / "index.html").exists()
