"""Circuit programs among strangers, and programs that write much or are closed while in use."""

from __future__ import annotations

import contextlib
import logging
import socket
import stat
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs_pair import Relay, both, open_pair

from capc.errors import ProtocolError
from capc.gc.programs import CircuitProgram

CLASSES = 3
ARGMAX: dict[str, Any] = {"ring_bits": 41, "classes": CLASSES}
HOST = "127.0.0.1"


@pytest.mark.parametrize("count", [1, 25, 100])
def test_silent_strangers_delay_no_program(count: int) -> None:
    """More of them than may wait at a time, too: the oldest give way."""
    with (
        contextlib.ExitStack() as stack,
        CircuitProgram.garbler("argmax_1", **ARGMAX, timeout_seconds=20) as garbler,
    ):
        for _ in range(count):
            stack.enter_context(socket.create_connection((HOST, garbler.port)))
        start = time.monotonic()
        with CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **ARGMAX
        ) as evaluator:
            both(garbler.wait_until_ready, evaluator.wait_until_ready)
        assert time.monotonic() - start < 4


def test_many_dropped_strangers_cost_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line each would fill the pipe of a program that nobody reads meanwhile."""
    with (
        caplog.at_level(logging.WARNING),
        CircuitProgram.garbler("argmax_1", **ARGMAX, timeout_seconds=20) as garbler,
    ):
        for _ in range(900):
            with contextlib.suppress(OSError), socket.create_connection((HOST, garbler.port)):
                pass
        with CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **ARGMAX, timeout_seconds=10
        ) as evaluator:
            both(garbler.wait_until_ready, evaluator.wait_until_ready)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "connections were dropped" in lines[0]


def test_what_a_program_writes_is_always_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that says more on standard error than a pipe holds does not block."""
    program = tmp_path / "argmax_1"
    answer = b"CG" + struct.pack("<BBI", 1, 17, 4) + struct.pack("<I", 7)
    (tmp_path / "answer").write_bytes(answer)
    program.write_text(
        f"#!/bin/sh\nyes '{'x' * 200}' | head -n 1000 >&2\n"
        f"cat {tmp_path}/answer\nyes '{'x' * 200}' | head -n 1000 >&2\n"
        "head -c 1000000 > /dev/null\necho 'argmax_1: error: it has ended' >&2\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CAPC_GC_BIN", str(tmp_path))
    started: list[CircuitProgram] = []

    def start() -> None:
        garbler = CircuitProgram.garbler("argmax_1", **ARGMAX)
        started.append(garbler)
        with pytest.raises(ProtocolError, match="it has ended"):
            garbler._send(2, bytes(1 << 20))
            garbler._receive(19)

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert started[0].port == 7


@pytest.mark.parametrize("moment", range(4))
def test_closing_a_program_that_another_thread_uses(moment: int) -> None:
    """Its user is told of the end; no file is closed under it."""
    errors: list[BaseException] = []
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        both(garbler.wait_until_ready, evaluator.wait_until_ready)
        begun = threading.Event()

        def use() -> None:
            begun.set()
            try:
                for _ in range(1000):
                    evaluator.prepare(1)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=use, daemon=True)
        thread.start()
        begun.wait()
        for _ in range(moment):
            garbler.prepare(1, np.zeros((1, CLASSES), dtype=np.int64))
        evaluator.close()
        thread.join(10)
        assert not thread.is_alive()
    assert [type(error) for error in errors] == [ProtocolError]
    with pytest.raises(ProtocolError, match="ended"):
        evaluator.prepare(1)


def test_a_wire_that_drips_ends_in_time() -> None:
    """A message has its time as a whole, however it is cut into pieces."""

    class Slow(Relay):
        def _copy(self, source: socket.socket, sink: socket.socket, bend: bool) -> None:
            with contextlib.suppress(OSError):
                passed = 0
                while data := source.recv(4096 if passed < 8000 else 1):
                    passed += len(data)
                    if passed > 8000:
                        threading.Event().wait(0.05)
                    sink.sendall(data)

    with CircuitProgram.garbler("argmax_1", **ARGMAX, timeout_seconds=1.5) as garbler:
        relay = Slow(garbler.port)
        with CircuitProgram.evaluator(
            "argmax_1", port=relay.port, key=garbler.key, **ARGMAX, timeout_seconds=20
        ):
            start = time.monotonic()
            with pytest.raises(ProtocolError, match=r"silent|closed"):
                garbler.wait_until_ready()
            assert time.monotonic() - start < 6
        relay.close()
