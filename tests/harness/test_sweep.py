"""`capc sweep`: what a file asks for, what is run again, and the rows of all that can happen."""

from __future__ import annotations

import csv
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from capc.cli import main
from capc.errors import ConfigError
from capc.files import held_folder
from capc.harness import sweep_command, sweep_run, sweep_table
from capc.harness.sweep import LEARN, RUN, Point, Sweep, read_sweep
from capc.learning.workers import run_tasks

GRID = """
[settings]
n_queries = 2
encryption_params = '{"scheme_name": "HE_SEAL", "poly_modulus_degree": 8192,
  "security_level": 128, "coeff_modulus": [47, 24, 24, 24, 30]}'
[grid]
n_parties = [3, 5]
sigma = [0.5, 7.0]
"""
# Stands for `capc run`: leaves what a run leaves, as the flags say.
STAND_IN = """
import json, pathlib, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
pathlib.Path(sys.argv[0]).with_name("calls").open("a").write(flags["seed"])
if flags["seed"] == "{fails}":
    print("plan: 1 query")
    sys.exit("the querying party failed")
run = pathlib.Path(flags["results_dir"]) / "latest"
(run / "private").mkdir(parents=True)
(run / "queries.csv").write_text(
    "query,true_label,label,answered,epsilon_spent\\n0,7,7,true,0.5\\n1,2,3,true,0.75\\n"
    "2,2,,false,0.7\\n"
)
(run / "private" / "check.csv").write_text("query,reference_agrees\\n0,true\\n1,{agrees}\\n")
(run / "summary.csv").write_text(
    "step,phase,median_s,bytes_median\\n1a,online,0.5,1000\\n1a,offline+online,9,9\\n"
)
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


def test_a_run_for_each_combination(tmp_path: Path) -> None:
    sweep = read_sweep(file(tmp_path, GRID.replace("\n  ", " ")))
    assert [tuple(point.settings.values()) for point in sweep.points] == [
        *((3, 0.5), (3, 7.0), (5, 0.5), (5, 7.0))
    ]
    assert sweep.name == "grid"
    assert sweep.columns == ("n_parties", "sigma")
    words = sweep.points[0].words
    assert words[:3] == ("run", "--launcher=subprocess", "--n_queries=2")
    assert words[-2:] == ("--n_parties=3", "--sigma=0.5")


def test_the_example_is_what_its_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(root)
    sweep = read_sweep(root / "config" / "sweep.toml")
    assert (sweep.name, len(sweep.points)) == ("sweep", 6)
    fields = [
        line.partition("#")[0].strip()
        for line in (root / "config/sweep.toml").read_text().splitlines()
    ]
    page = (root / "docs/how-to/sweep.md").read_text().partition("```text\n")[2].partition("```")[0]
    said = [line.partition("#")[0].strip() for line in page.splitlines()]
    assert list(filter(None, fields)) == list(filter(None, said))


def test_the_key_is_of_all_that_goes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = tmp_path / "parameters.json"
    text = f'[settings]\nencryption_params = "{parameters}"\n[grid]\nseed = [1, 2]\n'

    def keys(text: str = text) -> list[str]:
        return [point.key for point in read_sweep(file(tmp_path, text)).points]

    fast = Path(__file__).resolve().parents[2] / "config" / "fast.json"
    parameters.write_text(fast.read_text())
    first = keys()
    assert len(set(first)) == 2
    assert keys() == first
    assert keys(text.replace("[1, 2]", "[2, 1]")) == first[::-1]
    assert set(keys(text + "sigma = [1.0]")).isdisjoint(first)
    parameters.write_text(fast.read_text() + "\n")
    changed = keys()
    assert set(changed).isdisjoint(first)
    monkeypatch.setattr("capc.__version__", "another")
    assert set(keys()).isdisjoint(changed)


def test_fields_of_a_learning_experiment(tmp_path: Path) -> None:
    config = Path(__file__).resolve().parents[2] / "config" / "learning" / "mnist.json"
    text = f'command = "learn"\nconfig = "{config}"\nstage = "query"\n[settings]\nworkers = 1\n'
    sweep = read_sweep(file(tmp_path, f'{text}[grid]\n"privacy.sigma" = [5.0, 10.0]\n'))
    assert sweep.points[1].words == (
        *("learn", "query", f"--config={config}", "--workers=1", "--set=privacy.sigma=10.0"),
    )
    with pytest.raises(ConfigError, match=r"grid\.toml: capc learn .*privacy\.sigmas"):
        read_sweep(file(tmp_path, f'{text}[grid]\n"privacy.sigmas" = [5.0]\n'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('command = "bench"', "command is 'bench'; allowed are run and learn"),
        ("[grids]\n", "grids is unknown"),
        ("grid = 3\n", "grid is 3; allowed is a table"),
        ("[grid]\nsigma = 3\n", r"grid\.sigma is 3; allowed is a list of values"),
        ("[settings]\nseed = 1\n[grid]\nseed = [2]\n", r"grid\.seed is in settings, too"),
        ("[grid]\nresults_dir = ['a']\n", "results_dir cannot be set"),
        ("[grid]\nseed = [2, 2]\n", "names one run twice"),
        ("[grid]\nn_parties = [3, 0]\n", r"capc run .*--n_parties=0: --n_parties is 0"),
        ("[grid]\nsgima = [3]\n", r"capc run .*sgima"),
        ('name = "../a"', "allowed is the name of a folder"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_sweep(file(tmp_path, text))
    assert "grid.toml" in str(caught.value)


class Here:
    """Sweeps whose runs are the stand-in, in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.script = folder / "stand_in.py"
        self.file = file(folder, "[grid]\nseed = [1, 2, 3]\n")
        monkeypatch.setattr(
            sweep_run, "command_of", lambda words: [sys.executable, str(self.script), *words]
        )
        monkeypatch.setattr(
            sweep_command,
            "run_tasks",
            lambda tasks, **how: run_tasks(tasks, **{**how, "workers": 0}),
        )

    def sweep(self, *, fails: str = "", agrees: str = "true") -> int:
        (self.folder / "calls").write_text("")
        self.script.write_text(STAND_IN.replace("{fails}", fails).replace("{agrees}", agrees))
        return main(["sweep", str(self.file), f"--results_dir={self.place.parent}"])

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()

    @property
    def place(self) -> Path:
        return self.folder / "results" / "sweeps" / "grid"

    def rows(self) -> list[dict[str, str]]:
        with (self.place / "sweep.csv").open(newline="") as table:
            return list(csv.DictReader(table))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(tmp_path, monkeypatch)


def test_a_failed_run_is_a_row_and_alone_is_run_again(here: Here) -> None:
    assert here.sweep(fails="2") == 1
    assert here.calls == "123"
    first, failed, third = here.rows()
    assert (failed["seed"], failed["status"], failed["answered"]) == ("2", "1", "0")
    assert failed["reason"] == "the querying party failed"
    assert {**first, "run": "", "seconds": "", "1a_online_bytes": ""} == {
        **{"run": "", "seed": "1", "status": "0", "reason": "", "seconds": "", "answered": "2"},
        **{"labels_right": "1", "agreement": "yes", "epsilon": "0.75", "1a_online_s": "0.5"},
        "1a_online_bytes": "",
    }
    assert "the querying party failed" in (here.place / "report.html").read_text()
    assert here.sweep() == 0
    assert here.calls == "2"
    assert [row["status"] for row in here.rows()] == ["0", "0", "0"]
    assert here.rows()[::2] == [first, third]
    assert here.sweep() == 0
    assert here.calls == ""
    index = (here.folder / "results" / "index.html").read_text()
    assert "sweeps/grid/report.html" in index


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"failure": {"party": "guardian", "reason": "is gone"}}, "guardian failed: is gone"),
        ({"failure": {"party": None, "reason": "no"}}, "the run failed: no"),
        ({"failure": "stopped"}, "stopped"),
        ({"failure": None, "complaints": ["a", "b"]}, "a; b"),
    ],
)
def test_the_reason_is_that_of_the_record(
    tmp_path: Path, record: dict[str, object], said: str
) -> None:
    run = tmp_path / "results" / "latest"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(record))
    (tmp_path / sweep_run.ENDED).write_text(json.dumps({"status": 1, "seconds": 3.0}))
    sweep = Sweep("name", RUN, (Point("key", {}, ()),))
    assert sweep_table.sweep_rows(sweep, {"key": tmp_path})[0]["reason"] == said


@pytest.mark.parametrize(("cell", "said"), [("", "not compared"), ("false", "no")])
def test_agreement_is_that_of_the_run_as_a_whole(here: Here, cell: str, said: str) -> None:
    here.file = file(here.folder, "[grid]\nseed = [1]\n")
    assert here.sweep(agrees=cell) == 0
    assert here.rows()[0]["agreement"] == said


@pytest.mark.parametrize("delay", [0.0005, 0.3], ids=["while it starts", "while it waits"])
def test_a_sweep_that_is_stopped_keeps_what_has_ended(
    here: Here, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    """Stopped in the second run; that is then asked to end, and has the time for it."""
    here.script.write_text(STAND_IN)
    waiting = "import signal; signal.pause()"

    def command_of(words: Sequence[str]) -> list[str]:
        if "--seed=2" not in words:
            return [sys.executable, str(here.script), *words]
        main = threading.main_thread().ident
        threading.Timer(delay, signal.pthread_kill, [main, signal.SIGTERM]).start()
        return [sys.executable, "-c", waiting]

    with monkeypatch.context() as once:
        once.setattr(sweep_run, "command_of", command_of)
        with pytest.raises(SystemExit):
            here.sweep()
    assert here.calls == "1"
    assert [row["status"] for row in here.rows()] == ["0", "", ""]
    assert here.rows()[1]["reason"] == "not run yet, or stopped"
    assert here.sweep() == 0
    assert here.calls == "23"


def test_two_at_once_are_refused(here: Here, capfd: pytest.CaptureFixture[str]) -> None:
    here.place.mkdir(parents=True)
    with held_folder(here.place):
        assert here.sweep() == 2
    assert "is in use by another process" in capfd.readouterr().err
    assert here.calls == ""


def test_rows_of_learning_experiments(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "mnist"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"stages": {"train": 2.5}}))
    (folder / "queries.csv").write_text(
        "party,answered,labels_right,epsilon_independent\n0,10,0.9,1.5\n1,0,,2.5\n-1,5,0.2,9\n"
    )
    (folder / "summary.csv").write_text(
        "arm,strategy,metric,units,mean\nown,,accuracy,2,0.8\ncapc,gap,accuracy,2,0.85\n"
        "vote,gap,accuracy,0,\n"
    )
    (tmp_path / sweep_run.ENDED).write_text(json.dumps({"status": 0, "seconds": 3.0}))
    sweep = Sweep("name", LEARN, (Point("key", {"parties": 2}, ()),))
    (row,) = sweep_table.sweep_rows(sweep, {"key": tmp_path})
    assert row == {
        **{"run": "key", "parties": 2, "status": 0, "seconds": 3.0, "answered": 10},
        **{"labels_right": 9, "epsilon": 2.5, "own_accuracy": 0.8, "capc_gap_accuracy": 0.85},
        "train_s": 2.5,
    }
