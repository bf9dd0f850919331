"""Docstrings as Sphinx reads them: here they are plain text, with code between single backticks."""

from __future__ import annotations

import re
from typing import Any


def as_restructured_text(*event: Any) -> None:
    """Change the lines, which come last, in place: code stays code, and nothing else is markup."""
    lines: list[str] = event[-1]
    parts = "\n".join(lines).replace("``", "`").split("`")
    parts[::2] = [re.sub(r"([*|_\\])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{' '.join(part.split())}``" for part in parts[1::2]]
    lines[:] = "".join(parts).split("\n")
