"""A whole run with scripted parties: what it leaves, says and returns, under both launchers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments import FAKES, Bench
from libtmux import Server

from capc.errors import ConfigError, ProgramError
from capc.harness.cautions import cautions
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.models import model_files
from capc.harness.queries import Queries
from capc.harness.tables import CHECK_COLUMNS, QUERY_COLUMNS, SUMMARY_COLUMNS, TIMING_COLUMNS
from capc.harness.verify import check_run


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def check_what_a_run_leaves(bench: Bench) -> None:
    queries = bench.rows("queries.csv")
    assert tuple(queries[0]) == QUERY_COLUMNS
    assert [row["query"] for row in queries] == ["0", "1", "2"]
    for row, true_label, epsilon in zip(queries, "112", ("1.5", "3", "4.5"), strict=True):
        assert row["true_label"] == true_label
        assert row["label"] == "1"
        assert row["answered"] == "true"
        assert row["epsilon_spent"] == epsilon
        assert row["delta"] == "1e-05"
        assert row["conversion"] == "improved"
    checks = bench.rows("private/check.csv")
    assert tuple(checks[0]) == CHECK_COLUMNS
    assert [tuple(row.values()) for row in checks] == [
        (query, "1", "1", "true", "0") for query in "012"
    ]
    assert [row["party"] for row in bench.rows("private/models.csv")] == [
        *("answering-0", "answering-1")
    ]
    assert "Do not publish" in (bench.latest / "private" / "README").read_text()
    timings = bench.rows("timings.csv")
    assert tuple(timings[0]) == TIMING_COLUMNS
    steps = {(row["party"], row["query"], row["step"], row["phase"]) for row in timings}
    assert len(steps) == len(timings) == 4 + 3 * (2 * 4 + 2)
    assert ("answering-1", "2", "2", "online") in steps
    assert ("guardian", "", "1a", "setup") in steps
    summary = bench.rows("summary.csv")
    assert tuple(summary[0]) == SUMMARY_COLUMNS
    by_key = {(row["step"], row["phase"]): row for row in summary}
    assert by_key["1c", "online"]["median_s"] == "0.02"
    assert by_key["1a", "offline+online"]["paper_s"] == ""  # the paper has no such run
    run = bench.json()
    assert run["exit_status"] == 0
    assert run["start"] < run["end"]
    assert run["seed"] == 2
    assert run["flags"]["n_queries"] == 3
    assert run["encryption_parameters"]["poly_modulus_degree"] == 8192
    assert run["parties"]["answering-1"] == {"port": 40000, "exit_status": 0}
    assert run["parties"]["querying"] == {"port": None, "exit_status": 0}
    assert run["machine"]["versions"]["numpy"]
    assert run["flags"]["epsilon"] == "inf"
    stated = "sigma was not stated: 0.1 by default, as in the original programs; epsilon = 4.5 at"
    assert run["privacy"].startswith(stated)
    result = bench.screen.partition("parties are done")[2].splitlines()[1:]
    assert result[0] == run["privacy"]  # the first line of the result
    logs = bench.latest / "logs"
    for name in ("answering-0", "answering-1", "guardian", "querying"):
        assert (logs / f"{name}.log").is_file()
    assert "query 2 (3 of 3): label 1" in (logs / "driver.log").read_text()
    timing_log = next(bench.latest.glob("log-timing-*.txt")).read_text()
    assert "querying query 2 step 3 online 0.020000 s" in timing_log
    assert not (bench.latest / "parties").exists()
    modes = {path.stat().st_mode & 0o777 for path in bench.latest.resolve().rglob("*")}
    assert modes == {0o600, 0o700}
    assert bench.latest.is_symlink()
    assert str(bench.latest.resolve()) in bench.screen
    assert "3 of 3 answered, 2 labels right" in bench.screen
    assert "not yet checked against the PDF" not in bench.screen


def test_with_plain_processes(bench: Bench) -> None:
    assert bench.run() == 0
    check_what_a_run_leaves(bench)
    assert "answering-0 is good" in (bench.latest / "logs" / "answering-0.log").read_text()


def test_in_tmux_panes(bench: Bench, tmux_server: Server) -> None:
    assert bench.run(tmux=True) == 0
    check_what_a_run_leaves(bench)
    panes = bench.latest / "logs" / "panes"
    assert "answering-0 is good" in (panes / "answering-0.txt").read_text()
    assert "tmux attach -t capc" in bench.screen
    shown = tmux_server.cmd("list-panes", "-s", "-t", "=capc:", "-F", "#{@capc_role} #{pane_id}")
    driver = dict(line.split() for line in shown.stdout)["driver"]
    text = "\n".join(tmux_server.cmd("capture-pane", "-p", "-S", "-", "-t", driver).stdout)
    assert "labels right" in text


def test_the_latest_link_moves_on(bench: Bench) -> None:
    assert bench.run() == 0
    first = bench.latest.resolve()
    assert bench.run() == 0
    assert bench.latest.resolve() != first
    assert first.is_dir()


def test_a_wrong_label_is_loud(bench: Bench) -> None:
    assert bench.run(querying="wrong") == 3
    assert "DISAGREEMENT" in bench.screen
    assert {row["reference_agrees"] for row in bench.rows("private/check.csv")} == {"false"}
    assert "the labels equal the reference on the same models: NO" in bench.screen
    assert bench.json()["exit_status"] == 3
    assert "DISAGREEMENT" in bench.json()["complaints"][0]


def test_noise_hides_the_reference(bench: Bench) -> None:
    assert bench.run("--sigma=7", querying="wrong") == 0
    assert {row["reference_agrees"] for row in bench.rows("private/check.csv")} == {""}
    assert {row["plain_label"] for row in bench.rows("private/check.csv")} == {"1"}


def test_verify_without_opened_shares_is_a_failure(bench: Bench) -> None:
    assert bench.run("--sigma=7", "--verify") == 3
    assert "did not reveal" in bench.screen
    assert {row["insecure"] for row in bench.rows("timings.csv")} == {"verify"}
    assert {row["insecure"] for row in bench.rows("queries.csv")} == {"verify"}
    assert {row["insecure"] for row in bench.rows("summary.csv")} == {"verify"}
    assert bench.json()["insecure"] == ["verify"]


def test_a_spent_budget_ends_in_order(bench: Bench) -> None:
    assert bench.run(guardian="refuse", querying="one") == 0
    assert "BUDGET SPENT: query 1 is refused" in bench.screen
    assert "the budget refused 2 of 3 queries" in bench.screen
    assert bench.json()["refused"]["query"] == 1


def test_queries_without_answer_are_a_failure(bench: Bench) -> None:
    assert bench.run(querying="one") == 1
    assert "2 queries have no answer" in bench.screen


@pytest.mark.parametrize("tmux", [False, True])
def test_a_party_that_fails(bench: Bench, tmux: bool, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("tmux_server") if tmux else None
    assert bench.run(tmux=tmux, answering_1="exit3") == 1
    assert "answering-1 failed: exit status 3" in bench.screen
    assert "the last words of this party" in bench.screen
    run = bench.json()
    assert run["failure"]["party"] == "answering-1"
    assert run["parties"]["answering-1"]["exit_status"] == 3
    assert run["exit_status"] == 1
    assert tuple(bench.rows("timings.csv")[0]) == TIMING_COLUMNS
    assert not (bench.latest / "parties").exists()
    if server is not None:
        assert server.cmd("list-sessions").stdout == []


def test_debug_keeps_panes_and_folders(bench: Bench, tmux_server: Server) -> None:
    assert bench.run("--debug", tmux=True, answering_1="exit3") == 1
    assert tmux_server.cmd("has-session", "-t", "=capc").returncode == 0
    config = bench.latest / "parties" / "answering-1" / "config.json"
    assert json.loads(config.read_text())["party"] == "answering-1"
    assert config.parent.stat().st_mode & 0o777 == 0o700


def test_what_the_parties_are_told(bench: Bench) -> None:
    bench.run("--debug", "--start_port=41000", "--threshold=2", "--sigma_threshold=1")
    parties = bench.latest / "parties"
    told = {
        path.parent.name: json.loads(path.read_text()) for path in parties.glob("*/config.json")
    }
    assert [told[name]["port"] for name in ("answering-0", "answering-1", "guardian")] == [
        *(41000, 41001, 41002)
    ]
    assert told["guardian"]["privacy"]["threshold"] == 2
    for name in ("answering-0", "answering-1", "querying"):
        assert told[name]["with_threshold"] is True
        assert "privacy" not in told[name]
    queries = {"dataset": "mnist", "start": 0, "path": None, "shape": [2, 2, 1]}
    assert told["querying"]["queries"] == queries
    assert "model" not in told["querying"]
    assert told["answering-1"]["index"] == 1


def test_cautions(bench: Bench) -> None:
    assert any("hides nothing" in line for line in cautions(bench.settings()))
    assert any("epsilon is infinite" in line for line in cautions(bench.settings("--sigma=0")))
    assert cautions(bench.settings("--sigma=40")) == []
    said = " ".join(cautions(bench.settings("--sigma=40", "--cpu", "--verify", "--rstar_exp=1")))
    for word in ("--cpu", "--verify", "--rstar_exp has no effect"):
        assert word in said
    threshold = ("--sigma=40", "--sigma_threshold=1")
    assert cautions(bench.settings(*threshold, "--threshold=2")) == []
    assert "above the 2 votes" in cautions(bench.settings(*threshold, "--threshold=3"))[0]


def test_models_are_counted(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bench.settings(f"--checkpoint_dir={tmp_path}")
    folder = tmp_path / "2"
    folder.mkdir()
    calls: list[list[str]] = []

    def train(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        (folder / "0.pb").touch()
        (folder / "1.pb").touch()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("capc.harness.models.run_child", train)
    said: list[str] = []
    files = model_files(settings, said.append)
    assert files == [folder / "0.pb", folder / "1.pb"]
    assert said == [f"2 of 2 models are missing in {folder}: training them now"]
    assert "--n_parties=2" in calls[0]
    assert model_files(settings, said.append) == files
    assert len(calls) == 1
    (folder / "2.pb").touch()
    with pytest.raises(ConfigError, match=r"holds 3 models, 2\.pb among them"):
        model_files(settings, said.append)


def test_a_training_that_fails(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "capc.harness.models.run_child",
        lambda command, **_: subprocess.CompletedProcess(command, 5),
    )
    with pytest.raises(ProgramError, match="exit status 5"):
        model_files(bench.settings(f"--checkpoint_dir={tmp_path}"), lambda _: None)


def test_a_training_that_is_stopped(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the training too, which may be the one to see it: the run stops as well."""
    monkeypatch.setattr(
        "capc.harness.models.run_child",
        lambda command, **_: subprocess.CompletedProcess(command, 130),
    )
    with pytest.raises(KeyboardInterrupt):
        model_files(bench.settings(f"--checkpoint_dir={tmp_path}"), lambda _: None)


def test_no_shared_model(bench: Bench, tmp_path: Path) -> None:
    settings = bench.settings(f"--checkpoint_dir={tmp_path}", "--ignore_parties")
    with pytest.raises(ConfigError, match=r"no model .*cryptonets-relu\.pb"):
        model_files(settings, lambda _: None)


def test_refused_queries_have_rows_and_are_counted(bench: Bench) -> None:
    assert bench.run(guardian="refuse", querying="one") == 0
    rows = bench.rows("queries.csv")
    assert [row["query"] for row in rows] == ["0", "1", "2"]
    assert [row["answered"] for row in rows] == ["true", "false", "false"]
    assert [row["true_label"] for row in rows] == ["1", "1", "2"]
    for row in rows[1:]:
        assert {row[name] for name in ("label", "epsilon_spent", "delta")} == {""}
    assert [row["query"] for row in bench.rows("private/check.csv")] == ["0"]
    assert "1 of 3 answered, 2 refused, 1 label right" in bench.screen


def test_noise_is_explained(bench: Bench) -> None:
    bench.run("--sigma=7")
    assert "hidden by noise" not in bench.screen
    assert "not compared: noise may rightly change a label" in bench.screen
    assert "3 of 3 answered, 2 labels right" in bench.screen


def test_integers_that_vote_otherwise_are_said_and_counted_in_private(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differing(*arguments: Any) -> Any:
        checks = check_run(*arguments)
        checks[1] = dataclasses.replace(checks[1], integer_label=3)
        return checks

    monkeypatch.setattr("experiments.check_run", differing)
    assert bench.run() == 0
    assert "the protocol's integers vote for other labels than the float models" in bench.screen
    assert str(bench.latest.resolve() / "private" / "check.csv") in bench.screen
    assert "other labels" not in (bench.latest / "logs" / "driver.log").read_text()
    checks = bench.rows("private/check.csv")
    assert [row["integer_label"] for row in checks] == ["1", "3", "1"]
    assert {row["plain_label"] for row in checks} == {"1"}


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (("--n_parties=1", "--num_classes=10"), True),
        (("--n_parties=2", "--num_classes=10"), False),
        (("--n_parties=1", "--num_classes=4"), False),
        (("--n_parties=1", "--num_classes=10", "--batch_size=2"), False),
        (("--n_parties=1", "--num_classes=10", "--model_type=mlp"), False),
    ],
)
def test_the_paper_stands_beside_runs_like_its_own(
    bench: Bench, flags: tuple[str, ...], shown: bool
) -> None:
    settings = bench.settings(*flags)
    queries = Queries(np.zeros((3, 28, 28, 1), np.float32), None, (0.0, 1.0))
    made = Run(settings, SubprocessLauncher(), queries, [bench.folder / "m.npz"], FAKES)
    assert made._is_the_papers() is shown
