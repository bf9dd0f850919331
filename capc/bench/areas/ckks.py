"""CKKS alone: batches of images of a polynomial network, server and client in two processes.

CryptoNets has squares, under which complex packing gives way to one image a slot; a linear
classifier shows what it saves.
"""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.bench.rows import Row, measured
from capc.ckks.session import (
    EncryptedInput,
    HomomorphicClient,
    HomomorphicServer,
    network_program,
)
from capc.data.datasets import load_dataset, normalised
from capc.errors import ProgramError
from capc.files import REPOSITORY
from capc.fixed_point import Float64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Dense, Input, Network, Reshape
from capc.graph.prepared import load_network, save_network
from capc.he.parameters import EncryptionParameters
from capc.transport.channel import Channel

BATCH = 4096
_PIXELS = (0.0, 1.0)
_SECONDS = 600.0
_FITTED_IMAGES = 512
_RIDGE = 10.0


def run(repeat: int) -> list[Row]:
    """CryptoNets and a linear classifier on MNIST, with and without complex packing."""
    from capc.bench.areas.models import cryptonets  # noqa: PLC0415  needs TensorFlow

    data = load_dataset("mnist")
    images = normalised(data.test_images[:BATCH]).astype(np.float64)
    count = max(1, repeat // 10)
    rows = []
    for benchmark, network, name in (
        ("ckks_cryptonets", cryptonets(), "N13_L8"),
        ("ckks_linear", _linear(data.train_images, data.train_labels), "N12_L4"),
    ):
        text = (REPOSITORY / "config" / f"he_seal_ckks_config_{name}.json").read_text()
        plain = replace(EncryptionParameters.from_json(text), complex_packing=False)
        for parameters in (plain, replace(plain, complex_packing=True)):
            batches = [_batch(network, parameters, images) for _ in range(count)]
            rows.append(
                _row(f"{benchmark}_{BATCH}", name, batches, evaluate_float(network, images))
            )
    return rows


def _row(benchmark: str, name: str, batches: list[_Batch], expected: Float64) -> Row:
    error = max(float(np.abs(batch.results - expected).max()) for batch in batches)
    labels = np.mean(batches[0].results.argmax(axis=1) == expected.argmax(axis=1))
    seconds = [batch.seconds for batch in batches]
    first = batches[0]
    asked = ", complex packing" if first.wants_complex else ""
    given = "two images" if first.is_complex else "one image"
    note = (
        f"{len(expected)} images, {given} a slot: {len(expected) / float(np.median(seconds)):.0f} "
        f"images/s; {first.processor_seconds:.1f} s of processor time; precision "
        f"{-np.log2(error):.1f} bits, stated {first.bits:.1f}; {100 * labels:.2f} % of labels equal"
    )
    return measured(
        benchmark,
        f"builtin {name}{asked}",
        seconds,
        traffic=first.traffic,
        note=note,
    )


@dataclass(frozen=True)
class _Batch:
    """One batch: seconds from the first ciphertext to the last result, bytes of the client."""

    results: Float64
    seconds: float
    processor_seconds: float
    traffic: tuple[int, int]
    bits: float
    wants_complex: bool
    is_complex: bool


def _batch(network: Network, parameters: EncryptionParameters, images: Float64) -> _Batch:
    """The client here, the server in a process of its own, over loopback TCP."""
    with tempfile.TemporaryDirectory(prefix="capc-ckks-") as folder:
        prepared = Path(folder) / "model.npz"
        save_network(network, prepared)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(_SECONDS)
            port = str(listener.getsockname()[1])
            command = [sys.executable, "-m", __name__, str(prepared), parameters.to_json(), port]
            command.append(str(len(images)))
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as server:
                connection, _ = listener.accept()
                found = _ask(connection, network.input.name, images)
                output, _ = server.communicate(timeout=_SECONDS)
    if server.returncode:
        raise ProgramError(f"the server ended with status {server.returncode}")
    spent = found.processor_seconds + float(json.loads(output)["processor_seconds"])
    return replace(found, processor_seconds=spent)


def _ask(connection: socket.socket, name: str, images: Float64) -> _Batch:
    with Channel(_tuned(connection), "the server") as channel:
        client = HomomorphicClient(channel)
        before, start, spent = channel.traffic, time.perf_counter(), _processor_seconds()
        results = client.query({name: images})
        seconds = time.perf_counter() - start
        traffic = channel.traffic - before
        return _Batch(
            results,
            seconds,
            _processor_seconds() - spent,
            (traffic.bytes_sent, traffic.bytes_received),
            client.plan.bits,
            EncryptionParameters.from_json(client.plan.parameters).complex_packing,
            client.plan.is_complex,
        )


def _answer(prepared: str, parameters: str, port: str, batch: str) -> None:
    """The server's process: one batch, then its processor time on standard output."""
    network = load_network(Path(prepared))
    connection = socket.create_connection(("127.0.0.1", int(port)), timeout=_SECONDS)
    with Channel(_tuned(connection), "the client") as channel:
        server = HomomorphicServer(
            channel,
            EncryptionParameters.from_json(parameters),
            {network.input.name: EncryptedInput(network.input.shape, *_PIXELS)},
            network_program(network),
            batch=int(batch),
        )
        spent = _processor_seconds()
        server.answer()
    sys.stdout.write(json.dumps({"processor_seconds": _processor_seconds() - spent}))


def _linear(images: NDArray[Any], labels: NDArray[Any]) -> Network:
    """A ridge regression on MNIST's pixels."""
    pixels = normalised(images[:_FITTED_IMAGES]).reshape(_FITTED_IMAGES, -1).astype(np.float64)
    wanted = np.eye(10)[labels[:_FITTED_IMAGES]] - 0.1
    ridge = _RIDGE * np.eye(pixels.shape[1])
    weight = np.linalg.solve(pixels.T @ pixels + ridge, pixels.T @ wanted)
    return Network(
        (
            Input("input", (), (28, 28, 1)),
            Reshape("flat", ("input",), (784,)),
            Dense("logits", ("flat",), (10,), weight, np.full(10, 0.1)),
        )
    )


def _tuned(connection: socket.socket) -> socket.socket:
    connection.settimeout(_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    _answer(*sys.argv[1:])
