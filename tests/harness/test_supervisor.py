"""The supervisor against parties that fail in every way; plain processes, real sockets."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capc.harness.deadlines import Deadlines
from capc.harness.launchers.processes import PartySpec
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.outcome import Failure, Outcome
from capc.harness.supervisor import Supervisor
from capc.transport.control import ControlConnection, ControlListener
from capc.transport.control_messages import Announce, Answer, LeftOut, Message, Ready

FAKE = Path(__file__).with_name("fake_party.py")
NAMES = ("answering-0", "answering-1", "guardian", "querying")


class Listener:
    """An observer that keeps everything; `on` runs when a message of that party arrives."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []
        self.states: list[tuple[str, str]] = []
        self.on: Callable[[str, Message], None] = lambda party, message: None

    def on_message(self, party: str, message: Message) -> None:
        self.messages.append((party, message))
        self.on(party, message)

    def on_state(self, party: str, state: str) -> None:
        self.states.append((party, state))

    def refresh_at(self) -> float | None:
        return None

    def refresh(self) -> None:
        pass


def with_control(spec: PartySpec, control: Path) -> PartySpec:
    config = spec.directory / "config.json"
    command = (sys.executable, str(FAKE), "--config", str(config), "--control", str(control))
    return replace(spec, command=command)


def specs(folder: Path) -> list[PartySpec]:
    made = []
    for name in NAMES:
        directory = folder / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps({"party": name, "n_queries": 2}))
        made.append(PartySpec(name, (), directory, folder / f"{name}.log"))
    return made


class Bench:
    """The supervisor over fake parties, and the process ids that it started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.listener = Listener()
        self._monkeypatch = monkeypatch
        self.pids: dict[str, int] = {}

    def run(
        self,
        setup_seconds: float = 60.0,
        query_seconds: float = 60.0,
        spare: int = 0,
        **who: str,
    ) -> Outcome:
        behaviours = {name.replace("_", "-"): what for name, what in who.items()}
        self._monkeypatch.setenv("CAPC_FAKE", json.dumps(behaviours))
        bench = self

        class Launcher(SubprocessLauncher):
            def start(self, spec: PartySpec):  # type: ignore[no-untyped-def]
                process = super().start(spec)
                bench.pids[spec.name] = process.pid
                return process

        self.supervisor = Supervisor(
            specs(self.folder),
            with_control,
            Launcher(),
            self.listener,
            setup_seconds=setup_seconds,
            query_seconds=query_seconds,
            grace_seconds=1.0,
            spare=spare,
        )
        outcome = self.supervisor.run()
        self.check_nothing_runs()
        return outcome

    def check_nothing_runs(self) -> None:
        for pid in self.pids.values():
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_all_parties_succeed(bench: Bench) -> None:
    outcome = bench.run()
    assert outcome.succeeded
    assert outcome.exit_statuses == dict.fromkeys(NAMES, 0)
    answers = [message for _, message in bench.listener.messages if isinstance(message, Answer)]
    assert [answer.query for answer in answers] == [0, 1]
    for name in NAMES:
        assert [state for party, state in bench.listener.states if party == name] == [
            "starting",
            "connecting",
            "ready",
            "done",
        ]


@pytest.mark.parametrize(
    ("party", "behaviour", "reason"),
    [
        ("answering-1", "die", "SIGKILL"),
        ("querying", "die", "SIGKILL"),
        ("guardian", "exit3", "exit status 3"),
        ("answering-1", "early", "before its part was done"),
        ("querying", "crash", "exit status 1"),
        ("answering-0", "error", "give another --start_port"),
        ("querying", "late-garbage", "sent an invalid control message"),
    ],
)
def test_first_failure_ends_the_rest(bench: Bench, behaviour: str, reason: str, party: str) -> None:
    who: dict[str, Any] = {name.replace("-", "_"): "hang" for name in NAMES if name != party}
    who[party.replace("-", "_")] = behaviour
    outcome = bench.run(**who)
    assert not outcome.succeeded
    assert outcome.cause is not None
    assert outcome.cause.party == party
    assert reason in outcome.cause.reason
    for name in NAMES:
        if name != party:
            assert outcome.exit_statuses[name] == -signal.SIGTERM


def test_last_lines_of_the_party_that_failed(bench: Bench) -> None:
    outcome = bench.run(answering_0="exit3")
    assert outcome.tail[-1] == "the last words of this party"


def test_traceback_of_a_crash_is_among_the_last_lines(bench: Bench) -> None:
    outcome = bench.run(guardian="crash")
    assert outcome.tail[-1] == "RuntimeError: fell over at once"


@pytest.mark.parametrize("behaviour", ["garbage", "version", "endless"])
def test_a_first_word_that_is_no_hello(bench: Bench, behaviour: str) -> None:
    outcome = bench.run(answering_0=behaviour)
    assert outcome.cause is not None
    assert "control" in outcome.cause.reason


@pytest.mark.parametrize(
    ("behaviour", "missing"), [("absent", "did not report"), ("mute", "did not announce where")]
)
def test_a_party_that_never_announces(bench: Bench, behaviour: str, missing: str) -> None:
    expected = {(name, Announce.kind) for name in NAMES if name != "answering-1"}
    expected |= {("answering-1", "connecting")} if behaviour == "mute" else set()

    def note(party: str, what: str) -> None:
        expected.discard((party, what))
        if not expected:  # the others are there: the time is up
            bench.supervisor._deadlines._next = time.monotonic()

    bench.listener.on = lambda party, message: note(party, message.kind)
    bench.listener.on_state = note  # type: ignore[assignment, method-assign]
    outcome = bench.run(answering_1=behaviour)
    assert outcome.cause is not None
    assert outcome.cause.party == "answering-1"
    assert missing in outcome.cause.reason
    assert "within 60 seconds" in outcome.cause.reason


def test_a_query_that_is_never_answered(bench: Bench) -> None:
    outcome = bench.run(query_seconds=0.5, querying="hang")
    assert outcome.cause is not None
    assert "no party ended a step for 0.5 seconds" in outcome.cause.reason


@pytest.mark.parametrize(("spare", "succeeded"), [(1, True), (0, False)])
def test_a_run_goes_on_without_so_many_answering_parties(
    bench: Bench, spare: int, succeeded: bool
) -> None:
    """One of them stands still; the querying party says that it goes on without it."""

    def leave_out(_party: str, message: Message) -> None:
        if isinstance(message, Answer):
            bench.supervisor._on_message(
                bench.supervisor._parties["querying"], LeftOut("answering-1", "it is late")
            )

    bench.listener.on = leave_out
    outcome = bench.run(spare=spare, query_seconds=2.0, answering_1="hang")
    assert outcome.succeeded is succeeded
    assert outcome.left_out == ({"answering-1": "it is late"} if succeeded else {})


def test_time_in_which_the_driver_stood_still_does_not_count() -> None:
    deadlines = Deadlines(setup_seconds=10.0, query_seconds=5.0)
    deadlines.start()
    before = deadlines.next(held=False)
    deadlines.woke(time.monotonic() - 0.5)
    assert deadlines.next(held=False) == before
    deadlines.woke(time.monotonic() - 30.0)
    assert deadlines.next(held=False) == pytest.approx(before + 30.0, abs=1.0)


def test_a_party_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    outcome = bench.run(answering_0="stubborn", querying="error", guardian="hang")
    assert outcome.exit_statuses["answering-0"] == -signal.SIGKILL
    assert outcome.cause is not None
    assert outcome.cause.party == "querying"


@pytest.mark.parametrize("behaviour", ["children", "orphan"])
def test_children_of_a_party_end_with_it(bench: Bench, behaviour: str) -> None:
    """Even one that ignores SIGTERM, whether its parent is stopped or ends well."""
    if behaviour == "children":
        outcome = bench.run(query_seconds=0.5, answering_0=behaviour, querying="hang")
    else:
        outcome = bench.run(answering_0=behaviour)
    assert outcome.succeeded == (behaviour == "orphan")
    child = int((bench.folder / "answering-0" / "child.pid").read_text())
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_control_channel_that_closes_early(bench: Bench) -> None:
    started = time.monotonic()
    outcome = bench.run(answering_0="closes", querying="hang")
    assert time.monotonic() - started < 30
    assert outcome.cause is not None
    assert outcome.cause.party == "answering-0"


def once_all_are_ready(act: Callable[[], None]) -> Callable[[str, Message], None]:
    waiting = set(NAMES)

    def on(party: str, message: Message) -> None:
        if isinstance(message, Ready) and party in waiting:
            waiting.remove(party)
            if not waiting:
                act()

    return on


def test_a_killed_party_outranks_those_that_complain(bench: Bench) -> None:
    def kill_the_guardian() -> None:
        os.kill(bench.pids["answering-0"], signal.SIGUSR1)  # now it complains
        os.kill(bench.pids["guardian"], signal.SIGKILL)

    bench.listener.on = once_all_are_ready(kill_the_guardian)
    outcome = bench.run(guardian="hang", answering_0="complains", querying="hang")
    assert outcome.cause is not None
    assert outcome.cause.party == "guardian"
    assert "SIGKILL" in outcome.cause.reason


def test_a_party_that_falls_slowly_outranks_those_that_complain(bench: Bench) -> None:
    def fell() -> None:
        os.kill(bench.pids["guardian"], signal.SIGUSR1)
        os.kill(bench.pids["answering-0"], signal.SIGUSR1)

    bench.listener.on = once_all_are_ready(fell)
    outcome = bench.run(guardian="falls", answering_0="complains", querying="hang")
    assert outcome.cause is not None
    assert (outcome.cause.party, outcome.cause.reason) == ("guardian", "exit status 4")


def test_the_cause_is_the_first_silent_failure() -> None:
    outcome = Outcome(failures=[Failure("a", "peer gone"), Failure("b", "SIGKILL", silent=True)])
    assert outcome.cause == Failure("b", "SIGKILL", silent=True)
    assert Outcome(failures=[Failure("a", "x"), Failure("b", "y")]).cause == Failure("a", "x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_everything(bench: Bench, number: signal.Signals) -> None:
    def interrupt(party: str, message: Message) -> None:
        if isinstance(message, Answer) and message.query == 0:
            os.kill(os.getpid(), number)

    bench.listener.on = interrupt
    before = signal.getsignal(number)
    outcome = bench.run(answering_0="hang")
    assert outcome.interrupted
    assert not outcome.succeeded
    assert signal.getsignal(number) is before


def test_an_observer_that_raises_leaves_no_process(bench: Bench) -> None:
    def disk_full(party: str, message: Message) -> None:
        raise OSError("disk full")

    bench.listener.on = disk_full
    with pytest.raises(OSError, match="disk full"):
        bench.run(answering_0="hang")
    bench.check_nothing_runs()


def test_works_outside_the_main_thread(bench: Bench) -> None:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(bench.run()))
    thread.start()
    thread.join(30)
    assert outcomes
    assert outcomes[0].succeeded


def test_without_pidfd(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capc.child_process.ExitWatch._pidfd", staticmethod(lambda pid: None))
    outcome = bench.run(answering_1="die", guardian="hang")
    assert outcome.cause is not None
    assert outcome.cause.party == "answering-1"


def test_no_descriptor_is_left_for_a_party(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []

    def refuse(_listener: ControlListener) -> ControlConnection:
        calls.append(None)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ControlListener, "accept", refuse)
    outcome = bench.run()
    assert outcome.cause is not None
    assert "ulimit -n" in outcome.cause.reason
    assert len(calls) == 1  # it does not spin


def test_a_reason_comes_before_the_complaint_of_a_closed_connection() -> None:
    """Both may be heard in one moment, and in either order."""
    complaint = Failure("answering-0", "querying closed the connection", of_a_peer=True)
    reason = Failure("querying", "answering-0 sent a frame of unknown type 99")
    died = Failure("guardian", "killed by SIGKILL", silent=True)
    assert Outcome(failures=[complaint]).cause == complaint
    assert Outcome(failures=[complaint, reason]).cause == reason
    assert Outcome(failures=[complaint, reason, died]).cause == died
