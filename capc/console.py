"""What a terminal shows: tables, single lines, and quantities with their units."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table


class MinuteLines:
    """Lines for long work where there is no terminal: at most one a minute.

    `say` shows a line; the first one comes a minute after the start.
    """

    def __init__(self, say: Callable[[str], None], seconds: float = 60.0) -> None:
        self._say = say
        self._seconds = seconds
        self._started = self._said = time.monotonic()

    @property
    def due_at(self) -> float:
        """When the next line may come, by time.monotonic."""
        return self._said + self._seconds

    def said(self) -> None:
        """Something else was shown: the next minute begins."""
        self._said = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show `text` and the time that has passed, if a minute has."""
        now = time.monotonic()
        if now >= self.due_at:
            self._said = now
            self._say(f"{text} ({(now - self._started) / 60:.0f} min)")


def table_console(width: int = 120) -> Console:
    """Standard output: as wide as the terminal, or `width` columns where there is none.

    A notebook's gets plain lines. It says that it is a terminal, and has no cursor to move.
    """
    console = Console()
    if console.is_jupyter:
        return plain_console(width=width, force_terminal=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=width)


def show_table(
    console: Console,
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: range,
) -> None:
    """A table of measurements; columns at the places `numbers` are aligned right.

    What stands behind them may wrap.
    """
    table = Table(title=title, box=box.SIMPLE)
    for place, name in enumerate(head):
        justify: Literal["left", "right"] = "right" if place in numbers else "left"
        table.add_column(name, justify=justify, no_wrap=place < numbers.stop)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def plain_console(**settings: Any) -> Console:
    """A console that writes to its file in a notebook too, where rich would show a page instead."""
    return Console(force_jupyter=False, **settings)


def bytes_text(count: float) -> str:
    """A number of bytes with a unit, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def significant(value: float, digits: int = 3) -> str:
    """A number for a column whose head has the unit: so many significant digits, no exponent."""
    places = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def seconds_text(seconds: float) -> str:
    """A time with a unit that suits it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def epsilon_text(epsilon: float | None) -> str:
    """Four significant digits, "infinite", or nothing where epsilon is not known."""
    if epsilon is None:
        return ""
    return "infinite" if math.isinf(epsilon) else f"{epsilon:.4g}"


def counted(count: int, thing: str) -> str:
    """How many things there are, as "1 label" and "2 labels"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Text of a party without what would steer the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "?" for character in text
    )


def show_line(console: Console, text: str, style: str = "") -> None:
    """One line as it is: not wrapped, no markup."""
    console.print(printable(text), style=style, highlight=False, markup=False, soft_wrap=True)
