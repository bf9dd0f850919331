"""Steps 1a and 1b between two processes over loopback, compared with what they should give.

The answering party's process also tells its share of the logits: this is the experimenter's check,
with models and images of its own, and no run of the protocol.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capc.errors import ConfigError
from capc.files import REPOSITORY
from capc.fixed_point import MAX_LOGIT, Float64, Int64
from capc.graph.layers import QuantizedNetwork
from capc.graph.prepared import load_network
from capc.graph.ring_choice import to_ring
from capc.he.parameters import EncryptionParameters
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.reference import encode_images
from capc.inference.server import InferenceServer
from capc.transport.channel import Channel

TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class EncryptedRun:
    """Logits (n, C) as signed integers; of set-up, offline and online phase: seconds and bytes.

    Those of the two phases are the medians over the queries, bytes of both directions with headers.
    """

    logits: Int64
    seconds: tuple[float, ...]
    moved: tuple[int, ...]
    answering_peak_mib: int


def run_encrypted(
    network: QuantizedNetwork,
    prepared: Path,
    parameters: EncryptionParameters,
    images: Float64,
    advance: Callable[[], None] = lambda: None,
) -> EncryptedRun:
    """The querying party here, the answering party in a process of its own, query by query.

    `network` is what `to_ring` makes of the prepared file with MAX_LOGIT. `advance` is called after
    each query. Raises ConfigError where the other process fails.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_SECONDS)
        told = {
            "prepared": str(prepared),
            "parameters": parameters.to_json(),
            "input_range": network.input_range,
            "port": listener.getsockname()[1],
            "queries": len(images),
        }
        command = [sys.executable, "-m", __name__, json.dumps(told)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as answering:
            connection, _ = listener.accept()
            share, seconds, moved = _ask(_tuned(connection), network, parameters, images, advance)
            output, _ = answering.communicate(timeout=TIMEOUT_SECONDS)
        if answering.returncode:
            raise ConfigError(f"the answering process ended with status {answering.returncode}")
    answer = json.loads(output)
    ring = network.fixed_point
    logits = ring.signed(ring.reduce(share + np.array(answer["share"], dtype=np.int64)))
    return EncryptedRun(logits, seconds, moved, answer["peak_mib"])


def _ask(
    connection: socket.socket,
    network: QuantizedNetwork,
    parameters: EncryptionParameters,
    images: Float64,
    advance: Callable[[], None],
) -> tuple[Int64, tuple[float, ...], tuple[int, ...]]:
    seconds, moved = [], []
    with Channel(connection, "answering") as channel:
        keys = KeyRing(parameters)
        before, last = channel.traffic, time.perf_counter()
        client = InferenceClient(channel, keys)

        def mark() -> None:
            nonlocal before, last
            now, traffic = time.perf_counter(), channel.traffic
            seconds.append(now - last)
            spent = traffic - before
            moved.append(spent.bytes_sent + spent.bytes_received)
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
    phases = (slice(0, 1), slice(2, None, 3), slice(3, None, 3))
    return (
        np.stack(shares),
        tuple(float(np.median(seconds[phase])) for phase in phases),
        tuple(int(np.median(moved[phase])) for phase in phases),
    )


def _answer(told: str) -> None:
    """The answering process: the queries, then its shares of the logits on standard output."""
    asked = json.loads(told)
    low, high = asked["input_range"]
    network = to_ring(load_network(Path(asked["prepared"])), (low, high), MAX_LOGIT)
    connection = socket.create_connection(("127.0.0.1", asked["port"]), timeout=TIMEOUT_SECONDS)
    with Channel(_tuned(connection), "querying") as channel:
        parameters = EncryptionParameters.from_json(asked["parameters"])
        server = InferenceServer(channel, network, parameters)
        shares = []
        for _ in range(asked["queries"]):
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
