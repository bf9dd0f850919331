"""Circuit programs whose peer is gone, silent, another or bent, and calls that cannot be served."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from programs_pair import (
    ARGMAX,
    BACK_ENDS,
    CLASSES,
    Relay,
    both,
    open_pair,
    require,
    vote,
)

from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import Int64
from capc.gc.program_files import BackEnd, find_program
from capc.gc.programs import CircuitProgram


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_peer_is_an_error(victim: int, back_end: BackEnd) -> None:
    with open_pair("argmax_1", **ARGMAX, backend=back_end) as pair:
        vote(pair, np.zeros((1, CLASSES), dtype=np.int64))
        survivor = pair[1 - victim]
        os.kill(pair[victim].pid, signal.SIGKILL)
        with pytest.raises(ProtocolError, match=r"argmax_1 .*peer"):
            # The first write to a dead peer may still succeed.
            for _ in range(2):
                _one_sided(survivor, is_garbler=victim == 1)
        with pytest.raises(ProtocolError, match="ended"):
            survivor.prepare(1, None if victim == 0 else np.zeros((1, CLASSES)))
        with pytest.raises(ProtocolError):
            pair[victim].prepare(1, None if victim == 1 else np.zeros((1, CLASSES)))


def _one_sided(program: CircuitProgram, *, is_garbler: bool) -> None:
    shares = np.zeros((1, CLASSES), dtype=np.int64)
    program.prepare(1, shares if is_garbler else None)
    program.evaluate(shares)


def test_a_peer_killed_while_we_wait_for_it() -> None:
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        both(garbler.wait_until_ready, evaluator.wait_until_ready)
        killer = threading.Timer(0.2, os.kill, (evaluator.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ProtocolError, match=r"closed the connection|is gone"):
            garbler.prepare(1, np.zeros((1, CLASSES)))
        killer.join()


def test_a_silent_peer_is_an_error_in_time() -> None:
    with (
        open_pair("argmax_1", timeout_seconds=0.3, **ARGMAX) as (garbler, evaluator),
    ):
        both(garbler.wait_until_ready, evaluator.wait_until_ready)
        with pytest.raises(ProtocolError, match="silent"):
            garbler.prepare(1, np.zeros((1, CLASSES)))


def test_no_peer_is_an_error_in_time() -> None:
    with (
        CircuitProgram.garbler("argmax_1", **ARGMAX, timeout_seconds=0.2) as garbler,
        pytest.raises(ProtocolError, match="no peer connected"),
    ):
        garbler.wait_until_ready()
    with (
        CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **ARGMAX
        ) as evaluator,
        pytest.raises(ProtocolError, match="does not answer"),
    ):
        evaluator.wait_until_ready()


def test_another_key_is_refused_and_the_right_one_still_served() -> None:
    with CircuitProgram.garbler("argmax_1", **ARGMAX, timeout_seconds=20) as garbler:
        with (
            CircuitProgram.evaluator(
                "argmax_1", port=garbler.port, key=bytes(32), **ARGMAX
            ) as stranger,
            pytest.raises(ProtocolError, match="key"),
        ):
            stranger.wait_until_ready()
        with CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **ARGMAX
        ) as evaluator:
            logits = np.eye(CLASSES, dtype=np.int64)
            np.testing.assert_array_equal(vote((garbler, evaluator), logits), logits)


def test_garbage_on_the_socket_costs_nothing() -> None:
    with CircuitProgram.garbler("argmax_1", **ARGMAX, timeout_seconds=20) as garbler:
        for garbage in (b"", b"GET / HTTP/1.0\r\n\r\n", bytes(5000), os.urandom(300)):
            with (
                socket.create_connection(("127.0.0.1", garbler.port)) as stranger,
                contextlib.suppress(OSError),
            ):
                stranger.sendall(garbage)
        with CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **ARGMAX
        ) as evaluator:
            both(garbler.wait_until_ready, evaluator.wait_until_ready)


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_the_link_is_encrypted(back_end: BackEnd) -> None:
    require("argmax_1", back_end)
    task = {**ARGMAX, "backend": back_end, "timeout_seconds": 20}
    with CircuitProgram.garbler("argmax_1", **task) as garbler:
        relay = Relay(garbler.port)
        with CircuitProgram.evaluator(
            "argmax_1", port=relay.port, key=garbler.key, **task
        ) as evaluator:
            logits = np.eye(CLASSES, dtype=np.int64)
            np.testing.assert_array_equal(vote((garbler, evaluator), logits), logits)
        garbler.close()
        relay.close()
    assert len(relay.seen) > garbler.traffic.bytes_sent + garbler.traffic.bytes_received
    # Names of the protocol's own messages, which start each of them in the clear.
    for marker in (b"CaPCprg1", b"CGC1"):
        assert marker not in relay.seen
    assert garbler.key not in relay.seen


@pytest.mark.parametrize("position", [10, 90, 140])
def test_a_wire_bent_during_the_handshake_is_an_error(position: int) -> None:
    with CircuitProgram.garbler("argmax_1", **ARGMAX) as garbler:
        relay = Relay(garbler.port, flip_after=position)
        with (
            CircuitProgram.evaluator(
                "argmax_1", port=relay.port, key=garbler.key, **ARGMAX
            ) as evaluator,
            pytest.raises(ProtocolError),
        ):
            evaluator.wait_until_ready()
        relay.close()


@pytest.mark.parametrize("position", [400, 5000, 9000, 40000])
def test_a_wire_bent_later_is_an_error_on_both_sides(position: int) -> None:
    with CircuitProgram.garbler("argmax_1", **ARGMAX) as garbler:
        relay = Relay(garbler.port, flip_after=position)
        with CircuitProgram.evaluator(
            "argmax_1", port=relay.port, key=garbler.key, **ARGMAX
        ) as evaluator:

            def fail(program: CircuitProgram, fixed: Int64 | None) -> None:
                with pytest.raises(ProtocolError, match="peer"):
                    for _ in range(3):
                        program.prepare(1, fixed)

            both(
                lambda: fail(garbler, np.zeros((1, CLASSES), dtype=np.int64)),
                lambda: fail(evaluator, None),
            )
        relay.close()


@pytest.mark.parametrize(
    ("difference", "reason"),
    [
        ({"classes": 9}, "classes"),
        ({"ring_bits": 40}, "ring-bits"),
        ({"vote_bits": 31}, "vote-bits"),
        ({"vote_shift": 8}, "vote-shift"),
    ],
)
def test_another_task_at_the_peer_is_named(difference: dict[str, int], reason: str) -> None:
    with (
        CircuitProgram.garbler("argmax_1", **ARGMAX) as garbler,
        CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **{**ARGMAX, **difference}
        ) as evaluator,
    ):
        for program in (garbler, evaluator):
            with pytest.raises(ProtocolError, match=reason):
                program.wait_until_ready()


def test_another_program_or_back_end_at_the_peer_is_named() -> None:
    with (
        CircuitProgram.garbler("argmax_1", **ARGMAX) as garbler,
        CircuitProgram.evaluator(
            "sum_histogram", port=garbler.port, key=garbler.key, classes=CLASSES
        ) as evaluator,
        pytest.raises(ProtocolError, match="other circuit program"),
    ):
        evaluator.wait_until_ready()
    require("argmax_1", "emp")
    with (
        CircuitProgram.garbler("argmax_1", **ARGMAX, backend="builtin") as garbler,
        CircuitProgram.evaluator(
            "argmax_1", port=garbler.port, key=garbler.key, **ARGMAX, backend="emp"
        ) as evaluator,
        pytest.raises(ProtocolError, match="back end"),
    ):
        evaluator.wait_until_ready()


def test_nothing_secret_where_others_can_look() -> None:
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        vote((garbler, evaluator), np.zeros((1, CLASSES), dtype=np.int64))
        for program in (garbler, evaluator):
            assert garbler.key.hex() not in repr(program) and str(garbler.key) not in repr(program)
            process = Path(f"/proc/{program.pid}")
            visible = (process / "cmdline").read_bytes()
            if os.access(process / "environ", os.R_OK):
                visible += (process / "environ").read_bytes()
            assert garbler.key not in visible
            assert garbler.key.hex().encode() not in visible.lower()
            assert b"--session" in visible
            limits = (process / "limits").read_text().splitlines()
            core = next(line for line in limits if line.startswith("Max core file size"))
            assert core.split()[-3:-1] == ["0", "0"]


@pytest.mark.parametrize(
    ("frame_type", "payload", "reason"),
    [
        (1, bytes(32), "middle of a session"),
        (2, bytes(7), "shorter than its header"),
        (2, bytes(8), "at least one instance"),
        (2, struct.pack("<II", 1, 0), "0 fixed words"),
        (2, struct.pack("<II", 1, CLASSES + 1) + bytes(8 * CLASSES + 8), "11 fixed words"),
        (2, struct.pack("<II", 1, CLASSES), "came with 0 bytes"),
        (2, struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF), "came with 0 bytes"),
        (2, struct.pack("<II", 1 << 29, 1 << 3), "came with 0 bytes"),
        (3, struct.pack("<II", 1, CLASSES) + bytes(8 * CLASSES), "nothing is prepared"),
        (3, struct.pack("<II", 1, 1) + bytes(8), "1 words an instance"),
        (4, b"x", "carries nothing"),
    ],
)
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_command_that_cannot_be_is_refused(
    back_end: BackEnd, frame_type: int, payload: bytes, reason: str
) -> None:
    with open_pair("argmax_1", **ARGMAX, backend=back_end) as (garbler, evaluator):
        both(garbler.wait_until_ready, evaluator.wait_until_ready)
        garbler._send(frame_type, payload)
        with pytest.raises(ProtocolError, match=reason):
            garbler._receive(18 + frame_type - 1)


def test_shares_for_another_number_of_instances_are_refused() -> None:
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        both(lambda: garbler.prepare(2, np.zeros((2, CLASSES))), lambda: evaluator.prepare(2))
        evaluator._send(3, struct.pack("<II", 1, CLASSES) + bytes(8 * CLASSES))
        with pytest.raises(ProtocolError, match="1 instances and the batch in turn has 2"):
            evaluator._receive(20)


def test_wrong_use_is_refused_before_it_reaches_the_program() -> None:
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        with pytest.raises(ValueError, match="instances is 0"):
            evaluator.prepare(0)
        with pytest.raises(ValueError, match="fixed has shape"):
            garbler.prepare(2, np.zeros((1, CLASSES), dtype=np.int64))
        with pytest.raises(ValueError, match="fixed has shape"):
            garbler.prepare(1)
        both(lambda: garbler.prepare(1, np.zeros((1, CLASSES))), lambda: evaluator.prepare(1))
        with pytest.raises(ValueError, match="shares has shape"):
            evaluator.evaluate(np.zeros((2, CLASSES), dtype=np.int64))
        _, shares = both(
            lambda: garbler.evaluate(np.zeros((1, CLASSES))),
            lambda: evaluator.evaluate(np.zeros((1, CLASSES))),
        )
        assert shares is not None
        assert shares.tolist() == [[1] + [0] * (CLASSES - 1)]
    with pytest.raises(ValueError, match="ring_bits"):
        CircuitProgram.garbler("argmax_1", classes=10)
    with pytest.raises(ValueError, match="vote_shift"):
        CircuitProgram.garbler("sum_histogram", classes=10, vote_shift=8)


def test_closing_twice_and_using_after(capfd: pytest.CaptureFixture[str]) -> None:
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        both(garbler.wait_until_ready, evaluator.wait_until_ready)
        garbler.close()
        garbler.close()
        evaluator.close()
        with pytest.raises(ProtocolError, match="ended"):
            garbler.prepare(1, np.zeros((1, CLASSES)))
    assert capfd.readouterr() == ("", "")


def test_programs_that_are_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPC_GC_BIN", str(tmp_path))
    with pytest.raises(ConfigError, match="make setup"):
        CircuitProgram.garbler("argmax_1", **ARGMAX)
    with pytest.raises(ConfigError, match=r"docs/emp\.md"):
        find_program("sum_histogram", "emp")
    with pytest.raises(ConfigError, match="allowed are"):
        find_program("sum_histogram", "other")  # type: ignore[arg-type]
