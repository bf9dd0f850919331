"""How a line of a log begins."""

from __future__ import annotations

import datetime
import logging


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
        when = datetime.datetime.fromtimestamp(record.created).astimezone()
        if self._on_terminal:
            return when.strftime(datefmt or "%H:%M:%S")
        return when.isoformat(timespec="milliseconds")
