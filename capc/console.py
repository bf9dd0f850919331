"""What a terminal shows: tables, single lines, and quantities with their units."""

from __future__ import annotations

import math
import os

from rich.console import Console


def table_console(width: int = 120) -> Console:
    """Standard output: as wide as the terminal, or `width` columns where there is none."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=width)


def bytes_text(count: float) -> str:
    """A number of bytes with a unit, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def seconds_text(seconds: float) -> str:
    """A time with a unit that suits it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def epsilon_text(epsilon: float | None) -> str:
    """Four significant digits, "infinite", or nothing where epsilon is not known."""
    if epsilon is None:
        return ""
    return "infinite" if math.isinf(epsilon) else f"{epsilon:.4g}"


def printable(text: str) -> str:
    """Text of a party without what would steer the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "?" for character in text
    )


def show_line(console: Console, text: str, style: str = "") -> None:
    """One line as it is: not wrapped, no markup."""
    console.print(printable(text), style=style, highlight=False, markup=False, soft_wrap=True)
