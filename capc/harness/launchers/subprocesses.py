"""Parties without a terminal: plain processes, or forks where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capc.harness.launchers.feed import Feed
from capc.harness.launchers.fork_client import LocalProcess, Starter
from capc.harness.launchers.processes import PartySpec


class SubprocessLauncher:
    """Plain processes without a terminal; everything they say goes to their log files."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.feeds: list[Feed] = []
        self._starter = Starter(0)

    def prepare(self, names: Sequence[str], run_dir: Path) -> None:
        """Choose between children and forks by the number of parties."""
        self._starter = Starter(len(names))

    def redirects(self, name: str) -> bool:
        """True: nothing has a terminal."""
        return True

    def start(self, spec: PartySpec) -> LocalProcess:
        """Start one party; ConfigError where it cannot be started."""
        return self._starter.start(spec)

    def finish(self, *, keep: bool) -> None:
        """End the process that forks; there is nothing to keep."""
        self._starter.close()

    def attach_hint(self) -> str | None:
        """None: there is nothing to attach to."""
        return None
