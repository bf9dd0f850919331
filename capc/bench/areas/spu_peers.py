"""SPU's Cheetah on a network of ours, between two processes of SPU's own Python."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.bench.emulated_hosts import Host
from capc.bench.rows import Row, skipped
from capc.errors import ConfigError, ProgramError
from capc.fixed_point import Float64
from capc.graph.layers import Add, AvgPool, Conv2D, Dense, Layer, MaxPool, Network, Relu, Reshape

VARIABLE = "CAPC_SPU_PYTHON"
NAME = "spu-0.9.5-cheetah"
_SECONDS = 3600
_PORT = 7100  # at emulated hosts, which have every port to themselves


@dataclass(frozen=True)
class SpuRun:
    """What the owner of the images saw: `setup` is compilation and first query.

    `seconds` and, between emulated hosts, `moved_bytes` (both directions, packet headers included)
    of each query after the first; `labels` of all.
    """

    setup: float
    seconds: list[float]
    moved_bytes: list[int]
    labels: list[int]


def is_installed() -> bool:
    """Whether CAPC_SPU_PYTHON names an interpreter."""
    return bool(os.environ.get(VARIABLE))


def missing(benchmark: str) -> Row:
    """The row that says so."""
    return skipped(benchmark, NAME, f"{VARIABLE} does not name a Python that has spu==0.9.5")


def run(network: Network, images: Float64, between: tuple[Host, Host] | None = None) -> SpuRun:
    """Logits of each image (n, H, W, C), the first to warm up; owners of model and images apart.

    `between` are the hosts of the images' and of the model's owner. Raises ConfigError for a layer
    that SPU's program does not know, ProgramError where SPU fails.
    """
    steps, weights = list(map(_step, network.layers[1:])), dict(_weights(network))
    with tempfile.TemporaryDirectory(prefix="capc-bench-") as folder:
        owners = [Path(folder) / name for name in ("model", "image")]
        for owner in owners:
            owner.mkdir()
        np.savez(owners[0] / "model.npz", allow_pickle=False, **weights)
        (owners[0] / "steps.json").write_text(json.dumps(steps))
        np.save(owners[1] / "images.npy", images.astype(np.float32))
        report = _run(owners, between)
    return SpuRun(**report)


def _step(layer: Layer) -> dict[str, Any]:
    """A layer as spu_peer.py takes it: public shapes and names, no weights."""
    step: dict[str, Any] = {"name": layer.name, "inputs": layer.inputs}
    if isinstance(layer, Conv2D):
        step |= {"strides": layer.strides, "padding": layer.padding, "groups": layer.groups}
        step["dilations"] = layer.dilations
    elif isinstance(layer, MaxPool | AvgPool) and not np.any(layer.padding):
        step |= {"window": layer.window, "strides": layer.strides}
    elif isinstance(layer, Reshape):
        step["shape"] = layer.shape
    elif not isinstance(layer, Dense | Relu | Add):
        raise ConfigError(f"layer '{layer.name}' has no form in SPU's program")
    return step | {"kind": type(layer).__name__}


def _weights(network: Network) -> Iterator[tuple[str, Float64]]:
    """Arrays by the layer's place among the steps, such as 0.weight and 0.bias."""
    for place, layer in enumerate(network.layers[1:]):
        if isinstance(layer, Conv2D | Dense):
            weight = layer.kernel if isinstance(layer, Conv2D) else layer.weight
            yield f"{place}.weight", weight
            yield f"{place}.bias", layer.bias


def _run(owners: list[Path], between: tuple[Host, Host] | None) -> dict[str, Any]:
    program = Path(__file__).with_name("spu_peer.py")
    hosts = [None, None] if between is None else [between[1], between[0]]
    addresses = _addresses(between)
    parties = []
    for rank, (owner, host) in enumerate(zip(owners, hosts, strict=True)):
        command = [os.environ[VARIABLE], str(program), str(rank), str(owner), *addresses]
        parties.append(
            subprocess.Popen(
                command if host is None else host.inside(command),
                stdout=subprocess.PIPE,
                stderr=(owner / "errors.txt").open("wb"),
            )
        )
    try:
        output = parties[1].communicate(timeout=_SECONDS)[0]
        parties[0].communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise ProgramError(f"SPU did not finish within {_SECONDS} s") from None
    finally:
        for party in parties:
            party.kill()
            party.wait()
    statuses = [party.returncode for party in parties]
    if any(statuses):
        said = [line for owner in owners for line in _lines(owner / "errors.txt")[-1:]]
        raise ProgramError(f"SPU ended with status {statuses}: {' | '.join(said)}")
    report: dict[str, Any] = json.loads(output.decode().splitlines()[-1])
    return report


def _addresses(between: tuple[Host, Host] | None) -> list[str]:
    """Of the model's owner and of the images' owner."""
    if between is None:
        return [f"127.0.0.1:{port}" for port in _free_ports(2)]
    return [f"{host.address}:{_PORT}" for host in reversed(between)]


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()


def _free_ports(count: int) -> list[int]:
    """Ports that were free just now: SPU takes addresses, not sockets."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
