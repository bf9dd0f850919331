"""Parties on the nodes of a Ray cluster: a worker on each node starts those that are dealt to it.

Ray places the workers and carries their certificates. Models, queries, settings, logs and control
messages go over a connection of our own to each node (`node_client`), never through Ray.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import capc
from capc.errors import ConfigError, ProgramError, ProtocolError
from capc.harness.hosts import Place
from capc.harness.launchers.feed import Feed
from capc.harness.launchers.node_client import Credentials, NodeClient
from capc.harness.launchers.node_worker import NodeWorker
from capc.harness.launchers.processes import PartySpec, Process
from capc.machine import cores
from capc.ray_cluster import connected
from capc.roles import GUARDIAN, QUERYING
from capc.transport.peer import Peer

_END_SECONDS = 30.0


@dataclass(frozen=True)
class Node:
    """A machine of a cluster: its name, its address for the other nodes, its processors.

    `is_here`: the one that this process is on.
    """

    name: str
    address: str
    cpus: int
    is_here: bool
    identifier: str = ""


class Cluster(Protocol):
    """Nodes, and workers on them."""

    def nodes(self) -> Sequence[Node]:
        """Those that are up."""

    def start(
        self, wanted: Mapping[Node, int], certificates: Mapping[str, str]
    ) -> Mapping[Node, dict[str, Any]]:
        """Workers for so many parties each; what they announce. ConfigError where one fails."""

    def ended(self) -> Mapping[Node, Future[Any]]:
        """For each node's worker a future, done once it has ended, with an error if it was lost."""

    def end(self) -> None:
        """End workers that are left."""


def dealt(names: Sequence[str], nodes: Sequence[Node]) -> dict[str, Node]:
    """The node of each party: in turn, as often as it has processors.

    The guardian is here, where its account is. Nodes without processors get no other party.
    Raises ConfigError where no node has one.
    """
    here = next((node for node in nodes if node.is_here), None)
    most = max((node.cpus for node in nodes), default=0)
    turns = [node for turn in range(most) for node in nodes if node.cpus > turn]
    if not turns or here is None:
        raise ConfigError("the Ray cluster has no node with a processor, or none on this machine")
    others = [QUERYING, *(name for name in names if name not in (QUERYING, GUARDIAN))]
    return dict(zip(others, itertools.cycle(turns), strict=False)) | {GUARDIAN: here}


class RayCluster:
    """The nodes of a connected Ray. Workers have `setup_seconds` to start."""

    def __init__(self, ray: Any, setup_seconds: float) -> None:
        self._ray, self._setup_seconds = ray, setup_seconds
        self._workers: dict[Node, Any] = {}

    def nodes(self) -> Sequence[Node]:
        """Those that are up, by identifier, so that names meet the same nodes each time."""
        here = self._ray.get_runtime_context().get_node_id()
        found = [
            Node(
                name=node.get("NodeName") or node["NodeManagerAddress"],
                address=node["NodeManagerAddress"],
                cpus=int(node["Resources"].get("CPU", 0)),
                is_here=node["NodeID"] == here,
                identifier=node["NodeID"],
            )
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        return sorted(found, key=lambda node: (not node.is_here, node.identifier))

    def start(
        self, wanted: Mapping[Node, int], certificates: Mapping[str, str]
    ) -> Mapping[Node, dict[str, Any]]:
        """An actor on each node, which takes one of its processors where it has any."""
        from ray.util.scheduling_strategies import (  # noqa: PLC0415
            NodeAffinitySchedulingStrategy,
        )

        asked = {}
        for node, parties in wanted.items():
            actor = self._ray.remote(NodeWorker).options(
                num_cpus=min(node.cpus, 1),
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.identifier, soft=False),
            )
            self._workers[node] = worker = actor.remote()
            asked[node] = worker.start.remote(node.address, parties, dict(certificates))
        return {node: self._announced(node, said) for node, said in asked.items()}

    def _announced(self, node: Node, said: Any) -> dict[str, Any]:
        try:
            announced: dict[str, Any] = self._ray.get(said, timeout=self._setup_seconds)
        except self._ray.exceptions.GetTimeoutError:
            raise ConfigError(
                f"no worker started on node {node.name} within {self._setup_seconds:g} seconds: "
                "are all its processors taken?"
            ) from None
        except self._ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            raise ConfigError(f"the worker on node {node.name} does not start: {last}") from None
        return announced

    def ended(self) -> Mapping[Node, Future[Any]]:
        """Ray knows when a node or a worker is lost."""
        return {node: worker.join.remote().future() for node, worker in self._workers.items()}

    def end(self) -> None:
        """Those that still run are killed; an agent ends with its worker."""
        for worker in self._workers.values():
            self._ray.kill(worker)
        self._workers.clear()


class NodesLauncher:
    """Parties on the nodes of a cluster, which `clusters` connects to while it lasts."""

    def __init__(self, clusters: contextlib.AbstractContextManager[Cluster]) -> None:
        self.notes: list[str] = []
        self.feeds: list[Feed] = []
        self.places: dict[str, Place] = {}
        self._clusters = clusters
        self._held = ExitStack()
        self._clients: dict[str, NodeClient] = {}
        self._ended: Mapping[Node, Future[Any]] = {}

    def prepare(self, names: Sequence[str], run_dir: Path) -> None:
        """Start a worker on each node that gets parties, and connect to it."""
        cluster = self._held.enter_context(self._clusters)
        self._held.callback(cluster.end)
        nodes = cluster.nodes()
        of_party = dealt(names, nodes)
        wanted = {
            node: sum(one is node for one in of_party.values())
            for node in nodes
            if node in of_party.values()
        }
        credentials = Credentials.create()
        announced = cluster.start(wanted, credentials.certificates)
        self._ended = cluster.ended()
        clients = {node: self._client(node, said, credentials) for node, said in announced.items()}
        self._clients = {name: clients[node] for name, node in of_party.items()}
        self.places = {
            name: Place(node.name, node.address, node.address) for name, node in of_party.items()
        }
        dealt_out = ", ".join(f"{count} on {node.name}" for node, count in wanted.items())
        self.notes.append(f"parties on {len(wanted)} nodes: {dealt_out}")

    def redirects(self, name: str) -> bool:
        """True: what a party says comes back into its log file."""
        return True

    def start(self, spec: PartySpec) -> Process:
        """Start one party on its node; ProgramError where that is gone."""
        return self._clients[spec.name].start(spec)

    def finish(self, *, keep: bool) -> None:
        """End the workers, wait until they have left nothing, and leave the cluster."""
        with self._held:
            for client in set(self._clients.values()):
                client.close()
            wait(self._ended.values(), _END_SECONDS)

    def attach_hint(self) -> str | None:
        """None: there is nothing to attach to."""
        return None

    def _client(
        self, node: Node, announced: Mapping[str, Any], credentials: Credentials
    ) -> NodeClient:
        if announced["version"] != capc.__version__:
            raise ConfigError(
                f"node {node.name} has capc {announced['version']}, and this machine "
                f"{capc.__version__}"
            )
        name = f"node {node.name}"
        peer = Peer(name, node.address, announced["port"], announced["certificate"])
        try:
            client = NodeClient(peer, credentials)
        except ProtocolError as error:
            raise ProgramError(str(error)) from None

        def look(ended: Future[Any]) -> None:
            if ended.exception() is not None:
                client.lose()

        self._ended[node].add_done_callback(look)
        return client


def ray_launcher(address: str, setup_seconds: float) -> NodesLauncher:
    """The launcher of a Ray at `address`, as `capc.ray_cluster.connected` has it."""

    @contextlib.contextmanager
    def clusters() -> Iterator[Cluster]:
        with connected(address, cpus=cores()) as ray:
            yield RayCluster(ray, setup_seconds)

    return NodesLauncher(clusters())
