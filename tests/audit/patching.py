"""Replace a function of the product in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` gives for the present function of a class or module in its place."""
    setattr(owner, name, make(getattr(owner, name)))
