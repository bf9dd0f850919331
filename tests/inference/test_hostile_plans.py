"""Plans that would take memory or time, refused before any of it is taken."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint
from capc.graph.layers import Dense, Input, Network, Relu
from capc.graph.quantize import quantize
from capc.inference.plan import (
    MAX_PLAN_BYTES,
    check_plan,
    plan_from_json,
    plan_to_json,
    public_part,
)
from capc.inference.unencrypted import UnencryptedClient
from capc.transport.channel import Channel
from capc.transport.framing import MessageType, encode_header

Plan = dict[str, Any]
PEER_BYTES = 1 << 26  # what docs/running.md promises of messages that are refused


def good_plan() -> Plan:
    """Input, dense, ReLU, dense: the JSON of a plan that can be followed."""
    layers = (
        Input("x", (), (4,)),
        Dense("d", ("x",), (3,), np.ones((4, 3)), np.zeros(3)),
        Relu("r", ("d",), (3,)),
        Dense("z", ("r",), (2,), np.ones((3, 2)), np.zeros(2)),
    )
    return plan_to_json(public_part(quantize(Network(layers), FixedPoint(41, 12), (0.0, 1.0))))


def layer(kind: str, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"kind": kind, "name": "", "inputs": [], "shape": shape, "output_bits": 12, **more}


def chain(*layers: dict[str, Any], classes: int = 1) -> Plan:
    """Each layer on the one before."""
    for place, entry in enumerate(layers):
        entry["name"] = f"layer-{place}"
        entry["inputs"] = [f"layer-{place - 1}"] if place else []
    return {**good_plan(), "layers": list(layers)}


def image(*shape: int) -> dict[str, Any]:
    return layer("Input", list(shape))


NO_PADDING = [[0, 0], [0, 0]]
HUGE = 1 << 40
HOSTILE: dict[str, Callable[[], Plan]] = {
    "many large layers": lambda: chain(
        image(1 << 24), *(layer("Negative", [1 << 24]) for _ in range(999))
    ),
    "padding that strides pass over": lambda: chain(
        image(4, 4, 1),
        layer(
            "Conv2D", [1, 1, 1], output_bits=24, kernel=[1, 1, 1, 1], bias=[1],
            strides=[HUGE, HUGE], padding=[[0, HUGE - 4], [0, HUGE - 4]], dilations=[1, 1],
            groups=1,
        ),
        layer("Reshape", [1], output_bits=24),
    ),
    "a circuit of a million inputs": lambda: chain(
        image(1 << 10, 1 << 10, 1),
        layer(
            "MaxPool", [1, 1, 1], window=[1 << 10] * 2, strides=[1, 1], padding=NO_PADDING,
            fan_in=2,
        ),
        layer("Reshape", [1]),
    ),
    "windows over and over": lambda: chain(
        image(1 << 11, 1 << 11, 1),
        layer(
            "AvgPool", [(1 << 10) + 1] * 2 + [1], output_bits=24, window=[1 << 10] * 2,
            strides=[1, 1], padding=NO_PADDING,
        ),
        layer("Reshape", [((1 << 10) + 1) ** 2], output_bits=24),
    ),
    "one pixel many times": lambda: chain(
        image(1 << 22, 1), layer("Gather", [1 << 22, 4096], axis=1, indices=[0] * 4096)
    ),
    "a smaller shape than it has": lambda: chain(
        image(8, 8, 1), layer("Pad", [8, 8, 1], padding=[[HUGE, 0], [0, 0]]), layer("Reshape", [64])
    ),
    "parts of numbers": lambda: chain(
        image(4, 4, 1),
        layer(
            "MaxPool", [2, 2, 1], window=[2.0, 2.0], strides=[2, 2], padding=NO_PADDING, fan_in=2
        ),
        layer("Reshape", [4]),
    ),
    "half a fan-in": lambda: chain(
        image(4, 4, 1),
        layer("MaxPool", [2, 2, 1], window=[2, 2], strides=[2, 2], padding=NO_PADDING, fan_in=2.5),
        layer("Reshape", [4]),
    ),
    "a number of 400 digits": lambda: {**good_plan(), "input_range": [0, 10**400]},
    "a cap without end": lambda: chain(image(4), layer("BoundedRelu", [4], cap=float("inf"))),
    "bits that do not follow": lambda: chain(image(4), layer("Negative", [4], output_bits=30)),
    "a name of no layer": lambda: chain(image(4), layer("Relu", [4])) | {"ring_bits": [[]]},
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_refused(kind: str) -> None:
    plan = json.loads(json.dumps(HOSTILE[kind]()))
    with pytest.raises(ProtocolError, match="cannot be followed"):
        check_plan(plan_from_json(plan))


def test_the_plan_that_these_differ_from_is_followed() -> None:
    check_plan(plan_from_json(json.loads(json.dumps(good_plan()))))


def hostile_bytes() -> list[bytes]:
    """What a peer sends in place of a plan: each is one message, or its beginning."""

    def message(payload: bytes) -> bytes:
        return encode_header(MessageType.PLAN, len(payload)) + payload

    return [
        *(message(json.dumps(make()).encode()) for make in HOSTILE.values()),
        encode_header(MessageType.PLAN, 1 << 28),
        encode_header(MessageType.PLAN, 1 << 62),
        encode_header(MessageType.PLAN, MAX_PLAN_BYTES),
        message(b'{"layers":' + b"[" * (MAX_PLAN_BYTES - 20) + b"}"),
        message(b'{"layers":[' + b"[]," * ((MAX_PLAN_BYTES - 20) // 3) + b"0]}"),
        message(b'{"ring_bits":' + b"9" * (MAX_PLAN_BYTES - 20) + b"}"),
    ]


def send(sink: socket.socket, data: bytes) -> None:
    with sink:
        sink.sendall(data)


def main() -> None:
    """Be the peer of every hostile message; write by how many bytes memory grew at its peak."""
    messages = hostile_bytes()
    grown = []
    for data in messages:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        left, right = socket.socketpair()
        left.settimeout(5)
        sender = threading.Thread(target=send, args=(right, data))
        sender.start()
        try:
            UnencryptedClient(Channel(left, "the peer"))
        except ProtocolError:
            pass
        else:
            raise AssertionError("it was followed")
        left.close()
        sender.join()
        grown.append(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
    sys.stdout.write(f"{sum(grown)}\n")


def test_memory_stays_below_the_stated_bound() -> None:
    """In a process of its own, whose peak is known and whose limit ends what would go beyond."""
    limit = 4 << 30
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).resolve())],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert int(finished.stdout) < PEER_BYTES


if __name__ == "__main__":
    main()
