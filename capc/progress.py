"""Long work as it goes on: bars on a terminal, elsewhere at most a line a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from capc.console import MinuteLines, show_line


class Bar:
    """One piece of the work: how much of it is done, of how much once that is known."""

    def __init__(self, shown: Progress, title: str, total: int | None) -> None:
        self._shown = shown
        self._title = title
        self._total = total
        self._done = 0.0
        self._task = shown.add_task(title, total=total)
        self._minutes = MinuteLines(lambda text: show_line(shown.console, text))

    def advance(self, more: int) -> None:
        """Show that so much more is done."""
        self.show(self._done + more)

    def show(
        self,
        done: float,
        total: int | None = None,
        *,
        title: str | None = None,
        line: str | None = None,
    ) -> None:
        """Show that so much is done; without `total` or `title` these stay as they are.

        `line` is said where there is no terminal, by default the title and both numbers.
        """
        self._update(done, total, title)
        if not self._shown.console.is_terminal:
            self._minutes(line or f"{self._title}: {self._done:.0f} of {self._total}")

    def finish(self, title: str) -> None:
        """Show that all is done, under another title."""
        self._update(self._done if self._total is None else self._total, None, title)

    def _update(self, done: float, total: int | None, title: str | None) -> None:
        self._done = done
        self._total = self._total if total is None else total
        self._title = self._title if title is None else title
        self._shown.update(self._task, completed=done, total=total, description=title)


class Bars:
    """The bars of one command, one below the other."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    def add(self, title: str, total: int | None = None) -> Bar:
        """A bar for one more piece of the work, of `total` parts; None: not known yet."""
        return Bar(self._shown, title, total)


@contextmanager
def progress_bars(console: Console, *, unit: str = "", transient: bool = False) -> Iterator[Bars]:
    """Bars on the console while the block runs; `unit` is what they count.

    `transient` bars leave nothing behind.
    """
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([TextColumn(unit)] if unit else []),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=console, transient=transient) as shown:
        yield Bars(shown)
