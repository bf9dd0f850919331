"""What goes wrong between machines ends every party in bounded time, and names who and where."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest
from federations import HOST, NAMES, federation, place, require_status

from capc.cli import main
from capc.errors import ProtocolError
from capc.parties.federation.audit_log import entries
from capc.transport.endpoints import connect
from capc.transport.framing import MessageType
from capc.transport.peer import Peer
from capc.transport.tls import Identity


def test_other_terms_end_all_parties_before_anything_is_sent(tmp_path: Path) -> None:
    with federation(tmp_path) as made:
        made.change("answering-1", "federation.toml", "sigma = 0.01", "sigma = 0.02")
        made.start(*NAMES)
        ended = {name: made.wait(name, 30) for name in NAMES}
        culprit = place(made, "answering-1")
    require_status(ended, 1)
    assert f"{culprit} has privacy.sigma = 0.02, and guardian has 0.01" in ended["guardian"][1]
    for name in ("querying", "answering-0"):
        assert f"begins no run: {culprit} has privacy.sigma" in ended[name][1]
    assert "has privacy.sigma = 0.01, and answering-1 has 0.02" in ended["answering-1"][1]
    assert not (tmp_path / "guardian" / "account.json").read_text().count('"releases": [{')


def test_a_party_that_does_not_come_is_named_and_a_stranger_is_told_nothing(
    tmp_path: Path,
) -> None:
    with federation(tmp_path, meet_seconds=5) as made:
        present = ("guardian", "querying", "answering-0")
        made.start(*present)
        own = place(made, "guardian")
        port = int(own.rpartition(":")[2].rstrip(")"))
        certificate = (tmp_path / "guardian" / "party.crt").read_text()
        peer = Peer("guardian", HOST, port, certificate)
        with pytest.raises(ProtocolError):
            stranger = Identity.create("answering-1")
            channel = connect(stranger, peer, 10, until=time.monotonic() + 10)
            with channel:
                channel.recv(MessageType.HELLO, 1 << 20)
        ended = {name: made.wait(name, 30) for name in present}
        missing = place(made, "answering-1")
    require_status(ended, 1)
    assert f"{missing} did not connect within 5 seconds" in ended["guardian"][1]
    for name in ("querying", "answering-0"):
        assert f"begins no run: {missing} did not connect" in ended[name][1]


@pytest.mark.parametrize(
    ("name", "step", "phase"),
    [
        ("answering-1", "1a", "setup"),
        ("querying", "1b", "online"),
        ("guardian", "2", "online"),
    ],
)
def test_a_party_that_is_killed_ends_the_others_and_is_named_with_its_host(
    tmp_path: Path, name: str, step: str, phase: str
) -> None:
    """By one of them at least; who hears of it second-hand names whom it heard it from."""
    with federation(tmp_path, timeout_seconds=4) as made:
        made.start(name, at=f"SIGKILL {step} {phase}")
        made.start(*(other for other in NAMES if other != name))
        ended = {other: made.wait(other, 30) for other in NAMES}
        places = {other: place(made, other) for other in NAMES}
    assert ended.pop(name)[0] == -9
    require_status(ended, 1)
    last = {other: said.splitlines()[-1] for other, (_, said) in ended.items()}
    assert any(places[name] in line for line in last.values()), last
    for other, line in last.items():
        assert any(place in line for them, place in places.items() if them != other), last


def test_a_host_that_vanishes_is_named_when_the_time_is_over(tmp_path: Path) -> None:
    """A stopped process answers no more than a machine without power."""
    with federation(tmp_path, timeout_seconds=4) as made:
        made.start("answering-1", at="SIGSTOP 1a online")
        made.start("guardian", "answering-0", "querying")
        ended = {name: made.wait(name, 40) for name in ("guardian", "answering-0", "querying")}
        culprit = place(made, "answering-1")
    require_status(ended, 1)
    assert culprit in ended["querying"][1].splitlines()[-1], ended


def test_a_full_disk_ends_the_run_with_the_name_of_the_file(tmp_path: Path) -> None:
    with federation(tmp_path, timeout_seconds=4) as made:
        made.start("querying", prefix=["prlimit", "--fsize=2800"])
        made.start("guardian", "answering-0", "answering-1")
        ended = {name: made.wait(name, 30) for name in NAMES}
        culprit = place(made, "querying")
    require_status(ended, 1)
    assert f"log {tmp_path}/querying/audit.jsonl cannot be written" in ended["querying"][1]
    assert any(culprit in ended[name][1].splitlines()[-1] for name in NAMES[:3]), ended


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with federation(tmp_path) as made, contextlib.ExitStack() as held:
        port = int(place(made, "guardian").rpartition(":")[2].rstrip(")"))
        held.enter_context(socket.create_server((HOST, port)))
        made.start("guardian")
        status, said = made.wait("guardian", 30)
    assert status == 1
    assert f"cannot listen on {HOST}:{port}" in said


def test_sigterm_ends_a_run_after_the_running_query(tmp_path: Path) -> None:
    """The querying party tells all: each ends well, and what was answered is written and paid."""
    with federation(tmp_path, queries=60) as made:
        made.start(*NAMES)
        querying = made.running["querying"]
        assert querying.stderr is not None
        line = ""
        while "query 1 step 3" not in line:
            line = querying.stderr.readline()
        querying.terminate()
        ended = {name: made.wait(name, 30) for name in NAMES}
        labels = made.labels
    require_status(ended, 0)
    rows = (tmp_path / "querying" / "labels.csv").read_text().splitlines()[1:]
    assert 2 <= len(rows) < 60
    assert [int(row.rpartition(",")[2]) for row in rows] == labels[: len(rows)]
    spent = [
        e for e in entries(tmp_path / "guardian" / "audit.jsonl") if e.fields["event"] == "spent"
    ]
    assert len(spent) == len(rows)


def test_sigterm_ends_a_party_that_waits_for_others_at_once(tmp_path: Path) -> None:
    with federation(tmp_path, meet_seconds=60) as made:
        made.start("answering-0")
        answering = made.running["answering-0"]
        assert answering.stderr is not None
        while "connecting to" not in answering.stderr.readline():
            pass
        assert main(["party", "status", f"--config={tmp_path}/answering-0/party.toml"]) == 0
        answering.terminate()
        status, said = made.wait("answering-0", 10)
    assert status == 1
    assert "stopped by its owner" in said
    assert [e.fields["event"] for e in entries(tmp_path / "answering-0" / "audit.jsonl")] == [
        "start",
        "failed",
    ]
