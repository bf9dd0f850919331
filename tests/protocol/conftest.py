"""Runs of the real parties, in a results folder of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from protocol_runs import HERE, ROOT, Finished, Runner

from capc.harness.experiment import run
from capc.harness.settings import parse_settings


@pytest.fixture
def run_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run an experiment with some flags; afterwards no process of it may be left."""

    def runner(
        *flags: str,
        modules: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(ROOT)]))
        results = tmp_path / "results"
        defaults = [
            "--ignore_parties",
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

    return runner
