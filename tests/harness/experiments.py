"""Experiments whose parties are scripted, in a folder of their own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from capc.graph.layers import Dense, Input, Network, Reshape
from capc.graph.prepared import save_network
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.launchers.tmux import TmuxLauncher
from capc.harness.queries import Queries
from capc.harness.settings import Settings, parse_settings
from capc.harness.verify import check_run
from capc.roles import MODULES

CLASSES = 4
FAKES = dict.fromkeys(MODULES, "fake_party")


def constant_network(label: int) -> Network:
    """A model that always votes for `label`."""
    bias = np.zeros(CLASSES)
    bias[label] = 1.0
    return Network(
        (
            Input("input", (), (2, 2, 1)),
            Reshape("flat", ("input",), (4,)),
            Dense("logits", ("flat",), (CLASSES,), np.zeros((4, CLASSES)), bias),
        )
    )


class Bench:
    """Experiments with fake parties in a results folder of their own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.results = folder / "results"
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def settings(self, *flags: str) -> Settings:
        """The settings of two answering parties and three queries, with these flags."""
        always = (f"--results_dir={self.results}", "--n_parties=2", "--n_queries=3", "--timeout=60")
        return parse_settings([*always, "--num_classes=4", *flags])

    def run(self, *flags: str, tmux: bool = False, **who: str) -> int:
        """Run with these flags; `who` says by party how it misbehaves. The exit status."""
        behaviours = {name.replace("_", "-"): what for name, what in who.items()}
        self._monkeypatch.setenv("CAPC_FAKE", json.dumps(behaviours))
        settings = self.settings(*flags)
        model = self.folder / "model.npz"
        save_network(constant_network(1), model)
        queries = Queries(np.zeros((3, 2, 2, 1), np.float32), [1, 1, 2], (0.0, 1.0))
        launcher = TmuxLauncher(settings.session) if tmux else SubprocessLauncher()
        made = Run(settings, launcher, queries, [model, model], FAKES)
        networks = [constant_network(1)] * 2
        with (self.folder / "screen.txt").open("a") as screen:
            return made.run(
                Console(file=screen, width=200),
                lambda recorder: check_run(networks, queries, recorder.results, settings.privacy),
            )

    @property
    def latest(self) -> Path:
        """The folder of the last run."""
        return self.results / "latest"

    @property
    def screen(self) -> str:
        """All that the runs said."""
        return (self.folder / "screen.txt").read_text()

    def rows(self, name: str) -> list[dict[str, str]]:
        """A CSV of the last run."""
        with (self.latest / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def json(self) -> dict[str, Any]:
        """run.json of the last run."""
        content: dict[str, Any] = json.loads((self.latest / "run.json").read_text())
        return content
