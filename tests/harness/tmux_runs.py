"""Scripted parties in tmux panes, and what the panes show."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from libtmux import Server

from capc.harness.launchers.processes import PartySpec
from capc.harness.launchers.tmux import TmuxLauncher
from capc.harness.outcome import Outcome
from capc.harness.supervisor import Supervisor
from capc.transport.control_messages import Message

FAKE = Path(__file__).with_name("fake_party.py")


class Quiet:
    """An observer that shows nothing; `on` is called with every message."""

    def __init__(self) -> None:
        self.on: Callable[[str, Message], None] = lambda party, message: None

    def on_message(self, party: str, message: Message) -> None:
        """Tell `on`."""
        self.on(party, message)

    def on_state(self, party: str, state: str) -> None:
        """Nothing."""

    def refresh_at(self) -> float | None:
        """Never."""
        return None

    def refresh(self) -> None:
        """Nothing."""


def names(answering: int) -> list[str]:
    """The parties of a run with so many answering ones."""
    return [*(f"answering-{index}" for index in range(answering)), "guardian", "querying"]


def supervise(
    launcher: TmuxLauncher, parties: list[str], run_dir: Path, observer: Quiet | None = None
) -> Outcome:
    """Run scripted parties in the launcher's panes to their end."""
    (run_dir / "logs").mkdir(parents=True)
    launcher.prepare(parties, run_dir)
    specs = []
    for name in parties:
        directory = run_dir / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps({"party": name}))
        specs.append(PartySpec(name, (), directory, run_dir / "logs" / f"{name}.log"))

    def command(spec: PartySpec, control: Path) -> PartySpec:
        config = spec.directory / "config.json"
        words = (sys.executable, str(FAKE), "--config", str(config), "--control", str(control))
        return replace(spec, command=words)

    return Supervisor(
        specs,
        command,
        launcher,
        observer or Quiet(),
        setup_seconds=60,
        query_seconds=60,
        grace_seconds=2,
    ).run()


def panes(server: Server, target: str) -> list[list[str]]:
    """Of each pane of a session: its party, "1" where it has ended, its id and its title."""
    form = "#{@capc_role}\t#{pane_dead}\t#{pane_id}\t#{pane_title}"
    lines = server.cmd("list-panes", "-s", "-t", f"={target}:", "-F", form).stdout
    return [line.split("\t") for line in lines]


def text_of(server: Server, pane: str) -> str:
    """All that a pane shows or has scrolled out."""
    return "\n".join(server.cmd("capture-pane", "-p", "-J", "-S", "-", "-t", pane).stdout)
