"""Area learning: private models trained, and the vote over the query pool, through `capc learn`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from capc.bench.rows import Row, measured
from capc.errors import ProgramError
from capc.files import REPOSITORY

PARTIES = 10
EPOCHS = 2
_PRIVACY = ("sigma=2.0", "threshold=9", "sigma_threshold=6.0")


def run(_repeat: int) -> list[Row]:
    """Each stage once, in a process of its own that imports TensorFlow, with an empty cache."""
    note = f"{PARTIES} CryptoNets-ReLU on MNIST, {EPOCHS} epochs, TensorFlow's import included"
    with tempfile.TemporaryDirectory(prefix="capc-bench-") as folder:
        return [
            measured(f"learn_{stage}", "builtin", [_stage(stage, Path(folder))], note=note)
            for stage in ("train", "query")
        ]


def _stage(stage: str, folder: Path) -> float:
    settings = [f"parties={PARTIES}", "seeds=[1]", f"training.epochs={EPOCHS}"]
    settings += [f"privacy.{one}" for one in _PRIVACY]
    command = [
        *(sys.executable, "-m", "capc.cli", "learn", stage),
        f"--config={REPOSITORY / 'config' / 'learning' / 'mnist.json'}",
        *(f"--set={setting}" for setting in settings),
        f"--cache={folder / 'cache'}",
        f"--out={folder / 'out'}",
    ]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    if result.returncode:
        said = result.stderr.strip().splitlines()[-1:] or [f"status {result.returncode}"]
        raise ProgramError(f"capc learn {stage} failed: {said[0]}")
    return time.perf_counter() - start
