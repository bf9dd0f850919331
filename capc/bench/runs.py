"""Whole runs of the real parties, as the benchmarks read them: the CSVs that they leave."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from capc.errors import ProgramError
from capc.files import REPOSITORY
from capc.harness.launchers.processes import last_lines
from capc.roles import QUERYING


@dataclass(frozen=True)
class MeasuredRun:
    """One run: `wall_seconds` of the whole program, and its timings.csv.

    `processor_seconds` is that of all of its processes together, user and system.
    """

    wall_seconds: float
    processor_seconds: float
    timings: pandas.DataFrame
    record: dict[str, Any]

    def per_query(self, steps: tuple[str, ...], phases: tuple[str, ...]) -> list[float]:
        """Seconds of these steps and phases for each query, as the querying party saw them."""
        chosen = self._of(steps, phases)
        if "setup" in phases:
            return [float(chosen["seconds"].sum())]
        return [float(value) for value in chosen.groupby("query")["seconds"].sum()]

    def traffic(self, steps: tuple[str, ...], phases: tuple[str, ...]) -> tuple[int, int]:
        """(sent, received) by the querying party for one query, the median over queries."""
        chosen = self._of(steps, phases)
        columns = ["bytes_sent", "bytes_received"]
        if "setup" in phases:
            sums = chosen[columns].sum()
        else:
            sums = chosen.groupby("query")[columns].sum().median()
        return int(sums["bytes_sent"]), int(sums["bytes_received"])

    def sent_by_all(self) -> float:
        """Bytes that all parties sent for one query, offline and online, the median over queries.

        Those of a batch count for its queries in equal parts.
        """
        asked = self.timings[self.timings["phase"] != "setup"]
        return float(asked.groupby("query")["bytes_sent"].sum().median())

    def _of(self, steps: tuple[str, ...], phases: tuple[str, ...]) -> pandas.DataFrame:
        table = self.timings
        chosen: pandas.DataFrame = table[
            (table["party"] == QUERYING)
            & table["step"].isin(steps)
            & table["phase"].isin(phases)
        ]  # fmt: skip
        return chosen


def measured_run(
    *, config: str = "config/fast.json", n_parties: int = 1, flags: tuple[str, ...] = ()
) -> MeasuredRun:
    """Run the experiment program with the shipped model and without panes; its times.

    ProgramError, with the program's last lines, where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="capc-bench-") as folder:
        command = [
            sys.executable,
            *("-m", "capc.cli", "run"),
            f"--n_parties={n_parties}",
            "--ignore_parties",
            f"--encryption_params={REPOSITORY / config}",
            "--launcher=subprocess",
            f"--checkpoint_dir={REPOSITORY / 'models'}",
            f"--results_dir={folder}",
            *flags,
        ]
        output = Path(folder) / "output.txt"
        with output.open("wb") as log:
            start, before = time.perf_counter(), _processor_seconds()
            status = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=REPOSITORY, check=False
            ).returncode
            wall, after = time.perf_counter() - start, _processor_seconds()
        if status:
            said = " | ".join(last_lines(output, 3))
            raise ProgramError(f"{' '.join(command[1:])} ended with status {status}: {said}")
        latest = Path(folder) / "latest"
        record = json.loads((latest / "run.json").read_text())
        return MeasuredRun(wall, after - before, pandas.read_csv(latest / "timings.csv"), record)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
