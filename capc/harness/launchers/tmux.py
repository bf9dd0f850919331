"""Parties as the commands of tmux panes.

Outside the user's own session the launcher makes one; in the first pane of a session of that
name with three panes or more it uses those. No keys are sent to a shell: a party is its pane's
command, and several answering parties that share a pane are followed there through their logs.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from libtmux import Server

from capc.child_process import ExitWatch
from capc.errors import ConfigError
from capc.harness.launchers.fork_client import Starter
from capc.harness.launchers.processes import (
    UNKNOWN_STATUS,
    PartySpec,
    Process,
    party_environment,
    signal_group,
)
from capc.roles import GUARDIAN, QUERYING

MAX_ANSWERING_PANES = 4
_MINIMUM_VERSION = (3, 2)
_MAX_SESSIONS = 20
_SIZE = (200, 50)
_SHELLS = {"ash", "bash", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh"}
_PASSED_ON = re.compile(r"PATH|PYTHON\w+|VIRTUAL_ENV|LD_LIBRARY_PATH|OMP_\w+|CAPC_\w+|NGRAPH_\w+")
_FOLLOW = 'trap "exit 0" TERM; tail -q -n +1 -f "$@" & wait'


class Tmux:
    """The tmux commands used here, through libtmux."""

    def __init__(self, server: Server | None = None) -> None:
        self._server = server or Server()

    def run(self, *arguments: str) -> list[str]:
        """The lines that a command prints; raises ConfigError when tmux refuses."""
        result = self._server.cmd(*arguments)
        if result.returncode:
            said = " ".join(result.stderr) or f"status {result.returncode}"
            raise ConfigError(
                f"tmux {arguments[0]} failed ({said}); --launcher subprocess avoids it"
            )
        return list(result.stdout)

    def succeeds(self, *arguments: str) -> bool:
        return self._server.cmd(*arguments).returncode == 0

    def show(self, target: str, *names: str) -> list[str]:
        """Format variables of a pane, each possibly empty; [] when the pane does not exist."""
        form = "\t".join(f"#{{{name}}}" for name in ("pane_id", *names))
        lines = self._server.cmd("list-panes", "-a", "-F", form).stdout
        rows = (line.split("\t") for line in lines)
        return next((row[1:] for row in rows if row[0] == target), [])

    def waiter(self, channel: str) -> subprocess.Popen[bytes]:
        """A process that ends when `channel` is signalled."""
        server = self._server
        socket = [f"-L{server.socket_name}"] if server.socket_name else []
        socket += [f"-S{server.socket_path}"] if server.socket_path else []
        return subprocess.Popen(
            ["tmux", *socket, "wait-for", channel],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def require_tmux() -> None:
    """Raises ConfigError when tmux is missing or too old."""
    if shutil.which("tmux") is None:
        raise ConfigError(
            "tmux is not installed: run 'apt install tmux', or add --launcher subprocess"
        )
    said = subprocess.run(["tmux", "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) < _MINIMUM_VERSION:
        raise ConfigError(
            f"{said.strip()} is too old, 3.2 is needed: update it, or add --launcher subprocess"
        )


class PaneProcess:
    """A party that is the command of its own pane."""

    def __init__(self, tmux: Tmux, pane: str, spec: PartySpec) -> None:
        self._tmux = tmux
        self._pane = pane
        channel = f"capc-{os.getpid()}-{pane.lstrip('%')}"
        tmux.run("set-hook", "-p", "-t", pane, "pane-died", f"wait-for -S {channel}")
        _respawn(tmux, pane, spec.command, spec.directory)
        shown = tmux.show(pane, "pane_pid")
        self.pid = int(shown[0]) if shown and shown[0] else -1
        if self.pid <= 0:
            raise ConfigError(f"the pane of {spec.name} was closed; start again")
        self._waiter = tmux.waiter(channel)
        self._watch = ExitWatch(self._waiter)
        self._pidfd: int | None = None
        with contextlib.suppress(OSError, AttributeError):
            self._pidfd = os.pidfd_open(self.pid)

    def exit_events(self) -> list[int]:
        return [self._watch.fileno(), *([] if self._pidfd is None else [self._pidfd])]

    def poll(self) -> int | None:
        """A pane is dead once its terminal closed; tmux learns the status when it reaps the child,
        and runs the hook then. Before 3.3 it does not say which signal it was.
        """
        # Asked first: a status that comes between the two questions is not lost.
        reaped = self._waiter.poll() is not None
        names = ("pane_dead", "pane_dead_status", "pane_dead_signal", "pid")
        shown = self._tmux.show(self._pane, *names)
        if not shown:
            return UNKNOWN_STATUS
        dead, status, number, server = shown
        if dead == "1" and number.isdigit():
            return -int(number)
        if dead == "1" and status.isdigit():
            return int(status)
        if dead == "1" and reaped:
            return UNKNOWN_STATUS
        # tmux now and then loses a child's signal after respawn-pane, and leaves a zombie.
        if self._has_exited():
            os.kill(int(server), signal.SIGCHLD)
        return None

    def _has_exited(self) -> bool:
        return self._pidfd is not None and bool(select.select([self._pidfd], [], [], 0)[0])

    def signal(self, number: signal.Signals) -> None:
        signal_group(self.pid, number)

    def screen(self) -> list[str]:
        return captured(self._tmux, self._pane)

    def close(self) -> None:
        if self._waiter.poll() is None:
            self._waiter.kill()
        self._waiter.wait()
        self._watch.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _respawn(tmux: Tmux, pane: str, command: Sequence[str], directory: Path) -> None:
    """Replace what runs in a pane; several words are run as they are, without a shell."""
    environment = [
        word
        for name, value in party_environment().items()
        if _PASSED_ON.fullmatch(name)
        for word in ("-e", f"{name}={value}")
    ]
    tmux.run("respawn-pane", "-k", "-t", pane, "-c", str(directory), *environment, *command)


def captured(tmux: Tmux, pane: str) -> list[str]:
    """All lines of a pane, with its history; empty when it is gone."""
    try:
        lines = tmux.run("capture-pane", "-p", "-J", "-S", "-", "-t", pane)
    except ConfigError:
        return []
    return [line.rstrip() for line in lines if line.strip() and not line.startswith("Pane is dead")]


@dataclass
class Layout:
    """Which pane is whose: parties with a pane of their own, and panes that follow logs."""

    own: dict[str, str] = field(default_factory=dict)
    follows: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)

    def follow(self, pane: str, title: str, logs: Sequence[str]) -> None:
        """Let `pane` show the log files of these roles."""
        self.follows.append((pane, title, tuple(logs)))


class TmuxLauncher:
    """Panes for the parties, in a session of our own or in the user's."""

    def __init__(
        self,
        session: str,
        server: Server | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        require_tmux()
        self._tmux = Tmux(server)
        self._wanted = session
        self._environment = environment
        self._layout = Layout()
        self._session: str | None = None  # the one made here
        self._run_dir = Path()
        self._starter = Starter(0)
        self.notes: list[str] = []

    def prepare(self, names: Sequence[str], run_dir: Path) -> None:
        self._run_dir = run_dir
        self._starter = Starter(len(names))
        for name in ("driver", *names):
            _log(run_dir, name).touch(mode=0o600)
        panes = self._panes_around()
        self._layout = (
            self._layout_in_new_session(names)
            if panes is None
            else _layout_in_given_panes(panes, names)
        )
        for name, pane in self._layout.own.items():
            self._name_pane(pane, name)
        for pane, title, logs in self._layout.follows:
            self._name_pane(pane, title)
            files = [str(_log(run_dir, name)) for name in logs]
            _respawn(self._tmux, pane, ("sh", "-c", _FOLLOW, "follow", *files), run_dir)

    def redirects(self, name: str) -> bool:
        return name not in self._layout.own

    def start(self, spec: PartySpec) -> Process:
        pane = self._layout.own.get(spec.name)
        return self._starter.start(spec) if pane is None else PaneProcess(self._tmux, pane, spec)

    def finish(self, *, keep: bool) -> None:
        self._starter.close()
        with contextlib.suppress(OSError):  # a full disk has been complained of already
            self._save_screens(self._run_dir / "logs" / "panes")
        for pane, _, _ in self._layout.follows:
            shown = self._tmux.show(pane, "pane_pid", "pane_dead")
            if shown and shown[0].isdigit() and shown[1] != "1":
                signal_group(int(shown[0]), signal.SIGTERM)
        if not keep and self._session is not None:
            self._tmux.succeeds("kill-session", "-t", f"={self._session}")
            self._session = None

    def _save_screens(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, pane in self._layout.own.items():
            lines = captured(self._tmux, pane)
            text = "".join(f"{line}\n" for line in lines)
            (folder / f"{name}.txt").write_text(text, encoding="utf-8", errors="replace")

    def attach_hint(self) -> str | None:
        if self._session is None:
            return None
        verb = "switch-client" if self._environment.get("TMUX") else "attach"
        return f"tmux {verb} -t {self._session}"

    # -- the user's panes ------------------------------------------------------------------

    def _panes_around(self) -> list[str] | None:
        """The panes of this window when it is a session made for us by hand, ours first."""
        ours = self._environment.get("TMUX_PANE")
        if not self._environment.get("TMUX") or not ours:
            return None
        form = "#{session_name}\t#{pane_id}\t#{pane_dead}\t#{pane_current_command}"
        rows = [line.split("\t") for line in self._tmux.run("list-panes", "-t", ours, "-F", form)]
        if len(rows) < 3 or rows[0][1] != ours:
            return None
        if rows[0][0] != self._wanted:
            self.notes.append(
                f"this tmux session is named {rows[0][0]}; with --session={rows[0][0]} its panes "
                "would be used"
            )
            return None
        for index, (_, _, dead, command) in enumerate(rows[1:4], start=1):
            if dead != "1" and command.lstrip("-") not in _SHELLS:
                raise ConfigError(
                    f"pane {index} of tmux session {self._wanted} runs {command}: end it, or "
                    "name another --session"
                )
        return [row[1] for row in rows[:4]]

    # -- a session of our own --------------------------------------------------------------

    def _layout_in_new_session(self, names: Sequence[str]) -> Layout:
        """A window with the driver's log and the parties; many answering parties share a pane."""
        first, window = self._new_window()
        layout = Layout()
        layout.follow(first, "driver", ("driver",))
        answering = [name for name in names if name not in (QUERYING, GUARDIAN)]
        alone = answering
        if len(answering) > MAX_ANSWERING_PANES:
            alone = answering[: MAX_ANSWERING_PANES - 1]
        for name in alone:
            layout.own[name] = self._split(window)
        if shared := answering[len(alone) :]:
            title = f"{shared[0]} to {shared[-1]}"
            layout.follow(self._split(window), title, shared)
        for name in (QUERYING, GUARDIAN):
            layout.own[name] = self._split(window)
        return layout

    def _new_window(self) -> tuple[str, str]:
        """The first pane and the window of this run; a session left by an earlier run is reused."""
        for attempt in range(1, _MAX_SESSIONS):
            name = self._wanted if attempt == 1 else f"{self._wanted}-{attempt}"
            if not self._tmux.succeeds("has-session", "-t", f"={name}"):
                made = self._make("new-session", name)
            elif self._is_left_over(name):
                made = self._make("new-window", name)
            else:
                continue
            if made is not None:
                if attempt > 1:
                    self.notes.append(f"tmux session {self._wanted} is in use: this is {name}")
                return made
        raise ConfigError(
            f"tmux sessions {self._wanted} to {self._wanted}-{_MAX_SESSIONS - 1} are all in use; "
            "name another --session"
        )

    def _is_left_over(self, session: str) -> bool:
        """Whether the session was made by a driver that has ended."""
        lines = self._tmux.run("show-options", "-q", "-v", "-t", f"={session}:", "@capc_driver")
        if not lines or not lines[0].isdigit():
            return False
        try:
            os.kill(int(lines[0]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return int(lines[0]) == os.getpid()

    def _make(self, verb: str, session: str) -> tuple[str, str] | None:
        """A new session, or a new window in place of the old ones; None when someone was faster."""
        fresh = verb == "new-session"
        size = shutil.get_terminal_size(_SIZE)
        where = (
            ["-s", session, "-x", str(max(size.columns, 200)), "-y", str(max(size.lines, 50))]
            if fresh
            else ["-t", f"={session}:"]
        )
        old = [] if fresh else self._our_windows(session)
        form = "#{pane_id} #{window_id}"
        command = [verb, "-d", "-P", "-F", form, *where, "-n", "run", "-c", str(self._run_dir)]
        try:
            pane, window = self._tmux.run(*command, "cat")[0].split()
        except ConfigError:
            if fresh and self._tmux.succeeds("has-session", "-t", f"={session}"):
                return None
            raise
        self._session = session
        self._tmux.run("set-option", "-t", f"={session}:", "@capc_driver", str(os.getpid()))
        self._tmux.run("set-option", "-w", "-t", window, "@capc_window", "1")
        self._tmux.run("set-option", "-w", "-t", window, "remain-on-exit", "on")
        self._tmux.run("select-window", "-t", window)
        for earlier in old:
            self._tmux.succeeds("kill-window", "-t", earlier)
        return pane, window

    def _our_windows(self, session: str) -> list[str]:
        lines = self._tmux.run(
            "list-windows", "-t", f"={session}:", "-F", "#{window_id} #{@capc_window}"
        )
        return [line.split()[0] for line in lines if line.endswith(" 1")]

    def _split(self, window: str) -> str:
        pane = self._tmux.run("split-window", "-d", "-P", "-F", "#{pane_id}", "-t", window, "cat")
        self._tmux.run("select-layout", "-t", window, "tiled")
        return pane[0]

    def _name_pane(self, pane: str, title: str) -> None:
        set_option = ("set-option", "-t", pane)
        self._tmux.run(*set_option, "-p", "remain-on-exit", "on")
        self._tmux.run(*set_option, "-p", "@capc_role", title)
        self._tmux.run("select-pane", "-t", pane, "-T", title)
        self._tmux.run(*set_option, "-w", "pane-border-status", "top")
        named = "#{?@capc_role,#{@capc_role},#{pane_title}}"
        self._tmux.run(*set_option, "-w", "pane-border-format", f" {named} ")


def _layout_in_given_panes(panes: Sequence[str], names: Sequence[str]) -> Layout:
    """Pane 1: the answering parties (and the guardian); 2: the querying party; 3: the guardian."""
    layout = Layout()
    answering = [name for name in names if name not in (QUERYING, GUARDIAN)]
    layout.own[QUERYING] = panes[2]
    if len(panes) < 4:
        layout.follow(panes[1], "answering parties, guardian", [*answering, GUARDIAN])
        return layout
    layout.own[GUARDIAN] = panes[3]
    if len(answering) == 1:
        layout.own[answering[0]] = panes[1]
    else:
        layout.follow(panes[1], "answering parties", answering)
    return layout


def _log(run_dir: Path, name: str) -> Path:
    return run_dir / "logs" / f"{name}.log"
