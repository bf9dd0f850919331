"""Real runs: who may read what they leave, and that other votes show in nothing that is public."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from capc.data.saved_queries import save_queries
from capc.graph.layers import Dense, Input, Network, Relu, Reshape
from capc.graph.prepared import save_network
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.queries import load_queries
from capc.harness.settings import parse_settings
from capc.harness.verify import check_run
from capc.roles import MODULES

QUERIES = 2
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]?\d*(\+\d\d:?\d\d|Z)?")
DURATION = re.compile(r"\d+(\.\d+)? m?s\b")
PER_RUN = re.compile(r'("(monotonic_start|port)": |port )[0-9.]+')
TIMES = {"seconds", "median_s", "p10_s", "p90_s", "ratio"}


@pytest.fixture
def open_umask() -> Iterator[None]:
    previous = os.umask(0)
    yield
    os.umask(previous)


def voter(label: int, seed: int) -> Network:
    """A model that votes for `label`; its weights are the same numbers in an order of its own."""
    draw = np.random.default_rng(seed)
    bias = np.zeros(10)
    bias[label] = 8.0
    hidden = draw.permutation(np.linspace(-0.1, 0.1, 4 * 784)).reshape(784, 4)
    return Network(
        (
            Input("input", (), (28, 28, 1)),
            Reshape("flat", ("input",), (784,)),
            Dense("hidden", ("flat",), (4,), hidden, np.zeros(4)),
            Relu("relu", ("hidden",), (4,)),
            Dense("logits", ("relu",), (10,), np.full((4, 10), 0.01), bias),
        )
    )


def run_world(folder: Path, votes: tuple[int, ...], seed: int) -> tuple[str, Path]:
    """A run of the real parties whose models give these votes; its screen and folder."""
    folder.mkdir()
    images = np.random.default_rng(3).uniform(0, 1, (QUERIES, 28, 28, 1)).astype(np.float32)
    save_queries(folder / "queries", images, np.full(QUERIES, 3))
    networks = [voter(label, seed + party) for party, label in enumerate(votes)]
    models = [folder / f"digest-{seed + party}.npz" for party in range(len(votes))]
    for network, path in zip(networks, models, strict=True):
        save_network(network, path)
    settings = parse_settings(
        [
            *(f"--n_parties={len(votes)}", f"--n_queries={QUERIES}", "--sigma=0"),
            *(f"--dataset_path={folder / 'queries'}", f"--results_dir={folder / 'results'}"),
            *("--timeout=60", "--encryption_params=config/fast.json"),
        ]
    )
    queries = load_queries(settings)
    made = Run(settings, SubprocessLauncher(), queries, models, MODULES)
    screen = io.StringIO()
    status = made.run(
        Console(file=screen, width=200),
        lambda recorder: check_run(networks, queries, recorder.results, settings.privacy),
    )
    assert status == 0, screen.getvalue()
    return screen.getvalue(), (folder / "results" / "latest").resolve()


def without_times(text: str, folder: Path, run_id: str) -> str:
    text = text.replace(run_id, "RUN").replace(str(folder), "FOLDER")
    text = DURATION.sub("TIME", PER_RUN.sub(r"\1N", STAMP.sub("TIME", text)))
    return re.sub(r"[ ─]+", " ", text)  # a column is as wide as its widest time


def table_without_times(path: Path) -> list[str]:
    """The rows in the order of their text: parties report side by side."""
    with path.open(newline="") as file:
        rows = [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]
    return sorted(str(row) for row in rows)


@pytest.mark.usefixtures("open_umask")
def test_two_real_runs_with_other_votes_leave_the_same_public_files(tmp_path: Path) -> None:
    worlds = [("one", (3, 3, 3), 10), ("other", (3, 3, 5), 20)]
    shown, runs = zip(
        *(run_world(tmp_path / name, votes, seed) for name, votes, seed in worlds), strict=True
    )
    texts = [
        without_times(text, tmp_path / name, run.name)
        for text, run, (name, *_) in zip(shown, runs, worlds, strict=True)
    ]
    assert texts[0] == texts[1]
    names = [
        {str(path.relative_to(run)).replace(run.name, "RUN") for path in run.rglob("*")}
        for run in runs
    ]
    assert names[0] == names[1]
    for name in ("queries.csv", "timings.csv", "summary.csv"):
        assert table_without_times(runs[0] / name) == table_without_times(runs[1] / name), name
    assert (runs[0] / "queries.csv").read_bytes() == (runs[1] / "queries.csv").read_bytes()
    for name in ("run.json", "logs/driver.log"):
        one, other = (
            without_times((run / name).read_text(), tmp_path / world, run.name)
            for run, (world, *_) in zip(runs, worlds, strict=True)
        )
        assert one == other, name
    checks = [(run / "private" / "check.csv").read_bytes() for run in runs]
    assert checks[0] != checks[1]
    for run in runs:
        everything = [run, *run.rglob("*")]
        assert {path.stat().st_mode & 0o777 for path in everything if path.is_dir()} == {0o700}
        assert {path.stat().st_mode & 0o777 for path in everything if path.is_file()} == {0o600}
