"""`make faults`: a party is killed, frozen or cut off for 2 s at each step; what the rest does.

Without `min_parties` all others have to end with status 1 in bounded time, and one of them at least
has to name the party with its host. With it they have to answer every query without an answering
party that fails. A frozen party stands for a machine that is gone without a word. A party whose
connections are cut (but for those of the circuit programs) goes on like all others: every query is
answered by all, and charged once. The table is written to standard output; the exit status is 1
where a cell is not as it has to be.
"""

from __future__ import annotations

import argparse
import csv
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from cutting import Cutting
from federations import HOST, LINKS, NAMES, Federation, federation, place, port_of

from capc.parties.federation.audit_log import entries

MOMENTS = {
    "querying": ("1a setup", "1a offline", "1a online", "1c online", "2 online", "3 online"),
    "answering-1": ("1a setup", "1a offline", "1a online", "1c online", "2 online"),
    "guardian": ("3 setup", "3 offline", "2 online", "3 online"),
}
SIGNALS = ("SIGKILL", "SIGSTOP")
NEEDED_SECONDS, SPARED_SECONDS = 4, 24  # limits of a message: where all are needed, and where not
CUT = "cut for 2 s"
CUT_SECONDS, MEND_SECONDS = 2, 20
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
        if self.signal == CUT:
            return self._cut_off()
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

    def _cut_off(self) -> list[str]:
        """The row of a party whose connections are cut each time that the step begins."""
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
            settings = {"timeout_seconds": 60, "reconnect_seconds": MEND_SECONDS}
            with ExitStack() as ending:
                made = ending.enter_context(federation(Path(folder), **settings))
                relays = []
                for caller, name in LINKS:
                    if self.party in (caller, name):
                        relay = Cutting(port_of(made, name), down_seconds=CUT_SECONDS)
                        made.through(name, ending.enter_context(relay), caller)
                        relays.append(relay)
                switch = ending.enter_context(socket.create_server((HOST, 0)))
                threading.Thread(target=_cut_when_told, args=(switch, relays), daemon=True).start()
                made.start(self.party, at=f"{switch.getsockname()[1]} {self.moment}")
                made.start(*(name for name in NAMES if name != self.party))
                began = time.monotonic()
                ended = [made.wait(name, MOST_SECONDS)[0] for name in NAMES]
                seconds = time.monotonic() - began
            cuts = sum(relay.made_cuts for relay in relays)
            right = set(ended) == {0} and cuts >= len(relays) and self._charged_once(made)
            right = right and self._all_answered(made, voters="2")
        said = f"{cuts} cuts mended" if right else f"{cuts} cuts"
        row = [self.party, self.signal, self.moment, "", f"{seconds:.1f}"]
        return [*row, " ".join(map(str, sorted(set(ended)))), said, "yes" if right else "NO"]

    def _all_answered(self, made: Federation, voters: str = "1") -> bool:
        """By the votes of so many, from the first query on."""
        rows = made.rows()
        labels = [int(row["label"]) for row in rows]
        return labels == made.labels and {row["voters"] for row in rows} == {voters}

    def _charged_once(self, made: Federation) -> bool:
        """Each query, and every log holds: `entries` raises where one does not."""
        for name in NAMES:
            events = [entry.fields["event"] for entry in entries(made.root / name / "audit.jsonl")]
            if events[-1] != "done":
                return False
        return made.charged() == len(made.labels)


def _cut_when_told(switch: socket.socket, relays: Sequence[Cutting]) -> None:
    """Whoever connects is hung up on once everything is cut."""
    with suppress(OSError):
        while True:
            with switch.accept()[0]:
                for relay in relays:
                    relay.cut()


def last_error(said: str) -> str:
    """The last line, or the one that says without whom a party goes on."""
    lines = said.splitlines()
    return "\n".join([line for line in lines if "going on without" in line] + lines[-1:])


def cells() -> Iterator[Cell]:
    """Every party, signal and moment; answering parties also where a query can do without them."""
    for party, moments in MOMENTS.items():
        for moment in moments:
            yield Cell(party, CUT, moment, None)
            for signal in SIGNALS:
                yield Cell(party, signal, moment, None)
                if party.startswith("answering") and not moment.endswith("setup"):
                    yield Cell(party, signal, moment, 1)


def main() -> int:
    """Write the table; 1 where a cell is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=(*SIGNALS, CUT), help="these cells alone")
    only = parser.parse_args().only
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    wrong = 0
    for cell in cells():
        if only not in (None, cell.signal):
            continue
        row = cell.outcome()
        table.writerow(row)
        sys.stdout.flush()
        wrong += row[-1] != "yes"
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
