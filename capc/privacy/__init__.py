"""Noise, the account of what answers cost, and the budget.

`cost`, `queries_within` and `sigma_for` plan a budget before any query is asked; `PrivacyLoss` is
what they give. docs/python.md says what of them stays as it is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capc.privacy.conversion import PrivacyLoss
    from capc.privacy.planning import cost, queries_within, sigma_for

__all__ = ["PrivacyLoss", "cost", "queries_within", "sigma_for"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'capc.privacy' has no attribute {name!r}")
    home = "conversion" if name == "PrivacyLoss" else "planning"
    return getattr(importlib.import_module(f"capc.privacy.{home}"), name)
