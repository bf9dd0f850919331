"""What a party of a federation writes down, where a party of `capc run` tells its driver.

Each has its audit log: whom it met, what it was asked, what that cost, how it ended. The querying
party alone has the labels, in a CSV of its own; the guardian's account is its own file.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from capc.errors import StoppedError
from capc.parties.federation.audit_log import AuditLog, Entry
from capc.parties.federation.labels import Labels
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
from capc.transport.peer import Peer

if TYPE_CHECKING:
    from capc.parties.federation.metrics_server import MetricsServer

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5


class OwnRecords:
    """The party's end of a control channel that has no other end (`capc.parties.meeting.Control`).

    `run` is set once the guardian has named the run.
    """

    def __init__(self, own: PartyFile) -> None:
        """Opens the files. Raises ConfigError or FileError for one that cannot be written."""
        self._own = own
        self.metrics = Metrics(own.config)
        self._server: MetricsServer | None = None
        self._asked: dict[str, tuple[int, str]] = {}
        self.log = AuditLog(own.log, self._read)
        self.run = ""
        self._asking: dict[str, Any] = {}
        self._stopping = False
        self._busy = False  # not to be interrupted
        try:
            if own.metrics_port is not None:
                # Imported here: a party that serves no figures needs no HTTP.
                from capc.parties.federation.metrics_server import MetricsServer  # noqa: PLC0415

                self._server = MetricsServer(own.metrics_port, self.metrics)
            self._labels = None if own.labels is None else Labels(own.labels)
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

    def _read(self, entry: Entry) -> None:
        """Of earlier runs: the last one of each set of queries, by its first query and its name."""
        fields = entry.fields
        if fields["event"] == "run" and "queries" in fields:
            self._asked[fields["queries"]] = (fields["first"], fields["run"])

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

    def mended(self, peer: str, seconds: float) -> None:
        """A connection that was cut goes on, after so long."""
        self._note("mended", peer=peer, seconds=round(seconds, 3))

    def named(self, run: bytes) -> None:
        """The guardian has named the run, which begins."""
        self.run = run.hex()
        self._note("run", run=self.run, **self._asking)
        logger.info("run %s begins", self.run[:16])

    def come_back(self) -> None:
        """The party was cut off from its run, and is about to meet the others again."""
        self._busy = False
        self._note("back")
        logger.info("coming back")

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

    def answer(
        self, query: int, answered: bool, label: int | None, voters: Sequence[str] | None = None
    ) -> None:
        """To the CSV; the log says only that there is an answer."""
        count = self._own.config.n_parties if voters is None else len(voters)
        if self._labels is not None:
            self._labels.append(self.run, query, answered, count, label)
        self.metrics.query(answered=answered)
        self._note("answer", query=query, answered=answered, voters=count)

    def spent(
        self, query: int, epsilon: float, delta: float, conversion: str, answered: bool
    ) -> None:
        """The guardian's account after a query."""
        self.metrics.query(answered=answered)
        self.metrics.spent(epsilon)
        spent = {"epsilon": round(epsilon, 6), "delta": delta, "conversion": conversion}
        self._note("spent", query=query, answered=answered, **spent)

    def first_query(self, queries: bytes, count: int) -> int:
        """After the queries that the last run of the same queries has brought; 0 once all are.

        What the log keeps of the queries is a hash under a key of this party alone.
        """
        key = hashlib.sha256(self._own.identity.private_key).digest()
        mark = hashlib.blake2b(queries, key=key, digest_size=16).hexdigest()
        first, run = self._asked.get(mark, (0, ""))
        if self._labels is not None and run:
            first = max(self._labels.queries(run) | {first - 1}) + 1
        if first >= count:
            first = 0
        if first:
            logger.info("going on with query %d: the labels before it are there", first)
        self._asking = {"queries": mark, "first": first}
        return first

    def refused(self, query: int, reason: str) -> None:
        """The budget is spent."""
        self.metrics.refused(self._own.config.n_queries - query)
        self._note("refused", query=query, reason=reason)

    def left_out(self, peer: str, reason: str) -> None:
        """Queries go on without an answering party."""
        logger.warning("going on without %s: %s", peer, reason)
        self._note("left_out", peer=peer, reason=reason)

    def opened(self, query: int, name: str, values: Sequence[int], peer: str | None = None) -> None:
        """A federation has no --verify."""
        raise AssertionError("a party of a federation opens no share")

    def stopping(self) -> bool:
        """Whether SIGTERM came."""
        self._busy = role_of(self._own.config.party) != ANSWERING
        return self._stopping

    def error(self, message: str, *, of_a_peer: bool = False, waits_for: str | None = None) -> None:
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
