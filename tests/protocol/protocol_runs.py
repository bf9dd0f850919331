"""Runs of the real parties, and what they leave, as the tests read it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from capc.harness.experiment import run
from capc.harness.settings import parse_settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    status: int
    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        """The CSV of this name (queries, timings, summary), a row for a row."""
        return pd.read_csv(self.folder / f"{name}.csv")

    @property
    def record(self) -> dict[str, Any]:
        """What run.json holds."""
        content: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return content


Runner = Callable[..., Finished]


@pytest.fixture
def run_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked_parties: None) -> Runner:
    """Run an experiment with some flags; afterwards no process of it may be left."""
    return partial(_run, tmp_path, monkeypatch)


@pytest.fixture
def run_as_users_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """The same, each party started by itself."""
    return partial(_run, tmp_path, monkeypatch)


def _run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *flags: str,
    modules: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    own_models: bool = False,
) -> Finished:
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(ROOT)]))
    results = folder / "results"
    defaults = [
        *([] if own_models else ["--ignore_parties"]),
        f"--checkpoint_dir={ROOT / 'models'}",
        f"--encryption_params={ROOT / 'config' / 'fast.json'}",
        "--launcher=subprocess",
        f"--results_dir={results}",
        "--timeout=120",
    ]
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    status = run(parse_settings([*defaults, *flags]), modules)
    left = [
        process
        for process in psutil.Process().children(recursive=True)
        if process.pid not in before
    ]
    assert left == [], "a process was left behind"
    return Finished(status, (results / "latest").resolve())
