"""A party's own log of what it did: JSON lines, each with the hash of the one before it.

A line that is changed, removed or put in between breaks the chain. The end of a log can be cut off
without a trace in the log itself; but each party tells the others the last hash when they meet, and
their logs keep it.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capc.errors import ConfigError, FileError
from capc.files import open_bounded, parse_json

START = "0" * 64
_MOST_LINE = 1 << 20


class BrokenLogError(FileError):
    """A log whose chain does not hold; the message names the line."""


@dataclass(frozen=True)
class Entry:
    """One line: its number from 1 on, its own hash, and what it says."""

    number: int
    hash: str
    fields: dict[str, Any]


def entries(path: Path) -> Iterator[Entry]:
    """The lines of a log, each checked against the one before.

    Raises BrokenLogError for the first that does not fit, ConfigError for a file that cannot be
    read.
    """
    try:
        with open_bounded(path) as file:
            number, previous = 0, START
            while line := file.readline(_MOST_LINE):
                number += 1
                fields = _checked(line, f"{path}, line {number}", number, previous)
                previous = fields["hash"]
                yield Entry(number, previous, fields)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


class AuditLog:
    """A log that this process alone appends to, until `close`.

    A line is on the disk when `append` returns. Raises ConfigError for a file that is in use,
    BrokenLogError for one whose chain does not hold, FileError where a line cannot be written whole
    (nothing of it is left then).
    """

    def __init__(self, path: Path, read: Callable[[Entry], None] = lambda _entry: None) -> None:
        """`read` is told each line that is there already, as it is checked."""
        self.path = path
        self._lock = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as error:
            raise ConfigError(f"log {path} cannot be opened: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise ConfigError(f"log {path} is not a regular file")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._number, self.head = 0, START
            for entry in entries(path):
                self._number, self.head = entry.number, entry.hash
                read(entry)
        except OSError:
            os.close(self._file)
            raise ConfigError(f"log {path} is in use: this party runs already") from None
        except BaseException:
            os.close(self._file)
            raise

    def append(self, event: str, **fields: Any) -> None:
        """One line more; `fields` is whatever JSON can say. None of it may be secret."""
        with self._lock:
            at = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
            content = {"number": self._number + 1, "at": at, "event": event, **fields}
            content["previous"] = self.head
            content["hash"] = _hash(content)
            self._write(_line(content))
            self._number, self.head = self._number + 1, content["hash"]

    def close(self) -> None:
        """Let another process append; safe to call twice."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _write(self, line: bytes) -> None:
        if self._file < 0:
            raise FileError(f"log {self.path} is closed")
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                os.ftruncate(self._file, before)
                raise FileError(f"log {self.path} cannot be written: the disk is full")
            os.fsync(self._file)
        except OSError as error:
            raise FileError(f"log {self.path} cannot be written: {error.strerror}") from None


def is_in_use(path: Path) -> bool:
    """Whether a process appends to the log."""
    with open_bounded(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _checked(line: bytes, place: str, number: int, previous: str) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise BrokenLogError(f"{place} is not complete")
    try:
        fields = parse_json(line)
    except ValueError:
        raise BrokenLogError(f"{place} is not JSON") from None
    if type(fields) is not dict or type(fields.get("hash")) is not str:
        raise BrokenLogError(f"{place} has no hash")
    if fields["hash"] != _hash(fields) or line != _line(fields):
        raise BrokenLogError(f"{place} was changed: its hash is of other content")
    if fields.get("previous") != previous or fields.get("number") != number:
        raise BrokenLogError(f"{place} does not follow the line before it: lines were removed")
    return fields


def _hash(fields: dict[str, Any]) -> str:
    content = {name: value for name, value in fields.items() if name != "hash"}
    return hashlib.sha256(_line(content)).hexdigest()


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
