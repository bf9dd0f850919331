"""Which trainer a run of `capc learn` uses."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys

from capc.child_process import run_child
from capc.errors import ConfigError

AUTO, PROCESS, VECTORISED = "auto", "process", "vectorised"
TRAINERS = (AUTO, PROCESS, VECTORISED)

_ASK = "import jax; print(jax.default_backend())"
_SECONDS = 60.0


def chosen_trainer(wanted: str) -> str:
    """`process` or `vectorised`; for `auto`, the latter where JAX finds an accelerator.

    On processors, mapped convolutions are slower than a process for each core. Raises ConfigError
    where `vectorised` is wanted and JAX is not installed.
    """
    installed = importlib.util.find_spec("jax") is not None
    if wanted == VECTORISED and not installed:
        raise ConfigError(
            "--trainer vectorised needs JAX: pip install 'capc[gpu]', or leave it out"
        )
    if wanted != AUTO:
        return wanted
    return VECTORISED if installed and _backend() not in ("", "cpu") else PROCESS


@functools.cache
def _backend() -> str:
    """What JAX computes on, asked once in a process of its own: JAX would hold the device's memory.

    Empty where it does not start.
    """
    try:
        finished = run_child(
            [sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return finished.stdout.strip() if finished.returncode == 0 else ""
