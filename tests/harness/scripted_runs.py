"""Whole runs without processes: scripted messages in place of the supervisor, on given models."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from capc.graph.layers import Dense, Input, Network, Reshape
from capc.graph.prepared import save_network
from capc.harness import experiment
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.outcome import Failure, Outcome
from capc.harness.queries import Queries
from capc.harness.recorder import Recorder
from capc.harness.remarks import Remark
from capc.harness.settings import parse_settings
from capc.harness.verify import Check, check_run
from capc.roles import MODULES, answering
from capc.transport.control_messages import Answer, Plan, Spent, Timing

CLASSES, QUERIES, PARTIES = 4, 3, 3


def voter(label: int, shift: float = 0.0) -> Network:
    """A model that always votes for `label`, by a logit of 1 plus `shift`; the others have that."""
    bias = np.full(CLASSES, shift)
    bias[label] += 1.0
    return Network(
        (
            Input("input", (), (2, 2, 1)),
            Reshape("flat", ("input",), (4,)),
            Dense("logits", ("flat",), (CLASSES,), np.zeros((4, CLASSES)), bias),
        )
    )


@dataclass(frozen=True)
class World:
    """What the models vote for; `floats`: as they were trained; what was measured on one."""

    votes: Sequence[int]
    shift: float = 0.0
    floats: Sequence[int] | None = None
    measured: str = "7 of 20 right"


@dataclass(frozen=True)
class ScriptedRun:
    """What a run left; `status` None where it ended by an exception."""

    status: int | None
    screen: str
    folder: Path


class Scripted:
    """Stands for the supervisor: the same messages in every world."""

    ends = "well"

    def __init__(self, *arguments: Any, **_: Any) -> None:
        self._recorder: Recorder = arguments[3]

    def run(self) -> Outcome:
        """All queries; where it does not end well, one query."""
        tell, outcome = self._recorder.on_message, Outcome(exit_statuses={"guardian": 0})
        for party in range(PARTIES):
            tell(answering(party), Plan(40, 12))
        for query in range(QUERIES if self.ends == "well" else 1):
            for step in ("1a", "1b", "1c", "3"):
                tell("querying", Timing(query, step, "online", 0.25, 100, 50, 2, 1))
            tell("querying", Answer(query, True, 1))
            tell("guardian", Spent(query, 1.5 * (query + 1), 1e-5, "improved", True))
        if self.ends == "Ctrl-C":
            raise KeyboardInterrupt
        outcome.interrupted = self.ends == "stopped"
        if self.ends == "failed":
            outcome.failures.append(Failure("answering-1", "exit status 3"))
        return outcome


def scripted_run(folder: Path, world: World, *flags: str, ends: str = "well") -> ScriptedRun:
    """One run of scripted parties on a world's models, and the check of the experimenter."""
    folder.mkdir()
    networks = [voter(label, world.shift) for label in world.votes]
    floats = [voter(label, world.shift) for label in world.floats or world.votes]
    files = []
    for party, network in enumerate(networks):
        files.append(folder / f"model-{party}-{'-'.join(map(str, world.votes))}.npz")
        save_network(network, files[-1])
    settings = parse_settings(
        [
            *(f"--results_dir={folder / 'results'}", f"--n_parties={PARTIES}"),
            *(f"--n_queries={QUERIES}", "--num_classes=4", "--launcher=subprocess", *flags),
        ]
    )
    queries = Queries(np.zeros((QUERIES, 2, 2, 1), np.float32), [1, 1, 2], (0.0, 1.0))
    remarks = [Remark("WARNING: few labels are right", world.measured)]
    made = Run(settings, SubprocessLauncher(), queries, files, MODULES, remarks=remarks)
    screen, status = io.StringIO(), None

    def check(recorder: Recorder) -> dict[int, Check]:
        return check_run(networks, queries, recorder.results, settings.privacy, floats)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "Supervisor", Scripted)
        patch.setattr(Scripted, "ends", ends)
        try:
            status = made.run(Console(file=screen, width=200), check)
        except KeyboardInterrupt:
            assert ends == "Ctrl-C"
    latest = (folder / "results" / "latest").resolve()
    return ScriptedRun(status, screen.getvalue(), latest)
