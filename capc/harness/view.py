"""What the driver shows while a run goes on: a live table in a terminal, else plain lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from capc.console import MinuteLines, bytes_text, epsilon_text, seconds_text, show_line
from capc.roles import QUERYING

_REFRESH_SECONDS = 0.25
# Column, whether its values are numbers, and the narrowest terminal that has room for it.
_COLUMNS = (
    *(("party", False, 0), ("state", False, 0), ("query", False, 90), ("step", False, 0)),
    *(("phase", False, 80), ("time", True, 0), ("sent", True, 70), ("received", True, 70)),
    ("ε", True, 0),
)
_STATES = {"starting": "dim", "ready": "cyan", "done": "green", "failed": "bold red"}


@dataclass
class PartyRow:
    """What is shown of one party."""

    name: str
    state: str = "waiting"
    query: int | None = None
    step: str = ""
    phase: str = ""
    seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    epsilon: float | None = None


class View:
    """Plain lines, at least one a minute: for logs, pipes and terminals without a cursor."""

    def __init__(self, console: Console, rows: Sequence[PartyRow] = ()) -> None:
        self.console = console
        self._rows = rows
        self._answered = 0
        self._minutes = MinuteLines(lambda text: show_line(console, text))

    def start(self) -> None:
        """Begin to show."""

    def stop(self) -> None:
        """Show the last state and give the terminal back."""

    def line(self, text: str, style: str = "") -> None:
        """Show one line as it is."""
        self._minutes.said()
        show_line(self.console, text, style)

    def answered(self, count: int) -> None:
        """So many queries are through."""
        self._answered = count

    def changed(self) -> None:
        """Something in the rows has changed."""

    def refresh_at(self) -> float | None:
        """When to say next that the run goes on."""
        return self._minutes.due_at if self._rows else None

    def refresh(self) -> None:
        """Say that the run goes on, if nothing was said for a minute."""
        at = [row for row in self._rows if row.name == QUERYING and row.step]
        where = f", step {at[0].step} {at[0].phase}" if at else ""
        done = f"{self._answered} queries done"
        self._minutes(f"still at work: {done}, parties {states_text(self._rows)}{where}")


class LiveView(View):
    """A table with a row per party above a progress bar over the queries."""

    def __init__(self, console: Console, rows: Sequence[PartyRow], n_queries: int) -> None:
        super().__init__(console, rows)
        self._progress = Progress(
            TextColumn("queries"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("queries", total=n_queries)
        self._live = Live(console=console, auto_refresh=False)
        self._drawn = 0.0
        self._dirty = True

    def start(self) -> None:
        """Show the table."""
        self._live.start()
        self.refresh()

    def stop(self) -> None:
        """Draw the last state and give the terminal back."""
        if self._live.is_started:
            self.refresh()
            self._live.stop()

    def answered(self, count: int) -> None:
        """Move the bar over the queries."""
        self._progress.update(self._task, completed=count)
        self._dirty = True

    def changed(self) -> None:
        """Have the table drawn again, soon."""
        self._dirty = True

    def refresh_at(self) -> float | None:
        """When to draw next; None while nothing has changed."""
        return self._drawn + _REFRESH_SECONDS if self._dirty else None

    def refresh(self) -> None:
        """Draw the table and the bar."""
        self._live.update(Group(self.table(), self._progress), refresh=True)
        self._drawn = time.monotonic()
        self._dirty = False

    def table(self) -> Table:
        """The rows that fit the terminal; the rest of the answering parties in one."""
        table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
        columns = [column for column in _COLUMNS if self.console.width >= column[2]]
        for name, is_number, _ in columns:
            side: JustifyMethod = "right" if is_number else "left"
            table.add_column(name, justify=side, no_wrap=name != "state")
        room = max(3, self.console.size.height - 10)
        shown = self._rows[:room]
        for row in shown:
            cells = {
                "party": row.name,
                "state": f"[{_STATES.get(row.state, 'default')}]{row.state}",
                "query": "" if row.query is None else str(row.query),
                "step": row.step,
                "phase": row.phase,
                "time": seconds_text(row.seconds) if row.seconds else "",
                "sent": bytes_text(row.bytes_sent),
                "received": bytes_text(row.bytes_received),
                "ε": epsilon_text(row.epsilon),
            }
            table.add_row(*(cells[name] for name, _, _ in columns))
        if rest := self._rows[len(shown) :]:
            table.add_row(f"{len(rest)} more", states_text(rest))
        return table


def states_text(rows: Sequence[PartyRow]) -> str:
    """How many rows are in which state."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())
