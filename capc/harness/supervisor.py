"""The supervisor: starts all parties, introduces them, and ends them all when one fails.

It waits on events only: control messages, exits of processes, signals and deadlines.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from capc.errors import ProtocolError
from capc.files import socket_folder
from capc.harness.deadlines import Deadlines
from capc.harness.launchers.processes import Launcher, PartySpec, end_stragglers, status_text
from capc.harness.lecture import Lecture
from capc.harness.outcome import Failure, Observer, Outcome
from capc.harness.signals import SignalEvents
from capc.harness.supervised_party import SupervisedParty, introduced, overdue
from capc.roles import ANSWERING, GUARDIAN, QUERYING, role_of
from capc.transport.control import ControlConnection, ControlListener
from capc.transport.control_messages import (
    Announce,
    Answer,
    Done,
    Error,
    Hello,
    Hold,
    LeftOut,
    Message,
    Peers,
    Proceed,
    Ready,
    Refused,
    Stop,
    Timing,
    encode,
)
from capc.transport.peer import Peer
from capc.unforeseen import one_line

GRACE_SECONDS = 5.0
SOCKET_PREFIX = "capc-run-"
_SETTLE_SECONDS = 0.3


class Supervisor:
    """Runs one set of parties from start to end.

    `command` gives the command line of a party for a control socket; `setup_seconds` bounds the
    time until every party is ready; `query_seconds` the time from one step's end to the next. A
    `lecture` holds the run before each step, and its deadlines with it. Once all are ready, the run
    goes on without `spare` answering parties that fail.
    """

    def __init__(
        self,
        specs: Sequence[PartySpec],
        command: Callable[[PartySpec, Path], PartySpec],
        launcher: Launcher,
        observer: Observer,
        *,
        setup_seconds: float,
        query_seconds: float,
        grace_seconds: float = GRACE_SECONDS,
        lecture: Lecture | None = None,
        spare: int = 0,
    ) -> None:
        self._parties = {spec.name: SupervisedParty(spec) for spec in specs}
        self._command = command
        self._launcher = launcher
        self._observer = observer
        self._deadlines = Deadlines(setup_seconds, query_seconds)
        self._grace_seconds = grace_seconds
        self._lecture = lecture
        self._spare = spare
        self._selector = selectors.DefaultSelector()
        self._outcome = Outcome()
        self._ending = False
        self._introduced_all = False
        self._sent: set[int] = set()

    def run(self) -> Outcome:
        """Start, introduce, watch, end. Every process is gone when this returns or raises."""
        with socket_folder(SOCKET_PREFIX, "control") as folder, SignalEvents() as signals:
            path = folder / "control"
            listener = ControlListener(path)
            self._selector.register(listener, selectors.EVENT_READ, self._on_connection)
            self._selector.register(signals, selectors.EVENT_READ, self._on_signal)
            if self._lecture is not None:
                self._selector.register(self._lecture, selectors.EVENT_READ, self._on_key)
            try:
                self._start(path)
                self._watch()
                self._hear_what_happened()
            finally:
                self._ending = True
                try:
                    self._end()
                finally:
                    self._close(listener)
        return self._outcome

    # -- starting and watching -------------------------------------------------------------

    def _start(self, control: Path) -> None:
        self._deadlines.start()
        alone = {GUARDIAN, QUERYING}  # these import for themselves while many others are forked
        for party in sorted(self._parties.values(), key=lambda one: one.name not in alone):
            self._observer.on_state(party.name, "starting")
            party.process = self._launcher.start(self._command(party.spec, control))
            for descriptor in party.process.exit_events():
                self._selector.register(descriptor, selectors.EVENT_READ, party)
        self._observer.refresh()

    def _watch(self) -> None:
        while not self._over():
            self._handle_events(self._next_deadline())
            if time.monotonic() >= self._next_deadline() and not self._over():
                self._fail(*overdue(self._parties.values(), self._deadlines))

    def _next_deadline(self) -> float:
        held = self._lecture is not None and self._lecture.asking
        return self._deadlines.next(held=held)

    def _over(self) -> bool:
        ended = all(party.exit_status is not None for party in self._parties.values())
        return ended or bool(self._outcome.failures) or self._outcome.interrupted

    def _handle_events(self, deadline: float) -> bool:
        """Wait for events, or for the deadline, and handle them; whether there were any."""
        refresh_at = self._observer.refresh_at()
        until = deadline if refresh_at is None else min(deadline, refresh_at)
        left = None if math.isinf(until) else max(0.0, until - time.monotonic())
        events = self._selector.select(left)
        self._deadlines.woke(until)
        for key, _ in events:
            if isinstance(key.data, SupervisedParty):
                if isinstance(key.fileobj, ControlConnection):
                    if key.fileobj.fileno() < 0:
                        continue  # closed by an earlier event of this round
                    self._on_readable(key.data, key.fileobj)
                else:
                    self._on_exit_event(key.data, key.fileobj)
            else:
                handle: Callable[[Any], None] = key.data
                handle(key.fileobj)
        if not self._ending and refresh_at is not None and time.monotonic() >= refresh_at:
            self._observer.refresh()
        return bool(events)

    def _on_signal(self, signals: SignalEvents) -> None:
        if signals.clear():
            if self._ending:
                self._sent.add(signal.SIGKILL)
                self._signal_all(signal.SIGKILL)
            self._outcome.interrupted = True

    def _on_key(self, lecture: Lecture) -> None:
        pressed = lecture.pressed()
        if pressed is None:  # the terminal is gone
            self._selector.unregister(lecture)
            self._outcome.interrupted = True
            return
        going, held_seconds = pressed
        self._deadlines.stand_still(held_seconds)
        self._introduce_all()
        self._let_go(going)

    def _let_go(self, names: Sequence[str]) -> None:
        for name in names:
            connection = self._parties[name].connection
            if connection is not None:
                with contextlib.suppress(ProtocolError):  # its exit, an event of its own, says why
                    connection.send(Proceed())

    # -- the control channel ---------------------------------------------------------------

    def _on_connection(self, listener: ControlListener | ControlConnection) -> None:
        if isinstance(listener, ControlListener):
            try:
                connection = listener.accept()
            except OSError as error:
                self._selector.unregister(listener)  # else it stays readable, and this loop spins
                self._fail(None, f"no party can connect any more: {one_line(error)}")
                return
            self._selector.register(connection, selectors.EVENT_READ, self._on_connection)
            return
        try:
            messages = listener.receive()
            if messages == []:
                return
            party = introduced(self._parties, messages[0] if messages else None)
        except ProtocolError as error:
            self._drop(listener)
            self._fail(
                None, f"a process opened the control channel with an invalid message: {error}"
            )
            return
        party.connection = listener
        self._selector.modify(listener, selectors.EVENT_READ, party)
        self._observer.on_state(party.name, "connecting")
        self._dispatch(party, (messages or [])[1:])

    def _on_readable(self, party: SupervisedParty, connection: ControlConnection) -> None:
        try:
            messages = connection.receive()
            if messages is None:
                self._drop(connection)
                if not party.done and not self._ending:
                    # Its exit says why, and is an event of its own: allow it the grace period.
                    party.lost = True
                    self._deadlines.lose(self._grace_seconds)
                return
            self._dispatch(party, messages)
        except ProtocolError as error:
            self._drop(connection)
            party.complained = True
            self._fail(party.name, f"sent an invalid control message: {error}")

    def _drop(self, connection: ControlConnection) -> None:
        self._selector.unregister(connection)
        connection.close()

    def _dispatch(self, party: SupervisedParty, messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, Error):
                party.complained = True
                about = {"of_a_peer": message.of_a_peer, "waits_for": message.waits_for}
                self._fail(party.name, message.message, **about)
            elif not self._ending:
                self._on_message(party, message)

    def _on_message(self, party: SupervisedParty, message: Message) -> None:
        if isinstance(message, Hello | Peers | Proceed | Stop):
            raise ProtocolError(f"{message.kind} was not expected")
        if isinstance(message, Announce):
            party.peer = Peer(party.name, message.host, message.port, message.certificate)
            self._introduce_all()
        elif isinstance(message, Hold):
            self._let_go(
                [party.name] if self._lecture is None else self._lecture.hold(party.name, message)
            )
        elif isinstance(message, Ready):
            party.ready = True
            self._observer.on_state(party.name, "ready")
            if self._all_ready:
                self._deadlines.go_on()
        elif isinstance(message, Answer | Refused | Timing):
            if self._all_ready:
                self._deadlines.go_on()
        elif isinstance(message, LeftOut):
            self._leave_out(message.peer, message.reason)
        elif isinstance(message, Done):
            party.done = True
            self._observer.on_state(party.name, "done")
        self._observer.on_message(party.name, message)

    def _leave_out(self, name: str, reason: str) -> bool:
        """Go on without an answering party, which is ended; whether the run can."""
        if name in self._outcome.left_out:
            return True
        if role_of(name) != ANSWERING or len(self._outcome.left_out) >= self._spare:
            return False
        self._outcome.left_out[name] = reason
        self._observer.on_state(name, "left out")
        process = self._parties[name].process
        if process is not None:
            process.signal(signal.SIGKILL)
        return True

    def _introduce_all(self) -> None:
        peers = [party.peer for party in self._parties.values() if party.peer is not None]
        if self._introduced_all or len(peers) < len(self._parties):
            return
        if self._lecture is not None and not self._lecture.may_introduce():
            return
        self._introduced_all = True
        line = encode(Peers(tuple(peers)))
        for party in self._parties.values():
            if party.connection is not None:
                try:
                    party.connection.send_line(line)
                except ProtocolError:
                    continue  # its exit, an event of its own, says why

    # -- ends ------------------------------------------------------------------------------

    def _on_exit_event(self, party: SupervisedParty, descriptor: Any) -> None:
        self._selector.unregister(descriptor)
        if party.exit_status is not None or party.process is None:
            return
        status = party.process.poll()
        if status is None:
            return
        party.exit_status = status
        self._read_rest(party)
        if not any(other.lost for other in self._running()):
            self._deadlines.all_found()
        if party.name in self._outcome.left_out:
            return
        if self._ending:
            foreign = party.lost or (status < 0 and -status not in self._sent)
            if foreign and not party.complained:
                self._fail(party.name, status_text(status), silent=True)
        elif not (status == 0 and party.done):
            reason = status_text(status) if status else "it ended before its part was done"
            # After a complaint the end of the same party explains nothing more.
            self._fail(party.name, reason, silent=not party.complained, of_a_peer=party.complained)

    def _read_rest(self, party: SupervisedParty) -> None:
        """What the party said before it ended is still to be heard."""
        connection = party.connection
        if connection is None or connection.fileno() < 0:
            return
        try:
            while (messages := connection.receive()) is not None:
                self._dispatch(party, messages)
        except ProtocolError as error:
            self._fail(party.name, f"sent an invalid control message: {error}")
        self._drop(connection)

    def _fail(self, party: str | None, reason: str, **about: Any) -> None:
        """`about`: the other fields of the Failure."""
        if party is not None and (host := self._parties[party].spec.host) is not None:
            reason = f"{reason} (on {host})"
        losable = party is not None and self._all_ready and not self._ending
        if party is not None and losable and self._leave_out(party, reason):
            return
        self._outcome.failures.append(Failure(party, reason, **about))
        if party is not None and not self._ending:
            self._observer.on_state(party, "failed")

    @property
    def _all_ready(self) -> bool:
        return all(party.ready for party in self._parties.values())

    def _running(self) -> list[SupervisedParty]:
        return [
            party
            for party in self._parties.values()
            if party.process is not None and party.exit_status is None
        ]

    def _signal_all(self, number: signal.Signals) -> None:
        for party in self._parties.values():
            if party.process is not None:
                party.process.signal(number)

    def _hear_what_happened(self) -> None:
        """After a complaint, the failure that caused it: it may be heard a moment later.

        A party whose peer dies often complains before the peer's own end is noticed.
        """
        started = time.monotonic()
        while not self._outcome.interrupted and self._running():
            if not self._outcome.failures or self._outcome.failures_are_explained:
                return
            more = self._outcome.is_a_wait or any(party.lost for party in self._running())
            patience = self._grace_seconds if more else _SETTLE_SECONDS
            if time.monotonic() >= started + patience:
                return
            self._handle_events(started + patience)

    def _end(self) -> None:
        """End what still runs: stop and SIGTERM, then SIGKILL."""
        for party in self._running():
            if party.connection is not None and party.connection.fileno() >= 0:
                with contextlib.suppress(ProtocolError):
                    party.connection.send(Stop())
        if not self._outcome.succeeded or self._running():
            for number in (signal.SIGTERM, signal.SIGKILL):
                self._sent.add(number)
                self._signal_all(number)
                deadline = time.monotonic() + self._grace_seconds
                while self._running() and time.monotonic() < deadline:
                    self._handle_events(deadline)
        pids = (party.process.pid for party in self._parties.values() if party.process)
        end_stragglers((pid for pid in pids if pid is not None), self._grace_seconds)
        self._outcome.exit_statuses = {
            party.name: party.exit_status for party in self._parties.values()
        }
        cause = self._outcome.cause
        if cause is not None and cause.party in self._parties:
            self._outcome.tail = self._parties[cause.party].last_words()

    def _close(self, listener: ControlListener) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, ControlConnection):
                key.fileobj.close()
        self._selector.close()
        listener.close()
        for party in self._parties.values():
            if party.process is not None:
                party.process.close()
