"""Both programs of a pair, for the tests of the circuit programs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pytest

from capc.errors import ConfigError
from capc.fixed_point import Int64, uniform_bits
from capc.gc.program_files import BackEnd, ProgramName, find_program
from capc.gc.programs import CircuitProgram

RING, CLASSES, VOTES = 41, 10, 32
ARGMAX: dict[str, Any] = {"ring_bits": RING, "classes": CLASSES}
BACK_ENDS: list[BackEnd] = ["builtin", "emp"]
Pair = tuple[CircuitProgram, CircuitProgram]

T = TypeVar("T")
U = TypeVar("U")


def both(left: Callable[[], T], right: Callable[[], U]) -> tuple[T, U]:
    """Run the two parties' parts at the same time; the first error is raised when both are over."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(left), pool.submit(right)
    return first.result(), second.result()


def require(name: ProgramName, back_end: BackEnd) -> None:
    """Skip, saying why, where EMP's programs are not built; the own ones must be."""
    try:
        find_program(name, back_end)
    except ConfigError as error:
        if back_end != "emp":
            raise
        pytest.skip(str(error))


@contextlib.contextmanager
def open_pair(
    name: ProgramName, *, timeout_seconds: float = 20.0, **task: Any
) -> Iterator[tuple[CircuitProgram, CircuitProgram]]:
    """A garbler's and an evaluator's program, connected."""
    require(name, task.get("backend", "auto"))
    task["timeout_seconds"] = timeout_seconds
    with (
        CircuitProgram.garbler(name, **task) as garbler,
        CircuitProgram.evaluator(name, port=garbler.port, key=garbler.key, **task) as evaluator,
    ):
        yield garbler, evaluator


def signed(values: Int64, bits: int) -> Int64:
    """Two's complement of the low bits."""
    shift = np.int64(64 - bits)
    return (values << shift) >> shift


class Relay:
    """A wire that is listened to, and where asked bent: one TCP connection passed on.

    A bit of byte `flip_after` of what comes from `port` is flipped, or of what goes there.
    """

    def __init__(
        self, port: int, *, flip_after: int | None = None, flip_to_port: bool = False
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._target = port
        self._flip_after = flip_after
        self._flip_to_port = flip_to_port
        self.seen = bytearray()
        self._threads: list[threading.Thread] = []
        self._start(self._run)

    def _start(self, work: Callable[..., None], *arguments: socket.socket | bool) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._target))
            self._start(self._copy, near, far, self._flip_to_port)
            self._start(self._copy, far, near, not self._flip_to_port)

    def _copy(self, source: socket.socket, sink: socket.socket, bend: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(65536)):
                self.seen += data
                if bend and self._flip_after is not None:
                    at = self._flip_after - passed
                    if 0 <= at < len(data):
                        data[at] ^= 1
                passed += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections and wait until those there are have ended."""
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=10)


def vote(pair: Pair, logits: Int64) -> Int64:
    """One query's votes, from shares of its logits, shares of the votes put together again."""
    garbler, evaluator = pair
    rows = len(logits)
    masks = uniform_bits(RING, logits.shape)
    vote_shares = uniform_bits(VOTES, logits.shape)
    both(lambda: garbler.prepare(rows, vote_shares), lambda: evaluator.prepare(rows))
    nothing, shares = both(
        lambda: garbler.evaluate(masks), lambda: evaluator.evaluate(logits - masks)
    )
    assert nothing is None
    assert shares is not None and shares.min() >= 0 and shares.max() < 1 << VOTES
    return (shares + vote_shares) % (1 << VOTES)


def count(pair: Pair, words: Int64, votes: Int64) -> tuple[Int64 | None, Int64]:
    """What the guardian and the querying party learn of shared votes."""
    garbler, evaluator = pair
    shares = uniform_bits(VOTES, votes.shape)
    repeats = words.shape[1] // votes.shape[1]
    words = words - np.tile(shares, repeats)
    both(lambda: garbler.prepare(len(votes)), lambda: evaluator.prepare(len(votes)))
    opened, learnt = both(
        lambda: garbler.evaluate(words), lambda: evaluator.evaluate(votes + shares)
    )
    assert learnt is not None
    return opened, learnt
