"""Two worlds with the same labels, noise and seeds, and other models and votes, look the same.

What a run shows, its public files and its screen, may tell of the outputs of the protocol and of
times, and of nothing that only models or votes without noise can tell.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from capc.harness.outcome import Outcome
from capc.harness.queries import Queries
from capc.harness.recorder import Recorder
from capc.harness.settings import parse_settings
from capc.harness.verify import Check, check_run
from capc.roles import MODULES, answering
from capc.transport.control_messages import Answer, Plan, Spent, Timing

CLASSES, QUERIES, PARTIES = 4, 3, 3
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]?\d*(\+\d\d:?\d\d|Z)?")
MOMENTS = re.compile(r'("monotonic_start": )[0-9.]+|(parties are \w+ \()[0-9.]+ m?s')


def voter(label: int, shift: float = 0.0) -> Network:
    """A model that always votes for `label`, by a logit of 1 and a bit."""
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
    """What the models vote for, by a logit of 1 plus `shift` over others; `floats` as trained."""

    votes: Sequence[int]
    shift: float = 0.0
    floats: Sequence[int] | None = None


@dataclass
class Seen:
    """What a world's run showed."""

    status: int
    screen: str
    files: dict[str, str] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)


class Scripted:
    """Stands for the supervisor: the same messages in every world."""

    def __init__(self, *arguments: Any, **_: Any) -> None:
        self._recorder: Recorder = arguments[3]

    def run(self) -> Outcome:
        tell = self._recorder.on_message
        for party in range(PARTIES):
            tell(answering(party), Plan(40, 12))
        for query in range(QUERIES):
            for step in ("1a", "1b", "1c", "3"):
                tell("querying", Timing(query, step, "online", 0.25, 100, 50, 2, 1))
            tell("querying", Answer(query, True, 1))
            tell("guardian", Spent(query, 1.5 * (query + 1), 1e-5, "improved", True))
        return Outcome(exit_statuses={"guardian": 0})


def run_world(folder: Path, world: World, *flags: str) -> Seen:
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
    made = Run(settings, SubprocessLauncher(), queries, files, MODULES)
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "Supervisor", Scripted)

        def check(recorder: Recorder) -> dict[int, Check]:
            return check_run(networks, queries, recorder.results, settings.privacy, floats)

        status = made.run(Console(file=screen, width=200), check)
    run = (folder / "results" / "latest").resolve()
    seen = Seen(status, _timeless(screen.getvalue(), folder, run.name))
    for path in sorted(run.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(run)).replace(run.name, "RUN")
            kind = seen.private if name.startswith("private/") else seen.files
            kind[name] = _timeless(path.read_text(), folder, run.name)
    return seen


def _timeless(text: str, folder: Path, run_id: str) -> str:
    text = text.replace(run_id, "RUN").replace(str(folder), "FOLDER")
    return TIME.sub("TIME", MOMENTS.sub(r"\1\2TIME", text))


SAME_TOP = World((1, 1, 1)), World((1, 1, 2), shift=0.3)
ANOTHER_TOP = World((1, 1, 1)), World((2, 2, 3), shift=0.3)
PRECISION = World((1, 1, 1), floats=(2, 2, 1)), World((1, 1, 3), floats=(3, 3, 2))
WRONG = World((2, 2, 2)), World((3, 3, 0), shift=0.3)


@pytest.mark.parametrize(
    ("worlds", "flags", "status"),
    [
        (SAME_TOP, ("--sigma=0",), 0),
        (SAME_TOP, (), 0),
        (ANOTHER_TOP, ("--sigma=7",), 0),
        (ANOTHER_TOP, ("--sigma=7", "--threshold=2", "--sigma_threshold=3"), 0),
        (ANOTHER_TOP, ("--sigma=0", "--threshold=2", "--sigma_threshold=3"), 0),
        (PRECISION, ("--sigma=7",), 0),
        (WRONG, ("--sigma=0",), 3),
    ],
    ids=["no noise", "default noise", "noise", "threshold", "noise on it alone", "floats", "wrong"],
)
def test_other_votes_show_nowhere_in_public(
    tmp_path: Path, worlds: tuple[World, World], flags: tuple[str, ...], status: int
) -> None:
    one, other = (
        run_world(tmp_path / name, world, *flags)
        for name, world in zip(("one", "other"), worlds, strict=True)
    )
    assert one.status == other.status == status
    assert one.screen == other.screen
    assert one.files.keys() == other.files.keys()
    for name, text in one.files.items():
        assert text == other.files[name], name
    assert {"queries.csv", "timings.csv", "summary.csv", "run.json", "logs/driver.log"} <= set(
        one.files
    )
    assert one.private.keys() == other.private.keys()
    assert one.private["private/check.csv"] != other.private["private/check.csv"]
