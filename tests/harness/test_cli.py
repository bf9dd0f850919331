"""The command line's face: usage, one-line errors, exit status."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import capc
from capc import cli
from capc.errors import ModelError
from capc.files import REPOSITORY


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("run", "party", "graph", "accuracy", "privacy", "learn", "models"):
        assert f"  {name} " in shown
    assert "example" in shown
    assert cli.main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"capc {capc.__version__}\n"
    assert cli.main(["--help"]) == 0
    assert "capc --version" in capsys.readouterr().out


@pytest.mark.parametrize("role", ["querying", "answering", "guardian"])
def test_a_party_alone_prints_its_usage(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["party", role]) == 2
    assert "usage: capc party" in capsys.readouterr().err


def test_parties_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["party", "--help"]) == 0
    assert "guardian" in capsys.readouterr().out
    assert cli.main(["party", "judge"]) == 2
    assert "judge is not a party" in capsys.readouterr().err


def test_an_error_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--n_parties=0"]) == 2
    shown = capsys.readouterr()
    assert shown.err == "capc: error: --n_parties is 0; allowed is 1 to 400\n"
    assert shown.out == ""
    assert cli.main(["walk"]) == 2
    assert capsys.readouterr().err.startswith("capc: error: walk is not a subcommand")


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--n_parties=0", "--debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("capc: error: --n_parties is 0; allowed is 1 to 400\n")


def test_lines_of_an_error_are_joined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise ModelError("one\n  two")

    monkeypatch.setattr("capc.harness.experiment.main", fail)
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == "capc: error: one two\n"


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("capc.harness.experiment.main", stop)
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err == "capc: stopped\n"


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'rich'", name="rich")

    monkeypatch.setattr("capc.cli.importlib.import_module", absent)
    assert cli.main(["run"]) == 2
    assert "package rich is missing" in capsys.readouterr().err


def run_program(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "run_experiment.py"), *arguments],
        capture_output=True,
        check=False,
        text=True,
        cwd=cwd,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
    )


def test_run_experiment_from_another_folder(tmp_path: Path) -> None:
    shown = run_program("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: run_experiment.py")
    assert "--n_parties=3 --ignore_parties" in shown.stdout
    failed = run_program("--n_parties=-1", cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr == "capc: error: --n_parties is -1; allowed is 1 to 400\n"


def test_no_tmux_is_one_line(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, str(REPOSITORY / "run_experiment.py"), "--ignore_parties"],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert shown.returncode == 2
    assert shown.stderr == (
        "capc: error: tmux is not installed: run 'apt install tmux', or add --launcher subprocess\n"
    )


def test_a_terminal_without_the_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an ASCII locale a character that it lacks is a question mark, not a traceback."""
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--help"])
    assert ended.value.code == 0
    sys.stdout.flush()
    assert b"*.npy, ?)" in screen.getvalue()
