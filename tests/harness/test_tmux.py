"""Parties in real tmux panes: our own session, a left-over one, and the user's three panes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from libtmux import Server
from tmux_runs import Quiet, names, panes, supervise, text_of

from capc.child_process import process_mark
from capc.errors import ConfigError
from capc.harness.launchers import panes as launcher_panes
from capc.harness.launchers.tmux import TmuxLauncher
from capc.transport.control_messages import Answer, Message


def test_a_session_of_our_own(tmux_server: Server, tmp_path: Path) -> None:
    launcher = TmuxLauncher("capc")
    outcome = supervise(launcher, names(2), tmp_path / "run")
    launcher.finish(keep=True)
    assert outcome.succeeded
    assert outcome.exit_statuses == dict.fromkeys(names(2), 0)
    rows = {row[0]: row for row in panes(tmux_server, "capc")}
    assert set(rows) == {"driver", *names(2)}
    for name in names(2):
        assert rows[name][1] == "1"  # ended, and still readable
        assert rows[name][3] == name
        assert f"{name} is good" in text_of(tmux_server, rows[name][2])
        saved = tmp_path / "run" / "logs" / "panes" / f"{name}.txt"
        assert saved.read_text() == f"{name} is good\n"
    assert launcher.attach_hint() == "tmux attach -t capc"
    assert tmux_server.cmd("show-options", "-t", "capc", "-v", "@capc_driver").stdout == [
        process_mark(os.getpid())
    ]


def test_many_answering_parties_share_a_pane(tmux_server: Server, tmp_path: Path) -> None:
    launcher = TmuxLauncher("capc")
    outcome = supervise(launcher, names(7), tmp_path / "run")
    assert outcome.succeeded
    rows = {row[0]: row for row in panes(tmux_server, "capc")}
    assert set(rows) == {
        *("driver", "answering-0", "answering-1", "answering-2", "answering-3 to answering-6"),
        *("guardian", "querying"),
    }
    log = tmp_path / "run" / "logs" / "answering-5.log"
    assert log.read_text() == "answering-5 is good\n"
    launcher.finish(keep=True)


def test_a_second_run_takes_over_the_session(tmux_server: Server, tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        launcher = TmuxLauncher("capc")
        assert supervise(launcher, names(1), tmp_path / attempt).succeeded
        launcher.finish(keep=True)
        assert launcher.attach_hint() == "tmux attach -t capc"
    windows = tmux_server.cmd("list-windows", "-t", "capc").stdout
    assert len(windows) == 1


def test_a_session_of_that_name_that_is_not_ours(tmux_server: Server, tmp_path: Path) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "capc", "cat")
    launcher = TmuxLauncher("capc")
    assert supervise(launcher, names(1), tmp_path / "run").succeeded
    launcher.finish(keep=True)
    assert launcher.attach_hint() == "tmux attach -t capc-2"
    assert any("capc-2" in note for note in launcher.notes)
    assert [row[0] for row in panes(tmux_server, "capc")] == [""]


def test_a_session_of_a_driver_that_lives(tmux_server: Server, tmp_path: Path) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "capc", "cat")
    tmux_server.cmd("set-option", "-t", "capc", "@capc_driver", str(os.getppid()))
    launcher = TmuxLauncher("capc")
    assert supervise(launcher, names(1), tmp_path / "run").succeeded
    launcher.finish(keep=False)
    assert [row[0] for row in panes(tmux_server, "capc")] == [""]


def test_after_a_failure_the_session_goes_but_not_others(
    tmux_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "other", "cat")
    monkeypatch.setenv("CAPC_FAKE", json.dumps({"guardian": "exit3", "answering-0": "hang"}))
    launcher = TmuxLauncher("capc")
    outcome = supervise(launcher, names(1), tmp_path / "run")
    launcher.finish(keep=False)
    assert outcome.exit_statuses["guardian"] == 3
    assert outcome.cause is not None
    assert outcome.cause.party == "guardian"
    assert outcome.tail[-1] == "the last words of this party"
    assert tmux_server.cmd("list-sessions", "-F", "#{session_name}").stdout == ["other"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_party_is_noticed_by_its_signal(
    tmux_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("CAPC_FAKE", json.dumps({"answering-0": "hang"}))
    launcher, observer = TmuxLauncher("capc"), Quiet()

    def kill(party: str, message: Message) -> None:
        if isinstance(message, Answer):
            form = "#{@capc_role} #{pane_pid}"
            lines = tmux_server.cmd("list-panes", "-s", "-t", "capc", "-F", form).stdout
            pids = dict(line.rsplit(" ", 1) for line in lines)
            os.kill(int(pids["answering-0"]), number)

    observer.on = kill
    outcome = supervise(launcher, names(1), tmp_path / "run", observer)
    assert outcome.cause is not None
    assert outcome.cause.party == "answering-0"
    assert outcome.exit_statuses["answering-0"] == -number
    launcher.finish(keep=False)


def test_a_closed_pane_is_a_failure(
    tmux_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPC_FAKE", json.dumps({"answering-0": "hang"}))
    launcher, observer = TmuxLauncher("capc"), Quiet()

    def close(party: str, message: Message) -> None:
        if isinstance(message, Answer):
            tmux_server.cmd("kill-session", "-t", "capc")

    observer.on = close
    outcome = supervise(launcher, names(1), tmp_path / "run", observer)
    launcher.finish(keep=False)
    assert not outcome.succeeded


@pytest.mark.parametrize("count", [3, 4])
def test_the_users_own_panes(tmux_server: Server, tmp_path: Path, count: int) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "capc", "-x", "200", "-y", "50", "sh")
    for _ in range(count - 1):
        tmux_server.cmd("split-window", "-t", "capc", "sh")
        tmux_server.cmd("select-layout", "-t", "capc", "tiled")
    given = [row[2] for row in panes(tmux_server, "capc")]
    inside = {"TMUX": "yes", "TMUX_PANE": given[0]}
    for attempt in ("first", "second"):
        launcher = TmuxLauncher("capc", environment=inside)
        outcome = supervise(launcher, names(2), tmp_path / attempt)
        assert outcome.succeeded
        launcher.finish(keep=True)
        assert launcher.attach_hint() is None
    rows = panes(tmux_server, "capc")
    assert [row[2] for row in rows] == given
    assert rows[0][0] == ""
    assert rows[0][1] == "0"  # the driver's pane is left alone
    assert rows[2][0] == "querying"
    assert rows[1][0] == ("answering parties, guardian" if count == 3 else "answering parties")
    if count == 4:
        assert rows[3][0] == "guardian"
    assert "querying is good" in text_of(tmux_server, given[2])


def test_a_busy_pane_is_not_taken(tmux_server: Server, tmp_path: Path) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "capc", "-x", "200", "-y", "50", "sh")
    tmux_server.cmd("split-window", "-t", "capc", "cat")
    tmux_server.cmd("split-window", "-t", "capc", "sh")
    first = panes(tmux_server, "capc")[0][2]
    launcher = TmuxLauncher("capc", environment={"TMUX": "yes", "TMUX_PANE": first})
    (tmp_path / "logs").mkdir()
    with pytest.raises(ConfigError, match="runs cat"):
        launcher.prepare(names(1), tmp_path)


def test_three_panes_of_another_session_are_left_alone(tmux_server: Server, tmp_path: Path) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "work", "-x", "200", "-y", "50", "sh")
    for _ in range(2):
        tmux_server.cmd("split-window", "-t", "work", "sh")
    first = panes(tmux_server, "work")[0][2]
    launcher = TmuxLauncher("capc", environment={"TMUX": "yes", "TMUX_PANE": first})
    assert supervise(launcher, names(1), tmp_path / "run").succeeded
    launcher.finish(keep=True)
    assert [row[0] for row in panes(tmux_server, "work")] == ["", "", ""]
    assert launcher.attach_hint() == "tmux switch-client -t capc"


def test_no_tmux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"apt install tmux.*--launcher subprocess"):
        TmuxLauncher("capc")


def test_tmux_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    class Said:
        stdout = "tmux 2.9a\n"

    monkeypatch.setattr("capc.harness.launchers.panes.shutil.which", lambda name: "/usr/bin/tmux")
    monkeypatch.setattr("capc.harness.launchers.panes.subprocess.run", lambda *_, **__: Said())
    with pytest.raises(ConfigError, match=r"2\.9a is too old"):
        TmuxLauncher("capc")


def test_tmux_is_told_of_an_exit_that_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pane that is dead without a status, while the kernel says that its process has ended."""

    class Deaf:
        def show(self, target: str, *names: str) -> list[str]:
            return ["1", "", "", "4242"]

    class Waiting:
        def poll(self) -> None:
            return None

    ended, write_end = os.pipe()
    os.close(write_end)
    process = object.__new__(launcher_panes.PaneProcess)
    vars(process).update(_tmux=Deaf(), _pane="%1", _waiter=Waiting(), _pidfd=ended)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    assert process.poll() is None
    assert sent == [(4242, signal.SIGCHLD)]
    os.close(ended)


def ended_mark() -> str:
    child = subprocess.Popen(["true"])
    child.wait()
    return f"{child.pid}.1"


def test_sessions_of_killed_drivers_are_ended(tmux_server: Server, tmp_path: Path) -> None:
    marks = {
        "killed": (ended_mark(), ""),
        "reused": (f"{os.getpid()}.1", ""),  # its number is another process's now
        "finished": (ended_mark(), "1"),
        "running": (process_mark(os.getppid()), ""),
        "odd": ("what", ""),
    }
    for name, (driver, ended) in marks.items():
        tmux_server.cmd("new-session", "-d", "-s", name, "cat")
        tmux_server.cmd("set-option", "-t", f"={name}:", "@capc_driver", driver)
        if ended:
            tmux_server.cmd("set-option", "-t", f"={name}:", "@capc_ended", ended)
    tmux_server.cmd("new-session", "-d", "-s", "user", "cat")
    (tmp_path / "run" / "logs").mkdir(parents=True)
    launcher = TmuxLauncher("capc")
    launcher.prepare(names(1), tmp_path / "run")
    left = set(tmux_server.cmd("list-sessions", "-F", "#{session_name}").stdout)
    assert left == {"capc", "finished", "running", "odd", "user"}
    assert sum("left by a run that was killed" in note for note in launcher.notes) == 2
    launcher.finish(keep=False)
