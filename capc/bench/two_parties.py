"""Steps 1a and 1b between two processes, over loopback or between emulated hosts.

The answering party's process also tells its share of the logits: this is the experimenter's check,
with models and images of its own, and no run of the protocol.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from capc.bench.emulated_hosts import Host
from capc.errors import ProgramError
from capc.files import REPOSITORY
from capc.fixed_point import MAX_LOGIT, Float64, Int64
from capc.graph.layers import QuantizedNetwork
from capc.graph.prepared import load_network
from capc.graph.ring_choice import to_ring
from capc.harness.launchers.processes import party_environment
from capc.he.parameters import EncryptionParameters
from capc.inference.choice import GARBLED, NonlinearChoice
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.reference import encode_images
from capc.inference.server import InferenceServer
from capc.transport.channel import Channel, Traffic

TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class PhaseCost:
    """One phase at the querying party: seconds, and its traffic."""

    seconds: float
    traffic: Traffic

    @property
    def traffic_bytes(self) -> int:
        """Of both directions, with headers."""
        return self.traffic.bytes_sent + self.traffic.bytes_received


@dataclass(frozen=True)
class PhaseCosts:
    """Set-up, which happens once; offline and online phase of one query, medians over all.

    `query_seconds` are those of each query, both phases. `warm_up_seconds` are those of the first
    ones, where these count nowhere else.
    """

    setup: PhaseCost
    offline: PhaseCost
    online: PhaseCost
    query_seconds: tuple[float, ...] = ()
    warm_up_seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class EncryptedRun:
    """Logits (n, C) as signed integers, what each phase cost, and the answering party's memory."""

    logits: Int64
    costs: PhaseCosts
    answering_peak_mib: int


def run_encrypted(
    network: QuantizedNetwork,
    prepared: Path,
    parameters: EncryptionParameters,
    images: Float64,
    advance: Callable[[], None] = lambda: None,
    *,
    choice: NonlinearChoice = GARBLED,
    between: tuple[Host, Host] | None = None,
    warm_up: int = 0,
) -> EncryptedRun:
    """The querying party here, the answering party in a process of its own, query by query.

    `network` is what `to_ring` makes of the prepared file with MAX_LOGIT. `advance` is called after
    each query. `between` are the hosts of the querying and the answering party; without them the
    two meet over loopback. What the first `warm_up` queries take is kept apart from the costs.
    Raises ProgramError where the other process fails.
    """
    with _listener(between) as listener:
        listener.settimeout(TIMEOUT_SECONDS)
        task = {
            "prepared": str(prepared),
            "parameters": parameters.to_json(),
            "input_range": network.input_range,
            "address": listener.getsockname(),
            "queries": len(images),
            "nonlinear": choice.to_fields(),
        }
        command = [sys.executable, "-m", __name__, json.dumps(task)]
        if between is not None:
            command = between[1].inside(command)
        environment = party_environment()  # one thread for NumPy, as a run's parties have
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment
        ) as answering:
            connection, _ = listener.accept()
            keys = KeyRing(parameters)
            with Channel(_tuned(connection), "answering") as channel:
                start = partial(InferenceClient, channel, keys, choice)
                share, costs = _ask(channel, start, network, images, advance, warm_up=warm_up)
            output, _ = answering.communicate(timeout=TIMEOUT_SECONDS)
        if answering.returncode:
            raise ProgramError(f"the answering process ended with status {answering.returncode}")
    answer = json.loads(output)
    ring = network.fixed_point
    logits = ring.signed(ring.reduce(share + np.array(answer["share"], dtype=np.int64)))
    return EncryptedRun(logits, costs, answer["peak_mib"])


def _listener(between: tuple[Host, Host] | None) -> socket.socket:
    if between is None:
        return socket.create_server(("127.0.0.1", 0))
    with between[0].entered():
        return socket.create_server((between[0].address, 0))


def _ask(
    channel: Channel,
    start: Callable[[], InferenceClient],
    network: QuantizedNetwork,
    images: Float64,
    advance: Callable[[], None],
    *,
    warm_up: int,
) -> tuple[Int64, PhaseCosts]:
    marks: list[PhaseCost] = []
    before, last = channel.traffic, time.perf_counter()
    client = start()

    def mark() -> None:
        nonlocal before, last
        now, traffic = time.perf_counter(), channel.traffic
        marks.append(PhaseCost(now - last, traffic - before))
        before, last = traffic, now

    mark()
    encoded = network.fixed_point.reduce(encode_images(network, images))
    shares = []
    for image in encoded:
        mark()
        query = client.prepare(1)
        mark()
        hidden = client.evaluate_hidden(query, image[np.newaxis])
        shares.append(client.evaluate_logits(query, hidden)[0])
        mark()
        advance()
    # Set-up, then for each query: waiting to begin, offline, online.
    offline, online = marks[2::3], marks[3::3]
    queries = tuple(map(_both_seconds, offline, online))
    found = PhaseCosts(
        marks[0],
        _median(offline[warm_up:]),
        _median(online[warm_up:]),
        queries[warm_up:],
        queries[:warm_up],
    )
    return np.stack(shares), found


def _both_seconds(offline: PhaseCost, online: PhaseCost) -> float:
    return offline.seconds + online.seconds


def _median(costs: Sequence[PhaseCost]) -> PhaseCost:
    counts = np.array([astuple(cost.traffic) for cost in costs])
    return PhaseCost(
        float(np.median([cost.seconds for cost in costs])),
        Traffic(*map(int, np.median(counts, axis=0))),
    )


def _answer(description: str) -> None:
    """The answering process: the queries, then its shares of the logits on standard output."""
    task = json.loads(description)
    low, high = task["input_range"]
    network = to_ring(load_network(Path(task["prepared"])), (low, high), MAX_LOGIT)
    connection = socket.create_connection(tuple(task["address"]), timeout=TIMEOUT_SECONDS)
    with Channel(_tuned(connection), "querying") as channel:
        parameters = EncryptionParameters.from_json(task["parameters"])
        choice = NonlinearChoice.of(task["nonlinear"]["way"], task["nonlinear"]["link"])
        server = InferenceServer(channel, network, parameters, choice=choice)
        shares = []
        for _ in range(task["queries"]):
            batch = server.prepare(1)
            server.evaluate_hidden(batch)
            shares.append(server.evaluate_logits(batch)[0].tolist())
    sys.stdout.write(json.dumps({"share": shares, "peak_mib": _peak_mib()}))


def _tuned(connection: socket.socket) -> socket.socket:
    connection.settimeout(TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _peak_mib() -> int:
    """Of this program alone: the peak that getrusage gives outlives exec, and is the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


if __name__ == "__main__":
    _answer(sys.argv[1])
