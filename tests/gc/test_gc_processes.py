"""Two real processes over loopback, and a party that dies."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from gc_party import inputs

PARTY = Path(__file__).with_name("gc_party.py")
ROOT = Path(__file__).parents[2]


def start(role: str, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PARTY), role, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )


def relay(left: socket.socket, right: socket.socket) -> None:
    """Join the two parties' connections until one of them closes."""

    def copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()

    threads = [threading.Thread(target=copy, args=pair) for pair in ((left, right), (right, left))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_processes_over_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        garbler = start("garbler", port)
        evaluator = start("evaluator", port)
        left, _ = listener.accept()
        right, _ = listener.accept()
        relay(left, right)
        out, errors = evaluator.communicate(timeout=60)
        _, garbler_errors = garbler.communicate(timeout=60)
    assert evaluator.returncode == 0, errors
    assert garbler.returncode == 0, garbler_errors
    result = json.loads(out)
    a, masks, logit_a, vote_masks = inputs("garbler")
    b, _, logit_b, _ = inputs("evaluator")
    x = ((a + b) << 17) >> 17
    np.testing.assert_array_equal(
        (np.array(result["relu"]) + masks) & (2**47 - 1), np.maximum(x, 0) >> 12
    )
    logits = ((logit_a + logit_b) << 17) >> 17
    votes = (np.array(result["votes"]) + vote_masks) & (2**32 - 1)
    np.testing.assert_array_equal(votes, np.eye(10, dtype=np.int64)[logits.argmax(axis=1)])


def test_a_peer_that_dies_ends_the_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        evaluator = start("evaluator", listener.getsockname()[1])
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.close()
        _, errors = evaluator.communicate(timeout=60)
    assert evaluator.returncode == 1
    assert "ProtocolError: the peer is gone" in errors or "ConnectionResetError" in errors
