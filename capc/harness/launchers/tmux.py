"""Parties as the commands of tmux panes.

Outside the user's own session the launcher makes one; in the first pane of a session of that
name with three panes or more it uses those. No keys are sent to a shell: a party is its pane's
command. Several answering parties that share a pane are followed there: through what the driver
hears of them where panes show cards, else through their logs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from libtmux import Server

from capc.child_process import has_ended, process_mark
from capc.errors import ConfigError
from capc.harness.launchers.feed import Feed
from capc.harness.launchers.fork_client import Starter
from capc.harness.launchers.panes import PaneProcess, Tmux, captured, require_tmux, respawn
from capc.harness.launchers.processes import PartySpec, Process, signal_group
from capc.roles import GUARDIAN, QUERYING

MAX_ANSWERING_PANES = 4
_SMALLEST_PANE = (38, 6)  # of a card that says all it has to
_MAX_SESSIONS = 20
_SIZE = (200, 50)
_HISTORY_LINES = 10_000
_DRIVER, _ENDED, _KEPT = "@capc_driver", "@capc_ended", "@capc_kept"
# Several words run as they are: the user's default-shell, which may be none, is not asked.
_WAITING = ("sh", "-c", "cat")
_SHELLS = {"ash", "bash", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh"}
_FOLLOW = 'trap "exit 0" TERM; tail -q -n +1 -f "$@" & wait'


@dataclass
class Layout:
    """Which pane is whose: parties with a pane of their own, and panes that follow logs."""

    own: dict[str, str] = field(default_factory=dict)
    follows: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)

    def follow(self, pane: str, title: str, logs: Sequence[str]) -> None:
        """Let `pane` show the log files of these roles."""
        self.follows.append((pane, title, tuple(logs)))


class TmuxLauncher:
    """Panes for the parties, in a session of our own or in the user's.

    With `cards` they show a card of each party, during the run and after it; else its log.
    """

    def __init__(
        self,
        session: str,
        server: Server | None = None,
        environment: Mapping[str, str] = os.environ,
        *,
        cards: bool = False,
    ) -> None:
        require_tmux()
        self._tmux = Tmux(server)
        self._wanted = session
        self._environment = environment
        self._cards = cards
        self.feeds: list[Feed] = []  # what the driver hears of parties that share a pane goes there
        self._layout = Layout()
        self._session: str | None = None  # the one made here
        self._run_dir = Path()
        self._starter = Starter(0)
        self._ends_unattached = False  # the option of the user's server that was set aside
        self.notes: list[str] = []

    def prepare(self, names: Sequence[str], run_dir: Path) -> None:
        """Lay out the panes, in the user's session or in one made here."""
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
            respawn(self._tmux, pane, self._following(logs), run_dir)

    def _following(self, names: Sequence[str]) -> tuple[str, ...]:
        """The command of a pane that shows these roles."""
        if not self._cards or "driver" in names:
            files = [str(_log(self._run_dir, name)) for name in names]
            return ("sh", "-c", _FOLLOW, "follow", *files)
        self.feeds.append(Feed(names))
        return _module("capc.harness.launchers.shared_pane", self.feeds[-1].path, *names)

    def redirects(self, name: str) -> bool:
        """Whether the party has no pane of its own."""
        return name not in self._layout.own

    def start(self, spec: PartySpec) -> Process:
        """Start one party, in its pane where it has one."""
        pane = self._layout.own.get(spec.name)
        return self._starter.start(spec) if pane is None else PaneProcess(self._tmux, pane, spec)

    def finish(self, *, keep: bool) -> None:
        """Save what the panes show; end a session made here unless `keep`.

        Panes that stay and show cards go on to show the last ones, from the run's folder.
        """
        self._starter.close()
        for feed in self.feeds:
            feed.close()
        with contextlib.suppress(OSError):  # a full disk has been complained of already
            self._save_screens(self._run_dir / "logs" / "panes")
        for pane, _, _ in self._layout.follows:
            shown = self._tmux.show(pane, "pane_pid", "pane_dead")
            if shown and shown[0].isdigit() and shown[1] != "1":
                signal_group(int(shown[0]), signal.SIGTERM)
        if self._cards and (keep or self._session is None):
            self._keep_cards()
        if self._session is None:
            return
        if keep:
            self._tmux.succeeds("set-option", "-t", f"={self._session}:", _ENDED, "1")
            return
        self._tmux.succeeds("kill-session", "-t", f"={self._session}")
        if self._ends_unattached:
            self._tmux.succeeds("set-option", "-s", "exit-unattached", "on")
        self._session = None

    def _keep_cards(self) -> None:
        """The last card of each party, in the size that its pane has or will have."""
        panes: list[tuple[str, tuple[str, ...]]]
        panes = [(pane, (name,)) for name, pane in self._layout.own.items()]
        panes += [(pane, names) for pane, _, names in self._layout.follows if "driver" not in names]
        for pane, names in panes:
            with contextlib.suppress(ConfigError):  # the user has closed it
                command = _module("capc.harness.kept_card", self._run_dir, *names)
                respawn(self._tmux, pane, command, self._run_dir)
                shown = self._tmux.show(pane, "pane_pid")
                self._tmux.run("set-option", "-p", "-t", pane, _KEPT, *shown)

    def _save_screens(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, pane in self._layout.own.items():
            lines = captured(self._tmux, pane)
            text = "".join(f"{line}\n" for line in lines)
            file = folder / f"{name}.txt"
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8", errors="replace")

    def attach_hint(self) -> str | None:
        """The command that shows a session made here; None in the user's own."""
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
        # No session's name holds a colon; a command may.
        names = ("session_name", "pane_id", "pane_dead", "pane_pid", _KEPT, "pane_current_command")
        form = ":".join(f"#{{{name}}}" for name in names)
        lines = self._tmux.run("list-panes", "-t", ours, "-F", form)
        rows = [line.split(":", 5) for line in lines]
        if len(rows) < 3 or rows[0][1] != ours:
            return None
        if rows[0][0] != self._wanted:
            self.notes.append(
                f"this tmux session is named {rows[0][0]}; with --session={rows[0][0]} its panes "
                "would be used"
            )
            return None
        for index, (_, _, dead, pid, kept, command) in enumerate(rows[1:4], start=1):
            if dead != "1" and kept != pid and command.lstrip("-") not in _SHELLS:
                raise ConfigError(
                    f"pane {index} of tmux session {self._wanted} runs {command}: end it, or "
                    "name another --session"
                )
        return [row[1] for row in rows[:4]]

    # -- a session of our own --------------------------------------------------------------

    def _layout_in_new_session(self, names: Sequence[str]) -> Layout:
        """A window with the driver's log and the parties; many answering parties share a pane."""
        self._end_left_over()
        first, window = self._new_window()
        layout = Layout()
        layout.follow(first, "driver", ("driver",))
        answering = [name for name in names if name not in (QUERYING, GUARDIAN)]
        alone, most = answering, self._answering_panes()
        if len(answering) > most:
            alone = answering[: most - 1]
        for name in alone:
            layout.own[name] = self._split(window)
        if shared := answering[len(alone) :]:
            title = f"{shared[0]} to {shared[-1]}"
            layout.follow(self._split(window), title, shared)
        for name in (QUERYING, GUARDIAN):
            layout.own[name] = self._split(window)
        return layout

    def _answering_panes(self) -> int:
        """How many panes the answering parties get: fewer where cards would not fit them."""
        if not self._cards:
            return MAX_ANSWERING_PANES
        width, height = self._size()
        for count in range(MAX_ANSWERING_PANES, 1, -1):
            columns, rows = _tiles(count + 3)  # beside the driver, the guardian, the querying party
            pane = ((width - columns + 1) // columns, (height - 1) // rows - 1)
            if pane[0] >= _SMALLEST_PANE[0] and pane[1] >= _SMALLEST_PANE[1]:
                return count
        return 1

    def _size(self) -> tuple[int, int]:
        """Of a window that is made here: the terminal's, and no smaller than logs are read in."""
        size = shutil.get_terminal_size(_SIZE)
        least = (_SMALLEST_PANE[0] * 2 + 1, 24) if self._cards else _SIZE
        return max(size.columns, least[0]), max(size.lines, least[1])

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
        lines = self._tmux.run("show-options", "-q", "-v", "-t", f"={session}:", _DRIVER)
        return bool(lines) and (has_ended(lines[0]) or lines[0] == process_mark(os.getpid()))

    def _end_left_over(self) -> None:
        """End the sessions of drivers that were killed: those that ended by themselves are kept."""
        form = f"#{{{_DRIVER}}}:#{{{_ENDED}}}:#{{session_name}}"
        try:
            sessions = self._tmux.run("list-sessions", "-F", form)
        except ConfigError:
            return  # no server runs, or none any more
        for line in sessions:
            driver, ended, name = line.split(":", 2)
            if (
                not ended
                and has_ended(driver)
                and self._tmux.succeeds("kill-session", "-t", f"={name}")
            ):
                self.notes.append(f"ended tmux session {name}, left by a run that was killed")

    def _make(self, verb: str, session: str) -> tuple[str, str] | None:
        """A new session, or a new window in place of the old ones; None when someone was faster."""
        fresh = verb == "new-session"
        width, height = self._size()
        where = (
            ["-s", session, "-x", str(width), "-y", str(height)]
            if fresh
            else ["-t", f"={session}:"]
        )
        old = [] if fresh else self._our_windows(session)
        form = "#{pane_id} #{window_id}"
        command = [verb, "-d", "-P", "-F", form, *where, "-n", "run", "-c", str(self._run_dir)]
        try:
            made = self._tmux.run(*command, *_WAITING, *self._own_options(session))
            pane, window = made[0].split()
        except (ConfigError, IndexError, ValueError):
            if fresh and self._tmux.succeeds("has-session", "-t", f"={session}"):
                return None
            raise
        self._session = session
        self._tmux.run("set-option", "-w", "-t", window, "@capc_window", "1")
        self._tmux.run("set-option", "-w", "-t", window, "remain-on-exit", "on")
        self._tmux.run("select-window", "-t", window)
        for earlier in old:
            self._tmux.succeeds("kill-window", "-t", earlier)
        return pane, window

    def _own_options(self, session: str) -> list[str]:
        """More commands for the call that makes a session, so that it outlives that call.

        The user's own options may end a session, or the whole server, that nobody is attached to.
        """
        target = ("-t", f"={session}:")
        words = [
            *(";", "set-option", *target, "destroy-unattached", "off"),
            *(";", "set-option", *target, "history-limit", str(_HISTORY_LINES)),
            *(";", "set-option", *target, _DRIVER, process_mark(os.getpid())),
            *(";", "set-option", "-u", *target, _ENDED),
        ]
        if self._tmux.succeeds("list-sessions"):
            shown = self._tmux.run("show-options", "-s", "-v", "exit-unattached")
            self._ends_unattached = shown == ["on"]
            if not self._ends_unattached:
                return words
            self.notes.append("tmux's exit-unattached is off while the panes are there")
        return [*words, ";", "set-option", "-s", "exit-unattached", "off"]

    def _our_windows(self, session: str) -> list[str]:
        lines = self._tmux.run(
            "list-windows", "-t", f"={session}:", "-F", "#{window_id} #{@capc_window}"
        )
        return [line.split()[0] for line in lines if line.endswith(" 1")]

    def _split(self, window: str) -> str:
        """A new pane after all others of the window, so that parties stand in their order."""
        last = self._tmux.run("list-panes", "-t", window, "-F", "#{pane_id}")[-1]
        pane = self._tmux.run("split-window", "-d", "-P", "-F", "#{pane_id}", "-t", last, *_WAITING)
        self._tmux.run("select-layout", "-t", window, "tiled")
        return pane[0]

    def _name_pane(self, pane: str, title: str) -> None:
        set_option = ("set-option", "-t", pane)
        self._tmux.run(*set_option, "-p", "remain-on-exit", "on")
        if self._cards:  # its card says how it ended; tmux before 3.3 has no such option
            self._tmux.succeeds(*set_option, "-p", "remain-on-exit-format", "")
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


def _tiles(count: int) -> tuple[int, int]:
    """Columns and rows of so many panes, as tmux tiles them."""
    columns = rows = 1
    while columns * rows < count:
        rows += 1
        if columns * rows < count:
            columns += 1
    return columns, rows


def _module(name: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *map(str, arguments))


def _log(run_dir: Path, name: str) -> Path:
    return run_dir / "logs" / f"{name}.log"
