"""Nothing outlives its driver: children, folders, sockets; and what nohup ignores stays ignored."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from capc import files
from capc.child_process import has_ended, process_mark, run_child, start_child
from capc.errors import ConfigError
from capc.files import REPOSITORY, socket_folder
from capc.harness.rundir import RunDirectory
from capc.harness.signals import ENDING, SignalEvents, interruptible
from capc.log_lines import LogFormatter

DRIVER = """
import subprocess, sys, threading
from capc.child_process import start_child
child = start_child([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
threading.Event().wait()
"""


def driver(program: str, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """A process, and the child that it names in its first line."""
    started = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert started.stdout is not None
    return started, int(started.stdout.readline())


def gone(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        process.wait(10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def test_a_child_ends_with_a_killed_parent() -> None:
    parent, child = driver(DRIVER)
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    assert gone(child)


def test_a_child_whose_parent_has_ended_before_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1 << 30)  # another process than the child's parent
    ended = run_child(["touch", str(tmp_path / "ran")], check=False)
    assert ended.returncode == 128 + signal.SIGKILL
    assert not (tmp_path / "ran").exists()


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_left_overs import say_and_wait\n"
        "from capc.learning.workers import Task, run_tasks\n"
        "if __name__ == '__main__':\n"
        "    run_tasks([Task('one', say_and_wait, ())], workers=1)\n"
    )
    script = tmp_path / "driver.py"
    script.write_text(program)
    started = subprocess.Popen(
        [sys.executable, str(script), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert started.stdout is not None
    worker = int(started.stdout.readline())
    started.kill()
    started.wait()
    assert gone(worker)


def say_and_wait() -> None:
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    signal.pause()


def test_marks_of_processes() -> None:
    assert not has_ended(process_mark(os.getpid()))
    assert has_ended(f"{os.getpid()}.1")  # the number of a process that had started earlier
    child = start_child(["true"])
    mark = process_mark(child.pid)
    child.wait()
    assert has_ended(mark)
    for odd in ("", "word", "12 13", "."):
        assert not has_ended(odd)


# -- folders -------------------------------------------------------------------------------


def aged(folder: Path) -> None:
    os.utime(folder, (time.time() - 60,) * 2)


HOLDING = """
import sys, threading
from pathlib import Path
from capc.files import socket_folder
from capc.harness.rundir import RunDirectory
run = RunDirectory(Path(sys.argv[1]))
run.write_run_json({"exit_status": None})
import tempfile
tempfile.tempdir = sys.argv[1]
with socket_folder("capc-t-", "control") as folder:
    print(__import__("os").getpid(), flush=True)
    threading.Event().wait()
"""


def test_the_next_run_sweeps_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed, _ = driver(HOLDING, str(tmp_path))
    running, _ = driver(HOLDING, str(tmp_path))
    finished = RunDirectory(tmp_path)
    finished.write_run_json({"exit_status": 1})
    finished.release()
    killed.kill()
    killed.wait()
    sockets, runs = sorted(tmp_path.glob("capc-t-*")), sorted(tmp_path.glob("2*/parties"))
    assert (len(sockets), len(runs)) == (2, 3)
    for folder in (*sockets, *runs):
        aged(folder)
    RunDirectory(tmp_path).release()
    with socket_folder("capc-t-", "control"):
        assert len(list(tmp_path.glob("capc-t-*"))) == 2  # the running one's, and this
    records = [json.loads(path.read_text()) for path in tmp_path.glob("2*/run.json")]
    said = sorted(str(record.get("failure")) for record in records)
    assert said == ["None", "None", "its driver was killed"]
    assert len(list(tmp_path.glob("2*/parties"))) == 3  # running, finished under --debug, new
    running.kill()
    running.wait()


def test_a_folder_of_another_user_or_of_a_moment_ago_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not files.is_abandoned(tmp_path)
    aged(tmp_path)
    assert files.is_abandoned(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not files.is_abandoned(tmp_path)
    assert not files.is_abandoned(tmp_path / "none")


def test_latest_as_a_folder_of_the_user_s_own(tmp_path: Path) -> None:
    (tmp_path / "latest" / "kept").mkdir(parents=True)
    run = RunDirectory(tmp_path)
    assert (tmp_path / "latest" / "kept").is_dir()
    assert not (tmp_path / "latest").is_symlink()
    assert (run.path / "logs").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--results_dir"):
        RunDirectory(tmp_path / "file")


# -- signals -------------------------------------------------------------------------------


@pytest.fixture
def set_signal() -> object:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_what_was_ignored_stays_ignored(
    number: signal.Signals, set_signal: Callable[..., object]
) -> None:
    set_signal(number, signal.SIG_IGN)
    with interruptible(), SignalEvents() as events:
        os.kill(os.getpid(), number)
        assert not events.clear()
        assert signal.getsignal(number) == signal.SIG_IGN
        ended = run_child([sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(number)})"])
        assert ended.returncode == 0
    assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("number", ENDING[1:])
def test_signals_interrupt_a_driver(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert signal.getsignal(number) == before


def test_lines_of_a_log_file_carry_date_and_zone() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "words", None, None)
    line = LogFormatter("answering-0").format(record)
    when, role, words = line.split()
    assert (role, words) == ("answering-0", "words")
    assert datetime.datetime.fromisoformat(when).tzinfo is not None
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d guardian words", LogFormatter("guardian", on_terminal=True).format(record)
    )
