"""What a line of a log looks like: text for people, or a JSON object for programs."""

from __future__ import annotations

import datetime
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

LogFormat = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

_step: ContextVar[str | None] = ContextVar("step", default=None)


@contextmanager
def in_step(step: str) -> Iterator[None]:
    """Lines that this thread logs in the block are of this step.

    After an error that leaves the block they still are: what is said of it belongs to the step.
    """
    before = _step.set(step)
    yield
    _step.reset(before)


def formatter_of(
    log_format: LogFormat, role: str, *, on_terminal: bool = False
) -> logging.Formatter:
    """The formatter of one role's lines; JSON is the same on a terminal as in a file."""
    if log_format == "json":
        return JsonFormatter(role)
    return LogFormatter(role, on_terminal=on_terminal)


class LogFormatter(logging.Formatter):
    """Lines of one role.

    In a file they begin with the local date and time and their zone, as ISO 8601; on a terminal
    with the time alone.
    """

    def __init__(self, role: str, *, on_terminal: bool = False) -> None:
        super().__init__(f"%(asctime)s {role.replace('%', '%%')} %(message)s")
        self._on_terminal = on_terminal

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """The time of a record."""
        if self._on_terminal:
            return _moment(record).strftime(datefmt or "%H:%M:%S")
        return _moment(record).isoformat(timespec="milliseconds")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601 with zone), level, role, step, message.

    `step` is null outside of the protocol's steps. A line with a traceback has it as `trace`.
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """The object of a record."""
        said = {
            "time": _moment(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "step": _step.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said)


class LogStream(io.StringIO):
    """Text for a log of JSON lines: each of its lines that is not blank is a record."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger
        self._begun = ""

    def write(self, text: str) -> int:
        """Log the lines that are complete now."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self._logger.info("%s", line.rstrip())
        return len(text)


def _moment(record: logging.LogRecord) -> datetime.datetime:
    """The local time of a record, with its zone."""
    return datetime.datetime.fromtimestamp(record.created).astimezone()
