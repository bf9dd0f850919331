"""`make faults`: a party of a federation is killed or frozen at each step; what the rest does.

Without `min_parties` all others have to end with status 1 in bounded time, and one of them at least
has to name the party with its host. With it they have to answer every query without an answering
party that fails. A frozen party stands for a machine that is gone without a word. The table is
written to standard output; the exit status is 1 where a cell is not as it has to be.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from federations import NAMES, Federation, federation, place

MOMENTS = {
    "querying": ("1a setup", "1a offline", "1a online", "1c online", "2 online", "3 online"),
    "answering-1": ("1a setup", "1a offline", "1a online", "1c online", "2 online"),
    "guardian": ("3 setup", "3 offline", "2 online", "3 online"),
}
SIGNALS = ("SIGKILL", "SIGSTOP")
NEEDED_SECONDS, SPARED_SECONDS = 4, 24  # limits of a message: where all are needed, and where not
MOST_SECONDS = 90
COLUMNS = ("party", "signal", "moment", "min_parties", "seconds", "statuses", "named by", "right")


@dataclass(frozen=True)
class Cell:
    """One fault: who, what, when, and whether a query can do without that party."""

    party: str
    signal: str
    moment: str
    min_parties: int | None

    def outcome(self) -> list[str]:
        """A row of the table, for COLUMNS."""
        limit = NEEDED_SECONDS if self.min_parties is None else SPARED_SECONDS
        settings = {"timeout_seconds": limit, "min_parties": self.min_parties}
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
            with federation(Path(folder), **settings) as made:
                others = [name for name in NAMES if name != self.party]
                made.start(self.party, at=f"{self.signal} {self.moment}")
                made.start(*others)
                began = time.monotonic()
                ended = {name: made.wait(name, MOST_SECONDS) for name in others}
                seconds = time.monotonic() - began
                culprit = place(made, self.party)
            naming = [name for name, (_, said) in ended.items() if culprit in last_error(said)]
            statuses = sorted({status for status, _ in ended.values()})
            right = (
                statuses == [1] and bool(naming)
                if self.min_parties is None
                else statuses == [0] and self._all_answered(made)
            )
        return [
            *(self.party, self.signal, self.moment, str(self.min_parties or "")),
            *(f"{seconds:.1f}", " ".join(map(str, statuses)), " ".join(naming)),
            "yes" if right else "NO",
        ]

    def _all_answered(self, made: Federation) -> bool:
        """By the votes of the rest, from the first query on."""
        with (made.root / "querying" / "labels.csv").open() as file:
            rows = list(csv.DictReader(file))
        labels = [int(row["label"]) for row in rows]
        return labels == made.labels and {row["voters"] for row in rows} == {"1"}


def last_error(said: str) -> str:
    """The last line, or the one that says without whom a party goes on."""
    lines = said.splitlines()
    return "\n".join([line for line in lines if "going on without" in line] + lines[-1:])


def cells() -> Iterator[Cell]:
    """Every party, signal and moment; answering parties also where a query can do without them."""
    for party, moments in MOMENTS.items():
        for moment in moments:
            for signal in SIGNALS:
                yield Cell(party, signal, moment, None)
                if party.startswith("answering") and not moment.endswith("setup"):
                    yield Cell(party, signal, moment, 1)


def main() -> int:
    """Write the table; 1 where a cell is wrong."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    wrong = 0
    for cell in cells():
        row = cell.outcome()
        table.writerow(row)
        sys.stdout.flush()
        wrong += row[-1] != "yes"
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
