"""tmux as the launcher uses it: its commands, and a party that is the command of a pane."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from libtmux import Server

from capc.child_process import ExitWatch, readable, start_child
from capc.errors import ConfigError
from capc.harness.launchers.processes import (
    UNKNOWN_STATUS,
    PartySpec,
    party_environment,
    signal_group,
)

_MINIMUM_VERSION = (3, 2)
_PASSED_ON = re.compile(
    r"PATH|PYTHON\w+|VIRTUAL_ENV|LD_LIBRARY_PATH|OMP_\w+|CAPC_\w+|NGRAPH_\w+|NO_COLOR|LANG|LC_\w+"
)


class Tmux:
    """The tmux commands used here, through libtmux."""

    def __init__(self, server: Server | None = None) -> None:
        self._server = server or Server()

    def run(self, *arguments: str) -> list[str]:
        """The lines that a command prints; raises ConfigError when tmux refuses."""
        result = self._call(arguments)
        if result.returncode:
            said = " ".join(result.stderr.split()) or f"status {result.returncode}"
            raise ConfigError(
                f"tmux {arguments[0]} failed ({said}); --launcher subprocess avoids it"
            )
        return result.stdout.splitlines()

    def succeeds(self, *arguments: str) -> bool:
        """Whether tmux carries out a command."""
        return self._call(arguments).returncode == 0

    def _call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """As UTF-8 in every locale, and away from the terminal, whose Ctrl-C is the driver's."""
        try:
            return subprocess.run(
                [*self._program(), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(
                f"tmux cannot be run ({error.strerror}); --launcher subprocess avoids it"
            ) from None

    def _program(self) -> list[str]:
        server = self._server
        words = [f"-L{server.socket_name}"] if server.socket_name else []
        words += [f"-S{server.socket_path}"] if server.socket_path else []
        return ["tmux", "-u", *words]

    def show(self, target: str, *names: str) -> list[str]:
        """Format variables of a pane, each possibly empty; [] when the pane does not exist."""
        # Numbers all of them; a tab would be printed as _ where the locale is not UTF-8.
        form = ":".join(f"#{{{name}}}" for name in ("pane_id", *names))
        rows = (
            line.split(":")
            for line in self._call(("list-panes", "-a", "-F", form)).stdout.splitlines()
        )
        return next((row[1:] for row in rows if row[0] == target), [])

    def waiter(self, channel: str) -> subprocess.Popen[bytes]:
        """A process that ends when `channel` is signalled."""
        return start_child(
            [*self._program(), "wait-for", channel],
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
        respawn(tmux, pane, spec.command, spec.directory)
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
        """The end of what waits for the pane's hook, and of the party itself."""
        return [self._watch.fileno(), *([] if self._pidfd is None else [self._pidfd])]

    def poll(self) -> int | None:
        """The exit status, once tmux knows it.

        A pane is dead once its terminal closed; tmux learns the status when it reaps the child, and
        runs the hook then. Before 3.3 it does not say which signal it was.
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
        return self._pidfd is not None and readable(self._pidfd, 0)

    def signal(self, number: signal.Signals) -> None:
        """Signal the party's process group."""
        signal_group(self.pid, number)

    def screen(self) -> list[str]:
        """The lines of the pane; what stood there before its card, where it shows one."""
        with_card = self._tmux.show(self._pane, "alternate_on") == ["1"]
        return captured(self._tmux, self._pane, *(["-a"] if with_card else []))

    def close(self) -> None:
        """End what waits for the hook, and give back the descriptors."""
        if self._waiter.poll() is None:
            self._waiter.kill()
        self._waiter.wait()
        self._watch.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def respawn(tmux: Tmux, pane: str, command: Sequence[str], directory: Path) -> None:
    """Replace what runs in a pane; several words are run as they are, without a shell."""
    environment = [
        word
        for name, value in party_environment().items()
        if _PASSED_ON.fullmatch(name)
        for word in ("-e", f"{name}={value}")
    ]
    tmux.run("respawn-pane", "-k", "-t", pane, "-c", str(directory), *environment, *command)


def captured(tmux: Tmux, pane: str, *options: str) -> list[str]:
    """All lines of a pane, with its history; empty when it is gone."""
    try:
        lines = tmux.run("capture-pane", "-p", "-J", "-S", "-", *options, "-t", pane)
    except ConfigError:
        return []
    return [line.rstrip() for line in lines if line.strip() and not line.startswith("Pane is dead")]
