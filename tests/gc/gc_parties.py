"""Both ends of a circuit session in two threads, and inputs for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from capc.fixed_point import Int64
from capc.gc import Circuit, EvaluatorSession, GarblerSession
from capc.transport.duplex import Duplex, MemoryDuplex

A = TypeVar("A")
B = TypeVar("B")


def both(garbler: Callable[[], A], evaluator: Callable[[], B]) -> tuple[A, B]:
    """Run the garbler in a thread and the evaluator here; the first failure is raised."""
    result: list[A] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(garbler())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        evaluated = evaluator()
    finally:
        thread.join()
    if failure:
        raise failure[0]
    return result[0], evaluated


def sessions(
    left: Duplex | None = None, right: Duplex | None = None, *, path: str = ""
) -> tuple[GarblerSession, EvaluatorSession]:
    """Two sessions that are set up: over the given ends, or in memory with a timeout of 20 s."""
    if left is None or right is None:
        left, right = MemoryDuplex.pair(20.0)
    return both(lambda: GarblerSession(left, path=path), lambda: EvaluatorSession(right, path=path))


def random_inputs(
    circuit: Circuit, instances: int, rng: np.random.Generator
) -> tuple[Int64, Int64, Int64]:
    """Online, fixed and evaluator words over the whole range of int64."""
    info = np.iinfo(np.int64)
    columns = (circuit.online_words, circuit.fixed_words, circuit.evaluator_words)
    online, fixed, evaluator = (
        rng.integers(info.min, info.max, (instances, n), endpoint=True) for n in columns
    )
    return online, fixed, evaluator
