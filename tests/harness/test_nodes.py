"""Parties on the nodes of a cluster, without Ray: the same workers as plain objects here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from test_party_config import GUARDIAN
from test_real_run import N_QUERIES, Bench
from test_supervisor import NAMES, Listener

from capc import ray_cluster
from capc.errors import CapcError, ConfigError, ProgramError, ProtocolError
from capc.harness.launchers.node_client import Credentials, NodeClient
from capc.harness.launchers.node_frames import Frame, Kind, receive_frame, send_frame
from capc.harness.launchers.node_worker import NodeWorker
from capc.harness.launchers.processes import PartySpec, party_command
from capc.harness.launchers.ray_launcher import Cluster, Node, NodesLauncher, dealt
from capc.harness.outcome import Outcome
from capc.harness.settings import parse_settings
from capc.harness.supervisor import Supervisor
from capc.transport.channel import Channel
from capc.transport.control_messages import Message, Ready
from capc.transport.framing import MessageType
from capc.transport.peer import Peer

HERE = Path(__file__).resolve().parent
NODES = (Node("here", "127.0.0.1", 1, True), Node("there", "127.0.0.2", 2, False))


class WorkersHere:
    """A cluster whose nodes are two addresses of this machine."""

    def __init__(self) -> None:
        self.workers = {node: NodeWorker() for node in NODES}
        self.told: list[str] = []
        self.announced: dict[Node, dict[str, Any]] = {}
        self.lost: Future[Any] = Future()  # set: Ray has noticed that "there" is gone
        self._threads = ThreadPoolExecutor(len(NODES))

    def nodes(self) -> Sequence[Node]:
        return NODES

    def start(
        self, wanted: Mapping[Node, int], certificates: Mapping[str, str]
    ) -> Mapping[Node, dict[str, Any]]:
        for node, parties in wanted.items():
            said = self.workers[node].start(node.address, parties, certificates)
            self.told += [json.dumps(dict(certificates)), json.dumps(said)]
            self.announced[node] = said
        return self.announced

    def ended(self) -> Mapping[Node, Future[Any]]:
        found = {node: self._threads.submit(self.workers[node].join) for node in self.announced}
        found[NODES[1]].add_done_callback(
            lambda ended: None if self.lost.done() else self.lost.set_result(ended.result())
        )
        return {**found, NODES[1]: self.lost}

    def end(self) -> None:
        for worker in self.workers.values():
            if worker._agent is not None and worker._agent.poll() is None:
                worker._agent.terminate()
            worker.join()
        self._threads.shutdown()


class WatchedLauncher(NodesLauncher):
    """Tells a test of its cluster."""

    def __init__(self) -> None:
        self.cluster = WorkersHere()

        @contextlib.contextmanager
        def clusters() -> Iterator[Cluster]:
            yield self.cluster

        super().__init__(clusters())


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedLauncher:
    """Its workers keep their files below tmp_path, and find the scripted party."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE, HERE.parents[1]))))
    return WatchedLauncher()


def processes(folder: Path) -> dict[str, int]:
    """What runs with a word of its command line below a folder: by the name of its file."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode(errors="replace").split("\0")
            named = [Path(word).parent.name for word in words if word.startswith(str(folder))]
            if named:
                found[named[0]] = int(entry.parent.name)
    return found


def check_nothing_is_left(folder: Path) -> None:
    assert processes(folder / "tmp") == {}
    assert list((folder / "tmp").glob("capc-node-*")) == []


def test_a_run_over_two_nodes(launcher: WatchedLauncher, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.launcher = launcher
    assert bench.run("--sigma=0.01") == 0
    assert len(bench.rows("queries.csv")) == N_QUERIES
    hosts = {name: place.host for name, place in launcher.places.items()}
    assert hosts == {
        **{"querying": "here", "guardian": "here", "answering-0": "there"},
        **{"answering-1": "there", "answering-2": "here"},
    }
    for name in hosts:
        log = (tmp_path / "latest" / "logs" / f"{name}.log").read_text()
        assert re.search(f"{name} query 0 step", log), name
    said = "".join(launcher.cluster.told)  # what Ray sees
    assert "PRIVATE KEY" not in said
    assert set(re.findall(r'"([a-z-]+)":', said)) == {
        *("driver-down", "driver-up", "port", "certificate", "version")
    }
    check_nothing_is_left(tmp_path)


class Scripted:
    """Scripted parties under the supervisor, on two nodes."""

    def __init__(
        self, folder: Path, launcher: WatchedLauncher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.launcher = folder, launcher
        self.listener = Listener()
        self._monkeypatch = monkeypatch

    def run(self, **who: str) -> Outcome:
        behaviours = {name.replace("_", "-"): what for name, what in who.items()}
        self._monkeypatch.setenv("CAPC_FAKE", json.dumps(behaviours))
        self.launcher.prepare(NAMES, self.folder)
        specs = []
        for name in NAMES:
            directory = self.folder / name
            directory.mkdir()
            replace(GUARDIAN, party=name, n_queries=1).write(directory / "config.json")
            log, host = self.folder / f"{name}.log", self.launcher.places[name].host
            specs.append(PartySpec(name, (), directory, log, host))
        supervisor = Supervisor(
            specs,
            lambda spec, control: replace(
                spec, command=party_command("fake_party", spec.directory / "config.json", control)
            ),
            self.launcher,
            self.listener,
            setup_seconds=60.0,
            query_seconds=60.0,
            grace_seconds=2.0,
        )
        try:
            return supervisor.run()
        finally:
            self.launcher.finish(keep=False)
            check_nothing_is_left(self.folder)


@pytest.fixture
def scripted(
    launcher: WatchedLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Scripted:
    return Scripted(tmp_path, launcher, monkeypatch)


def test_a_killed_party_is_named_with_its_host(scripted: Scripted) -> None:
    outcome = scripted.run(answering_1="die", querying="hang")
    assert outcome.cause is not None
    assert (outcome.cause.party, outcome.cause.reason) == (
        *("answering-1", "killed by SIGKILL (on there)"),
    )
    assert outcome.exit_statuses["answering-1"] == -signal.SIGKILL
    assert "answering-1 is die" in (scripted.folder / "answering-1.log").read_text()


def test_a_lost_worker_ends_the_run_and_is_named(scripted: Scripted) -> None:
    def lose(party: str, message: Message) -> None:
        agent = scripted.launcher.cluster.workers[NODES[1]]._agent
        if isinstance(message, Ready) and party == "answering-0" and agent is not None:
            agent.kill()

    scripted.listener.on = lose
    outcome = scripted.run(answering_0="hang", answering_1="hang", querying="hang", guardian="hang")
    assert outcome.cause is not None
    assert outcome.cause.party in ("answering-0", "answering-1")
    assert "the process that forked it ended (on there)" in outcome.cause.reason
    assert "the worker on this party's node has ended" in "".join(outcome.tail)


def test_a_node_serves_its_driver_alone_until_ray_says_that_it_is_lost(
    launcher: WatchedLauncher, tmp_path: Path
) -> None:
    cluster, credentials = launcher.cluster, Credentials.create()
    said = cluster.start({NODES[1]: 1}, credentials.certificates)[NODES[1]]
    node = Peer("node there", "127.0.0.2", said["port"], said["certificate"])
    with pytest.raises(ProtocolError):  # of a stranger with the driver's name
        stranger = NodeClient(node, Credentials.create())
        stranger._down.recv(MessageType.SUPERVISION, 1)  # TLS 1.3 says it with the first byte
    launcher._ended = cluster.ended()
    client = launcher._client(NODES[1], said, credentials)
    cluster.lost.set_exception(RuntimeError("the node does not answer"))
    client._hearing.join()
    command = party_command("fake_party", tmp_path / "config.json", tmp_path / "control")
    with pytest.raises(ProgramError, match="cannot start querying: the worker on its node has"):
        client.start(PartySpec("querying", command, tmp_path, tmp_path / "log"))
    client.close()
    cluster.end()


def test_another_version_on_a_node_is_named(launcher: WatchedLauncher) -> None:
    with pytest.raises(ConfigError, match=r"node there has capc 0\.0\.1, and this machine"):
        launcher._client(NODES[1], {"version": "0.0.1"}, Credentials.create())


@pytest.mark.parametrize("payload", [b"\x09guardian\n", b"\x03../x\n", b"\x03guardian", b"\x03\n"])
def test_frames_of_no_known_kind_or_party_are_refused(payload: bytes) -> None:
    one, two = socket.socketpair()
    with Channel(one, "one") as here, Channel(two, "two") as there:
        send_frame(here, Frame(Kind.SIGNAL, "guardian", b"9"))
        assert receive_frame(there) == Frame(Kind.SIGNAL, "guardian", b"9")
        here.send(MessageType.SUPERVISION, payload)
        with pytest.raises(ProtocolError, match="no known kind and party"):
            receive_frame(there)


def test_parties_take_turns_as_nodes_have_processors() -> None:
    big, head = Node("big", "10.0.0.2", 3, False), Node("head", "10.0.0.1", 0, True)
    small = Node("small", "10.0.0.3", 1, False)
    names = [f"answering-{index}" for index in range(6)]
    found = dealt([*names, "guardian", "querying"], [head, big, small])
    assert {name: node.name for name, node in found.items()} == {
        **{"querying": "big", "guardian": "head"},
        **dict(zip(names, ["small", "big", "big", "big", "small", "big"], strict=True)),
    }
    for nodes in ([head], [big]):
        with pytest.raises(ConfigError, match="no node with a processor"):
            dealt(["guardian", "querying"], nodes)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--ray=auto"], "--ray needs --launcher ray"),
        (["--launcher=ray", "--hosts=hosts.toml"], "--hosts is refused with --launcher ray"),
    ],
)
def test_flags_that_do_not_go_together(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_settings(flags)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What connecting to Ray puts into the environment does not outlive the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.mark.usefixtures("environment")
def test_ray_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'capc\[ray\]'"),
        ray_cluster.connected("local", cpus=1),
    ):
        pass


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("address", "said"),
    [("local", "Ray does not start on this machine: busy"), ("auto", "no Ray cluster answers at")],
)
def test_ray_that_does_not_start_is_said(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    """It takes SIGTERM in either case, and raises errors of no kind of its own."""

    def init(**_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Exception("busy")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(CapcError, match=said), ray_cluster.connected(address, cpus=1):
        pass
    assert signal.getsignal(signal.SIGTERM) == before
