"""One party of test_gc_processes.py: gc_party.py garbler|evaluator PORT, results on stdout."""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ProtocolError
from capc.gc import EvaluatorSession, GarblerSession, argmax_circuit, relu_circuit


class SocketDuplex:
    """Messages with a length before each."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb", buffering=0)

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        """Send a length of eight bytes and the payload."""
        for part in (struct.pack("<Q", len(payload)), bytes(payload)):
            view = memoryview(part)
            while view:
                view = view[self._file.write(view) :]

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._file.read(count - len(parts))
            if not part:
                raise ProtocolError("the peer is gone")
            parts += part
        return bytes(parts)

    def recv(self, max_bytes: int = 1 << 30) -> bytes:
        """Receive one payload; ProtocolError where it is too long or the peer is gone."""
        (length,) = struct.unpack("<Q", self._read(8))
        if length > max_bytes:
            raise ProtocolError("too long")
        return self._read(length)


def inputs(role: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The party's own secrets: (ReLU shares, masks, logit shares, vote masks)."""
    rng = np.random.default_rng(1 if role == "garbler" else 2)
    return (
        rng.integers(0, 1 << 47, 1080),
        rng.integers(0, 1 << 47, 1080),
        rng.integers(0, 1 << 47, (50, 10)),
        rng.integers(0, 1 << 32, (50, 10)),
    )


def main() -> None:
    """Run the first argument's role at the second's port; the evaluator prints its outputs."""
    role, port = sys.argv[1], int(sys.argv[2])
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    channel = SocketDuplex(connection)
    relu, argmax = relu_circuit(47, 12), argmax_circuit(47, 10, 32)
    shares, masks, logits, vote_masks = inputs(role)
    if role == "garbler":
        garbler = GarblerSession(channel)
        batch = garbler.prepare(relu, 1080, masks)
        garbler.run(argmax, logits, vote_masks)
        garbler.evaluate(batch, shares)
        return
    evaluator = EvaluatorSession(channel)
    prepared = evaluator.prepare(relu, 1080)
    votes = evaluator.run(argmax, logits)
    out = evaluator.evaluate(prepared, shares)
    sys.stdout.write(json.dumps({"relu": out[:, 0].tolist(), "votes": votes.tolist()}))


if __name__ == "__main__":
    main()
