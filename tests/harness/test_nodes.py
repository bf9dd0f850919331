"""Parties on the nodes of a cluster, without Ray: the same workers as plain objects here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from test_real_run import N_QUERIES, Bench

from capc import ray_cluster
from capc.errors import ConfigError, ProtocolError
from capc.harness.launchers.node_client import Credentials, NodeClient
from capc.harness.launchers.node_worker import NodeWorker
from capc.harness.launchers.processes import PartySpec
from capc.harness.launchers.ray_launcher import Cluster, Node, NodesLauncher, dealt
from capc.harness.recorder import Recorder
from capc.harness.settings import parse_settings
from capc.transport.control_messages import Hello, Message, Progress
from capc.transport.endpoints import Peer
from capc.transport.tls import Identity

NODES = (Node("here", "127.0.0.1", 1, True), Node("there", "127.0.0.2", 2, False))


class WorkersHere:
    """A cluster whose nodes are two addresses of this machine."""

    def __init__(self) -> None:
        self.workers = {node: NodeWorker() for node in NODES}
        self.told: list[str] = []
        self.announced: dict[Node, dict[str, Any]] = {}
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
        return {node: self._threads.submit(self.workers[node].join) for node in self.announced}

    def end(self) -> None:
        for worker in self.workers.values():
            worker.end()
        self._threads.shutdown()


class WatchedLauncher(NodesLauncher):
    """Tells a test of its cluster."""

    def __init__(self) -> None:
        self.cluster = WorkersHere()

        @contextlib.contextmanager
        def clusters() -> Iterator[Cluster]:
            yield self.cluster

        super().__init__(clusters())
        self.specs: dict[str, PartySpec] = {}


class NodesBench(Bench):
    """The bench of test_real_run over two nodes; it keeps the parties' process ids."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        (folder / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
        self.nodes = WatchedLauncher()
        self.launcher = self.nodes  # type: ignore[assignment]
        self.pids: dict[str, int] = {}
        self.on: Callable[[str, Message], None] = lambda party, message: None
        really = Recorder.on_message

        def on_message(recorder: Recorder, party: str, message: Message) -> None:
            really(recorder, party, message)
            if isinstance(message, Hello):
                self.pids[party] = message.pid
            self.on(party, message)

        monkeypatch.setattr(Recorder, "on_message", on_message)

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "latest" / "run.json").read_text())
        return found

    def check_nothing_is_left(self) -> None:
        assert len(self.pids) == 5
        for pid in self.pids.values():
            assert not Path(f"/proc/{pid}").exists()
        assert not list((self.folder / "tmp").glob("capc-node-*"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodesBench:
    return NodesBench(tmp_path, monkeypatch)


def test_a_run_over_two_nodes(bench: NodesBench) -> None:
    assert bench.run("--sigma=0.01") == 0
    assert len(bench.rows("queries.csv")) == N_QUERIES
    hosts = {name: place.host for name, place in bench.nodes.places.items()}
    assert hosts == {
        **{"querying": "here", "guardian": "here", "answering-0": "there"},
        **{"answering-1": "there", "answering-2": "here"},
    }
    for name in hosts:
        log = (bench.folder / "latest" / "logs" / f"{name}.log").read_text()
        assert re.search(f"{name} query 0 step", log), name
    said = "".join(bench.nodes.cluster.told)
    assert "PRIVATE KEY" not in said  # what Ray would see
    assert set(re.findall(r'"([a-z-]+)":', said)) == {
        *("driver-down", "driver-up", "port", "certificate", "version")
    }
    bench.check_nothing_is_left()
