"""What a run of the real parties leaves, as the tests read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

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
