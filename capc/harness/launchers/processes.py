"""Party processes: how they are started, how their end is noticed, how they are ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from capc.child_process import ExitWatch, start_child
from capc.errors import ProgramError
from capc.files import REPOSITORY
from capc.unforeseen import one_line

if TYPE_CHECKING:
    from capc.harness.launchers.feed import Feed

UNKNOWN_STATUS = 255  # its pane was closed, or the process that forked it ended


@dataclass(frozen=True)
class PartySpec:
    """A party to start: its command, its working folder, and where its log goes.

    `host` names the machine that it runs on, None for this one.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    log_file: Path
    host: str | None = None


class Process(Protocol):
    """A started party, in a process group of its own."""

    @property
    def pid(self) -> int | None:
        """The leader of its group; None on another machine."""

    def exit_events(self) -> list[int]:
        """File descriptors, each readable once something about the end can be learnt."""

    def poll(self) -> int | None:
        """The exit status, minus the signal's number, or None while it runs."""

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole process group; nothing happens when it is gone."""

    def screen(self) -> list[str]:
        """What the party wrote to its own pane; empty where it has none."""

    def close(self) -> None:
        """Give back the descriptors."""


class Launcher(Protocol):
    """Where parties run."""

    notes: list[str]  # what `prepare` has to tell the user
    feeds: list[Feed]  # of panes that parties share: what the driver hears of them goes there too

    def prepare(self, names: Sequence[str], run_dir: Path) -> None:
        """Make room for these parties."""

    def redirects(self, name: str) -> bool:
        """Whether this party's standard error already goes to its log file."""

    def start(self, spec: PartySpec) -> Process:
        """Start one party; its command is complete."""

    def finish(self, *, keep: bool) -> None:
        """After all have ended: keep what the panes show, or take it away."""

    def attach_hint(self) -> str | None:
        """How to see the panes, in one line."""


def party_environment() -> dict[str, str]:
    """What parties find in their environment: the driver's, and where the package lies.

    NumPy's products are small here: threads that wait for the next one cost more than they save.
    """
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {
        "OPENBLAS_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
    }


def party_command(module: str, config: Path, control: Path) -> tuple[str, ...]:
    """The command line of a party; only public paths stand on it."""
    return (sys.executable, "-m", module, "--config", str(config), "--control", str(control))


def words_of(command: Sequence[str]) -> tuple[str, Path, Path]:
    """Module, config and control socket of a `party_command`."""
    _, _, module, _, config, _, control = command
    return module, Path(config), Path(control)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group led by `pid`, where there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_stragglers(leaders: Iterable[int], timeout_seconds: float) -> None:
    """Kill what is left of process groups whose leaders have ended, and wait until it is gone."""
    groups = set(leaders)
    with selectors.DefaultSelector() as selector:
        for pid in _members(groups):
            with contextlib.suppress(OSError, AttributeError):
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ)
        for leader in groups:
            signal_group(leader, signal.SIGKILL)
        deadline = time.monotonic() + timeout_seconds
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(deadline - time.monotonic()):
                selector.unregister(key.fileobj)
                os.close(key.fd)
        for key in list(selector.get_map().values()):
            os.close(key.fd)


def _members(groups: set[int]) -> list[int]:
    """The processes of these groups, as /proc lists them; empty where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name) state parent group ...; the name may hold spaces and brackets
            if int(entry.read_text().rpartition(")")[2].split()[2]) in groups:
                found.append(int(entry.parent.name))
    return found


class ChildProcess:
    """A party that is a child of the driver; its output goes to its log file."""

    def __init__(self, spec: PartySpec) -> None:
        try:
            with spec.log_file.open("ab") as log:
                self._child = start_child(
                    spec.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=spec.directory,
                    env=party_environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise ProgramError(f"cannot start {spec.name}: {one_line(error)}") from None
        self.pid = self._child.pid
        self._watch = ExitWatch(self._child)

    def exit_events(self) -> list[int]:
        """The descriptor of the child's end."""
        return [self._watch.fileno()]

    def poll(self) -> int | None:
        """The exit status, minus the signal's number; None while it runs."""
        return self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Signal the process group."""
        signal_group(self.pid, number)

    def screen(self) -> list[str]:
        """Nothing: there is no pane."""
        return []

    def close(self) -> None:
        """Give back the descriptor."""
        self._watch.close()


def status_text(status: int) -> str:
    """An exit status in words."""
    if status == UNKNOWN_STATUS:
        return "exit status unknown: its pane was closed, or the process that forked it ended"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
        return f"killed by signal {-status}"
    return f"exit status {status}"


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log file; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
