"""Programs started with streams, folders and limits that nobody wishes for: one line each."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capc import cli
from capc.files import REPOSITORY

RUN = f"{sys.executable} {REPOSITORY / 'run_experiment.py'}"
CAPC = f"{sys.executable} -m capc.cli"


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


@pytest.mark.parametrize(
    "program", [f"{RUN} --help", f"{CAPC} --help", f"{CAPC} privacy calibrate --help"]
)
@pytest.mark.parametrize(
    ("where", "said"),
    [
        (">&-", "standard output is closed: send it to a file, or to /dev/null"),
        (">/dev/full", "standard output cannot be written: No space left on device"),
        ("<&- >&-", "standard output is closed: send it to a file, or to /dev/null"),
    ],
)
def test_odd_output_is_one_line(program: str, where: str, said: str, tmp_path: Path) -> None:
    ended = shell(f"{program} {where}", tmp_path)
    assert ended.stderr == f"capc: error: {said}\n"
    assert ended.returncode == 1


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "2> >(true)", "<&-"])
def test_odd_standard_error_changes_nothing(where: str, tmp_path: Path) -> None:
    ended = shell(f"{RUN} --help {where}", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    failed = shell(f"{RUN} --n_parties=0 {where}", tmp_path)
    assert failed.returncode == 2
    assert "Traceback" not in failed.stdout + failed.stderr


def test_a_reader_that_goes_early(tmp_path: Path) -> None:
    ended = shell(f"set -o pipefail; {CAPC} --help | true", tmp_path)
    assert ended.stderr == ""


def test_a_working_folder_that_was_deleted(tmp_path: Path) -> None:
    for program in (RUN, f"{CAPC} graph inspect model.pb", f"{CAPC} learn all --config x"):
        gone = tmp_path / "gone"
        gone.mkdir()
        ended = shell(f"rmdir {gone}; {program} --ignore_parties", gone)
        assert ended.stderr.startswith("capc: error: the working folder cannot be used")
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("capc.harness.experiment.main", fail)
    return cli.main(["run"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/a/b"), "/a/b: No such file"),
        (OSError(errno.ENOSPC, "No space left on device", "/a"), "/a: No space left on device; "),
        (OSError(errno.EFBIG, "File too large", "/a"), "(ulimit -f)"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (MemoryError(), "out of memory"),
        (RecursionError("deep"), "nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "another encoding than UTF-8"),
        (RuntimeError("can't start new thread"), "no further thread"),
    ],
)
def test_what_the_system_refuses(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert raising(error, monkeypatch) == (2 if isinstance(error, FileNotFoundError) else 1)
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.startswith("capc: error: ")
    assert shown.count("\n") == 1


def test_what_nobody_foresaw_leaves_its_trace_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path / "cache"))
    assert raising(ZeroDivisionError("by\nzero"), monkeypatch) == 1
    [log] = (tmp_path / "cache" / "errors").iterdir()
    assert log.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in log.read_text()
    assert capsys.readouterr().err == (
        f"capc: error: unforeseen ZeroDivisionError: by zero; its trace is in {log} "
        "(--debug shows it)\n"
    )


def test_where_no_trace_can_be_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPC_CACHE", "/proc/none")
    monkeypatch.setattr("tempfile.tempdir", "/proc/none")
    assert raising(ZeroDivisionError("by zero"), monkeypatch) == 1
    assert "ZeroDivisionError: by zero (--debug" in capsys.readouterr().err


def test_ctrl_c_while_the_program_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import builtins, os, signal\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'capc.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\n"
    )
    ended = shell(f"{RUN} --help", tmp_path, PYTHONPATH=str(tmp_path))
    assert "Traceback" not in ended.stderr
    assert ended.returncode in (130, -signal.SIGINT)
