"""The real parties under the harness: bit-exact results, and a party killed from outside."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from capc.cards.card import stage_of
from capc.cards.words import STAGES
from capc.data.saved_queries import save_queries
from capc.graph.layers import Conv2D, Dense, Input, Network, Relu, Reshape
from capc.graph.prepared import save_network
from capc.harness import lecture
from capc.harness.experiment import Run
from capc.harness.launchers.fork_client import LocalProcess
from capc.harness.launchers.processes import Launcher, PartySpec
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.lecture import Lecture
from capc.harness.queries import load_queries
from capc.harness.recorder import Recorder
from capc.harness.settings import parse_settings
from capc.harness.verify import check_run
from capc.roles import MODULES
from capc.transport.control_messages import Message, Progress, Timing

random = np.random.default_rng(11)
N_QUERIES = 5


def small_network(seed: int) -> Network:
    """A convolution, two ReLUs and two dense layers on MNIST's shape."""
    draw = np.random.default_rng(seed)
    return Network(
        (
            Input("input", (), (28, 28, 1)),
            Conv2D(
                *("conv", ("input",), (14, 14, 2)),
                draw.normal(scale=0.3, size=(5, 5, 1, 2)),
                draw.normal(size=2),
                strides=(2, 2),
                padding=((1, 2), (1, 2)),
            ),
            Relu("relu", ("conv",), (14, 14, 2)),
            Reshape("flat", ("relu",), (392,)),
            Dense("dense", ("flat",), (20,), draw.normal(scale=0.1, size=(392, 20)), np.zeros(20)),
            Relu("relu2", ("dense",), (20,)),
            Dense("logits", ("relu2",), (10,), draw.normal(scale=0.3, size=(20, 10)), np.ones(10)),
        )
    )


class WatchedLauncher(SubprocessLauncher):
    """Keeps the processes, so that a test can kill one."""

    def __init__(self) -> None:
        super().__init__()
        self.started: dict[str, LocalProcess] = {}

    def start(self, spec: PartySpec) -> LocalProcess:
        self.started[spec.name] = super().start(spec)
        return self.started[spec.name]


class Bench:
    """An experiment of the real parties on small networks, with verification."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queries = folder / "queries"
        images = random.uniform(0, 1, (N_QUERIES, 28, 28, 1)).astype(np.float32)
        save_queries(self.queries, images, np.zeros(N_QUERIES, np.int64))
        self.models = [folder / f"{index}.npz" for index in range(3)]
        for index, path in enumerate(self.models):
            save_network(small_network(index), path)
        self.networks = [small_network(index) for index in range(3)]
        self.watched = WatchedLauncher()
        self.launcher: Launcher = self.watched

    def run(self, *flags: str) -> int:
        settings = parse_settings(
            [
                *("--n_parties=3", f"--n_queries={N_QUERIES}", f"--dataset_path={self.queries}"),
                *(f"--results_dir={self.folder}", "--timeout=60", "--verify", *flags),
                "--encryption_params=config/fast.json",
            ]
        )
        queries = load_queries(settings)
        made = Run(settings, self.launcher, queries, self.models, MODULES)
        with (self.folder / "screen.txt").open("w") as screen:
            return made.run(
                Console(file=screen, width=200),
                lambda recorder: check_run(
                    self.networks, queries, recorder.results, settings.privacy
                ),
            )

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "latest" / name).open(newline="") as file:
            return list(csv.DictReader(file))


def running_members(group: int) -> list[str]:
    """The processes of a group that run; one that has ended may wait to be reaped."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().rpartition(")")
        except OSError:
            continue
        if int(rest.split()[2]) == group and rest.split()[0] not in "ZX":
            found.append(name)
    return found


@pytest.fixture
def bench(tmp_path: Path, forked_parties: None) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    "flags",
    [
        ("--sigma=3", "--threshold=3", "--sigma_threshold=1"),
        ("--sigma=3", "--batch_size=2"),
        ("--sigma=0", "--batch_size=9", "--cpu"),
    ],
    ids=["threshold", "batches", "plain"],
)
def test_every_share_equals_the_reference(bench: Bench, flags: tuple[str, ...]) -> None:
    assert bench.run(*flags) == 0
    rows = bench.rows("queries.csv")
    checks = bench.rows("private/check.csv")
    assert len(rows) == len(checks) == N_QUERIES
    assert {row["reference_agrees"] for row in checks} == {"true"}
    assert all(float(row["max_logit_error"]) < 0.05 for row in checks)
    assert all((row["label"] == "") == (row["answered"] == "false") for row in rows)
    timed = {(row["party"], row["query"], row["step"]) for row in bench.rows("timings.csv")}
    for query in range(N_QUERIES):
        for step in ("1a", "1b", "1c", "3"):
            assert ("querying", str(query), step) in timed
        assert ("guardian", str(query), "2") in timed


def test_no_step_begins_before_its_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """--step with real parties: whenever a key is asked for, nothing of that stage has happened."""
    keyboard, fingers = os.pipe()
    asked: list[tuple[int, str]] = []
    begun: list[tuple[int, str]] = []
    really_ask, really_hear = Lecture._ask, Recorder.on_message

    def ask(self: Lecture, place: tuple[int, int]) -> None:
        really_ask(self, place)
        asked.append((place[0], STAGES[place[1]]))
        assert asked[-1] not in begun
        os.write(fingers, b"x")

    def hear(self: Recorder, party: str, message: Message) -> None:
        really_hear(self, party, message)
        if isinstance(message, Progress):
            query = -1 if message.query is None else message.query
            begun.append((query, stage_of(message.step, message.phase)))
            assert begun[-1] in asked

    monkeypatch.setattr(Lecture, "_ask", ask)
    monkeypatch.setattr(Recorder, "on_message", hear)
    monkeypatch.setattr(lecture, "keys", lambda: contextlib.nullcontext(keyboard))
    assert bench.run("--sigma=3", "--batch_size=2", "--step") == 0
    assert asked == [(-1, STAGES[0]), *itertools.product((0, 2, 4), STAGES[1:])]
    assert set(begun) == set(asked)
    assert {row["reference_agrees"] for row in bench.rows("private/check.csv")} == {"true"}
    os.close(keyboard)
    os.close(fingers)


@pytest.mark.parametrize(
    ("step", "victim"), [("1a", "querying"), ("1c", "answering-1"), ("3", "guardian")]
)
def test_a_party_killed_from_outside_at_a_later_query(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, victim: str, step: str
) -> None:
    really = Recorder.on_message
    killed: list[int] = []

    def on_message(self: Recorder, party: str, message: Message) -> None:
        really(self, party, message)
        if killed or not isinstance(message, Progress | Timing):
            return
        if message.step == step and message.query == 1:
            killed.append(bench.watched.started[victim].pid)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Recorder, "on_message", on_message)
    assert bench.run("--sigma=1") == 1
    assert killed
    run = json.loads((bench.folder / "latest" / "run.json").read_text())
    assert run["parties"][victim]["exit_status"] == -signal.SIGKILL
    assert run["failure"]["party"] == victim
    assert "SIGKILL" in run["failure"]["reason"]
    for process in bench.watched.started.values():
        assert not running_members(process.pid)
