"""CaPC: confidential and private collaborative learning (ICLR 2021), as a runnable protocol.

`run`, `learn`, `load_model` and the other functions, the module `privacy` and the errors of
`errors` are for programs of others: docs/python.md says what stays as it is. They are loaded when
they are first used, so that importing `capc` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capc import errors, privacy
    from capc.api.learning import Answers, LearnResult, MeanAccuracy, learn, load_learning
    from capc.api.model import Model, load_model
    from capc.api.result import Account, RunResult, load_run
    from capc.api.running import run

__all__ = [
    "Account",
    "Answers",
    "LearnResult",
    "MeanAccuracy",
    "Model",
    "RunResult",
    "__version__",
    "errors",
    "learn",
    "load_learning",
    "load_model",
    "load_run",
    "privacy",
    "run",
]

__version__ = "0.1.0"

_HOMES = {
    "Account": "capc.api.result",
    "Answers": "capc.api.learning",
    "LearnResult": "capc.api.learning",
    "MeanAccuracy": "capc.api.learning",
    "Model": "capc.api.model",
    "RunResult": "capc.api.result",
    "learn": "capc.api.learning",
    "load_learning": "capc.api.learning",
    "load_model": "capc.api.model",
    "load_run": "capc.api.result",
    "run": "capc.api.running",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "privacy"):
        return importlib.import_module(f"capc.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'capc' has no attribute {name!r}")
    globals()[name] = found = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
