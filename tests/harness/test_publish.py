"""`capc publish` copies a list of what may be shown, and says what stays and why."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_runs import World, scripted_run

from capc import cli
from capc.harness.rundir import RunDirectory

Publish = Callable[..., tuple[int, str]]

NOISY = {"sigma": 7.0, "threshold": 5, "sigma_threshold": 3.0}
PRIVACY = NOISY | {"bound": "independent", "noise": "exact"}


@pytest.fixture
def publish(capsys: pytest.CaptureFixture[str]) -> Iterator[Publish]:
    """The exit status and all that the command says, under a umask that takes everything away."""
    umask = os.umask(0o077)

    def call(*arguments: object) -> tuple[int, str]:
        status = cli.main(["publish", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out + said.err

    yield call
    os.umask(umask)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_copied_without_what_is_private(tmp_path: Path, publish: Publish) -> None:
    run = scripted_run(tmp_path / "made", World((1, 1, 2)), "--sigma=7", "--user=jane").folder
    (run / "notes.txt").write_text("jane's own")
    status, said = publish(run.parent / "latest", tmp_path / "shown")
    assert status == 0
    shown = tmp_path / "shown"
    assert files_of(shown) == {
        *("queries.csv", "timings.csv", "summary.csv", "run.json", "report.html")
    }
    assert shown.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in shown.iterdir()} == {0o644}
    for name in ("queries.csv", "timings.csv", "summary.csv"):
        assert (shown / name).read_bytes() == (run / name).read_bytes()
    for name, why in {
        "private": "no epsilon covers them",
        "logs": "paths and names of this machine",
        f"log-timing-{run.name}.txt": "the same times are in timings.csv",
        "notes.txt": "not a file that a run leaves",
        "run.json, fields": "user",
    }.items():
        (line,) = (line for line in said.splitlines() if line.startswith(f"  {name}: "))
        assert why in line
    assert "what its noise is worth: epsilon = 4.5 at delta = 1e-05" in said
    everything = "".join(path.read_text() for path in shown.iterdir())
    for word in (str(tmp_path), "jane", getpass.getuser() + '"', socket.gethostname(), "/home/"):
        assert word not in everything
    record = json.loads((shown / "run.json").read_text())
    assert record["flags"]["sigma"] == 7
    assert record["flags"]["dataset_name"] == "mnist"
    assert record["machine"]["cpu"]


def test_the_page_is_made_again_of_what_goes_out(tmp_path: Path, publish: Publish) -> None:
    run = scripted_run(tmp_path / "made", World((1, 1, 2)), "--sigma=7", "--user=jane").folder
    page = (run / "report.html").read_text()
    (run / "report.html").write_text(page.replace("CaPC run", "jane's run"))
    assert publish(run, tmp_path / "shown")[0] == 0
    assert (tmp_path / "shown" / "report.html").read_text() == page
    (run / "report.html").unlink()  # a run of an earlier version has none
    assert publish(run, tmp_path / "without")[0] == 0
    assert "report.html" not in files_of(tmp_path / "without")


def test_what_an_earlier_version_left_loses_its_columns(tmp_path: Path, publish: Publish) -> None:
    run = scripted_run(tmp_path / "made", World((1, 1, 2)), "--sigma=7").folder
    header, *rows = (run / "queries.csv").read_text().splitlines()
    old = [f"{header},plain_label,max_logit_error", *(f"{row},3,0.125" for row in rows)]
    (run / "queries.csv").write_text("\n".join(old) + "\n0,cut")
    record = json.loads((run / "run.json").read_text()) | {"models": ["digest-of-a-model"]}
    (run / "run.json").write_text(json.dumps(record))
    status, said = publish(run, tmp_path / "shown")
    assert status == 0
    assert (tmp_path / "shown" / "queries.csv").read_text() == "\n".join([header, *rows, ""])
    assert "queries.csv, columns: plain_label, max_logit_error: no epsilon covers them" in said
    assert "digest-of-a-model" not in (tmp_path / "shown" / "run.json").read_text()


@pytest.mark.parametrize(
    ("ends", "said"),
    [("failed", "ended with status 1 (a party"), ("stopped", "ended with status 130 (stopped")],
)
def test_an_unfinished_run_needs_a_word(
    tmp_path: Path, publish: Publish, ends: str, said: str
) -> None:
    run = scripted_run(tmp_path / "made", World((1, 1, 2)), "--sigma=7", ends=ends).folder
    status, text = publish(run, tmp_path / "shown")
    assert (status, (tmp_path / "shown").exists()) == (2, False)
    assert said in text
    assert "--unfinished" in text
    assert publish(run, tmp_path / "shown", "--unfinished")[0] == 0
    shown = {"queries.csv", "timings.csv", "run.json", "report.html"}
    assert files_of(tmp_path / "shown") == shown


def test_what_cannot_be_published(tmp_path: Path, publish: Publish) -> None:
    run = RunDirectory(tmp_path / "results")
    run.write_run_json({"run_id": run.run_id, "exit_status": None, "machine": {}, "flags": {}})
    run.release()
    out = tmp_path / "out"
    for arguments, said in {
        (run.path, out): "is still running",
        (tmp_path, out): "is no run",
        (tmp_path / "absent", out): "is no run",
        (run.path, run.path / "shown"): "lies in the run itself",
        (run.path, run.path.parent): "exists and is not an empty folder",
        (run.path, run.path / "run.json" / "x"): "lies in the run itself",
        (run.path, tmp_path / "no" / "out"): "is not a folder: make it first",
    }.items():
        status, text = publish(*arguments)
        assert status == 2
        assert said in text
    assert not out.exists()
    out.mkdir()
    (run.path / "queries.csv").symlink_to("/etc/hostname")
    status, text = publish(run.path, out, "--unfinished")
    assert status == 2
    assert "is a link" in text
    assert not files_of(out)


def learning_folder(folder: Path, **privacy: object) -> Path:
    """What `capc learn` leaves, by name; each file says what it is."""
    for name in ("figures", "private"):
        (folder / name).mkdir(parents=True)
    experiment = {"dataset": "mine=/data/jane/mine.npz", "privacy": PRIVACY | privacy, "sweep": []}
    (folder / "run.json").write_text(json.dumps({"experiment": experiment, "workers": 2}))
    for name in ("models", "accuracy", "classes", "summary"):
        (folder / f"{name}.csv").write_text("seed,accuracy\n1,0.5\n")
    columns = "seed,strategy,asked,answered,labels_right,plain_votes_right"
    (folder / "queries.csv").write_text(f"{columns}\n1,gap,9,8,0.5,0.75\n")
    (folder / "figures" / "accuracy.png").write_bytes(b"\x89PNG")
    (folder / "report.html").write_text("<p>accuracy 0.5</p>")
    (folder / "private" / "votes.csv").write_text("plain_votes_right\n0.75\n")
    return folder


def test_of_a_learning_experiment_only_what_noise_covers(tmp_path: Path, publish: Publish) -> None:
    folder = learning_folder(tmp_path / "learn")
    status, said = publish(folder, tmp_path / "shown")
    assert status == 0
    assert files_of(tmp_path / "shown") == {"run.json", "queries.csv"}
    assert "0.75" not in (tmp_path / "shown" / "queries.csv").read_text()
    assert "jane" not in (tmp_path / "shown" / "run.json").read_text()
    for name in (
        "models.csv",
        "accuracy.csv",
        "classes.csv",
        "summary.csv",
        "figures",
        "report.html",
    ):
        assert f"  {name}: measured on models and votes without noise" in said
    assert publish(folder, tmp_path / "all", "--public_data")[0] == 0
    assert files_of(tmp_path / "all") == {
        *("run.json", "queries.csv", "models.csv", "accuracy.csv", "classes.csv", "summary.csv"),
        *("figures/accuracy.png", "report.html"),
    }
    assert (tmp_path / "all" / "figures").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "privacy",
    [{"bound": "dependent"}, {"noise": "seeded"}, {"sigma": 0.0}, {"sigma_threshold": 0.0}],
)
def test_labels_that_no_epsilon_covers_stay(
    tmp_path: Path, publish: Publish, privacy: dict[str, object]
) -> None:
    status, said = publish(learning_folder(tmp_path / "learn", **privacy), tmp_path / "shown")
    assert status == 0
    assert files_of(tmp_path / "shown") == {"run.json"}
    assert "  queries.csv: the noise can be drawn again" in said
