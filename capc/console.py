"""Where tables are printed."""

from __future__ import annotations

import os

from rich.console import Console


def table_console(width: int = 120) -> Console:
    """Standard output: as wide as the terminal, or `width` columns where there is none."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=width)
