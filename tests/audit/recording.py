"""What a party of the audit writes down: every message, and each value that its view gives it.

A recording is a file of records, one after the other: a line of JSON that names the record, its
length in bytes, and the bytes. Only the audit makes such files: they hold what a run must hide.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.fixed_point import Int64


@dataclass(frozen=True)
class Record:
    """One message or value. `kind` is sent, received or view; `what` names the message or value."""

    kind: str
    peer: str
    what: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def words(self) -> Int64:
        """The values of a view, int64 of `shape`."""
        return np.frombuffer(self.data, dtype="<i8").reshape(self.shape)


class Recorder:
    """Writes the records of one party, from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=1 << 20)
        self._lock = threading.Lock()

    def message(self, kind: str, peer: str, what: str, payload: Any) -> None:
        """A message as it stood between the parties, without encryption."""
        self._write(kind, peer, what, (), bytes(payload))

    def view(self, peer: str, what: str, values: Any) -> None:
        """Values that this party knows after a message; integers of any shape."""
        words = np.ascontiguousarray(values, dtype="<i8")
        self._write("view", peer, what, words.shape, words.tobytes())

    def close(self) -> None:
        """Write down what is still held."""
        self._file.close()

    def _write(self, kind: str, peer: str, what: str, shape: Sequence[int], payload: bytes) -> None:
        head = json.dumps([kind, peer, what, list(shape), len(payload)]).encode() + b"\n"
        with self._lock:
            self._file.write(head)
            self._file.write(payload)


def read_records(path: Path) -> Iterator[Record]:
    """The records of one party in the order in which it wrote them."""
    with path.open("rb") as file:
        while head := file.readline():
            kind, peer, what, shape, length = json.loads(head)
            yield Record(kind, peer, what, tuple(shape), file.read(length))
