"""What a party of a federation writes down, where a party of `capc run` tells its driver.

Each has its audit log: whom it met, what it was asked, what that cost, how it ended. The querying
party alone has the labels, in a CSV of its own; the guardian's account is its own file.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capc.errors import FileError, StoppedError
from capc.parties.federation.audit_log import AuditLog
from capc.parties.federation.metrics import (
    DONE,
    FAILED,
    RUNNING,
    STOPPING,
    Metrics,
)
from capc.parties.federation.party_file import PartyFile
from capc.roles import ANSWERING, role_of
from capc.transport.channel import Traffic
from capc.transport.endpoints import Peer

if TYPE_CHECKING:
    from capc.parties.federation.metrics_server import MetricsServer

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5
LABEL_COLUMNS = ("run", "query", "answered", "label")


class OwnRecords:
    """The party's end of a control channel that has no other end (`capc.parties.meeting.Control`).

    `run` is set once the guardian has named the run.
    """

    def __init__(self, own: PartyFile) -> None:
        """Opens the files. Raises ConfigError or FileError for one that cannot be written."""
        self._own = own
        self.metrics = Metrics(own.config)
        self._server: MetricsServer | None = None
        self.log = AuditLog(own.log)
        self.run = ""
        self._stopping = False
        self._busy = False  # not to be interrupted
        try:
            if own.metrics_port is not None:
                # Imported here: a party that serves no figures needs no HTTP.
                from capc.parties.federation.metrics_server import MetricsServer  # noqa: PLC0415

                self._server = MetricsServer(own.metrics_port, self.metrics)
            self._labels = None if own.labels is None else _Labels(own.labels)
            self.log.append("start", party=own.config.party, queries=own.config.n_queries)
        except BaseException:
            self._close_server()
            self.log.close()
            raise

    def end_on_sigterm(self) -> None:
        """From here on SIGTERM ends the party after the running query; from the main thread.

        Before a run is ready it does so at once, and an answering party between two queries too:
        it has nobody to tell.
        """
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, self._stop)

    def _stop(self, _signal: int, _frame: object) -> None:
        self._stopping = True
        self.metrics.state = STOPPING
        if not self._busy:
            # Once more where the error is lost: a handler of the log swallows those within it.
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
            raise StoppedError("stopped by its owner")

    def _note(self, event: str, **fields: Any) -> None:
        """A line of the log, which SIGTERM does not interrupt."""
        if threading.current_thread() is not threading.main_thread():
            self.log.append(event, **fields)
            return
        held, self._busy = self._busy, True
        self.log.append(event, **fields)
        self._busy = held
        if self._stopping and not held and event not in ("failed", "done"):
            raise StoppedError("stopped by its owner")

    def met(self, peer: str, log_head: str) -> None:
        """A peer whose certificate was checked and whose terms are this party's."""
        self.metrics.peer_met()
        self._note("met", peer=peer, log=log_head)

    def named(self, run: bytes) -> None:
        """All parties have met: the run begins."""
        self.run = run.hex()
        self._note("run", run=self.run)
        logger.info("all parties have met: run %s", self.run[:16])

    # -- what Control asks for -------------------------------------------------------------

    def announce(self, host: str, port: int | None, certificate: str) -> None:
        """The others know it from federation.toml."""
        if port is not None:
            logger.info("listening on %s:%d", self._own.listen, port)

    def wait_for_peers(self, timeout_seconds: float) -> Mapping[str, Peer]:
        """Everybody of federation.toml."""
        return self._own.federation.members

    def plan(self, ring_bits: int, fraction_bits: int) -> None:
        """Of federation.toml, too."""

    def ready(self) -> None:
        """Set-up is over."""
        self._busy = role_of(self._own.config.party) != ANSWERING
        self.metrics.state = RUNNING
        self._note("ready")

    def hold(self, query: int | None, step: str, phase: str) -> None:
        """A federation has no --step."""
        raise AssertionError("nobody holds the parties of a federation")

    def progress(self, query: int | None, step: str, phase: str) -> None:
        """Noted when the step is over."""
        self._busy = self._busy or query is not None

    def timing(
        self,
        query: int | None,
        step: str,
        phase: str,
        seconds: float,
        *,
        bytes_sent: int = 0,
        bytes_received: int = 0,
        rounds: int = 0,
        count: int = 1,
    ) -> None:
        """What was asked, and what it cost."""
        traffic = Traffic(bytes_sent, bytes_received, rounds)
        self.metrics.step(step, phase, seconds, traffic, count)
        cost = {"seconds": round(seconds, 6), "sent": bytes_sent, "received": bytes_received}
        cost["rounds"] = rounds
        self._note("step", query=query, count=count, step=step, phase=phase, **cost)

    def answer(self, query: int, answered: bool, label: int | None) -> None:
        """To the CSV; the log says only that there is an answer."""
        if self._labels is not None:
            self._labels.append(self.run, query, answered, label)
        self.metrics.query(answered=answered)
        self._note("answer", query=query, answered=answered)

    def spent(
        self, query: int, epsilon: float, delta: float, conversion: str, answered: bool
    ) -> None:
        """The guardian's account after a query."""
        self.metrics.query(answered=answered)
        self.metrics.spent(epsilon)
        spent = {"epsilon": round(epsilon, 6), "delta": delta, "conversion": conversion}
        self._note("spent", query=query, answered=answered, **spent)

    def refused(self, query: int, reason: str) -> None:
        """The budget is spent."""
        self.metrics.refused(self._own.config.n_queries - query)
        self._note("refused", query=query, reason=reason)

    def opened(self, query: int, name: str, values: Sequence[int], peer: str | None = None) -> None:
        """A federation has no --verify."""
        raise AssertionError("a party of a federation opens no share")

    def stopping(self) -> bool:
        """Whether SIGTERM came."""
        self._busy = role_of(self._own.config.party) != ANSWERING
        return self._stopping

    def error(self, message: str, *, of_a_peer: bool = False) -> None:
        """Why this party fails."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.metrics.state = FAILED
        self._note("failed", reason=message, of_a_peer=of_a_peer)

    def done(self) -> None:
        """The party has done its part."""
        self.metrics.state = DONE
        self._note("done")

    def close(self) -> None:
        """Close the files, and the port of the figures."""
        self._close_server()
        if self._labels is not None:
            self._labels.close()
        self.log.close()

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()


class _Labels:
    """The querying party's CSV: a row is on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if os.fstat(self._file).st_size == 0:
                self._write(LABEL_COLUMNS)
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error.strerror}") from None

    def append(self, run: str, query: int, answered: bool, label: int | None) -> None:
        """`label` None: the query was not answered."""
        try:
            self._write((run, query, str(answered).lower(), "" if label is None else label))
        except OSError as error:
            raise FileError(f"{self._path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        os.close(self._file)

    def _write(self, row: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        line = text.getvalue().encode()
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)
