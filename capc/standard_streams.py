"""Standard input, output and error that may be closed, full, or read by nobody."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from capc.errors import CapcError, ExitStatus

_NAMES = ("input", "output", "error")


class OutputError(CapcError):
    """Standard output that cannot be written."""

    exit_status = ExitStatus.FAILED


class ReaderGoneError(OutputError):
    """Who read standard output has gone, as `head` does: there is nobody to be told."""


class _Output(io.FileIO):
    """Raises OutputError where a plain file raises an OSError that names no file."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise ReaderGoneError("standard output: who read it has gone") from None
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None


class _Messages(io.FileIO):
    """Loses what cannot be written: no run ends because nobody hears what it says."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            return len(content)


def guard() -> None:
    """Make the standard streams fit to be written to, whatever this process was started with.

    A closed descriptor becomes /dev/null, so that no file opened later takes its number. Raises
    OutputError where standard output was closed.
    """
    closed = _filled()
    if closed[2] or sys.stderr is None or _is_plain(sys.stderr, sys.__stderr__):
        sys.stderr = _text(_Messages(2, "wb", closefd=False), sys.stderr)
    if sys.stdout is None or (closed[1] and sys.stdout is sys.__stdout__):
        sys.stdout = _text(io.FileIO(1, "wb", closefd=False), None)
        raise OutputError("standard output is closed: send it to a file, or to /dev/null")
    if _is_plain(sys.stdout, sys.__stdout__):
        sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows a question mark in its place: no run ends by it.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def abandon_output() -> None:
    """Nothing more is written to standard output, not even what waits in its buffer at exit."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def say(line: str) -> None:
    """One line on standard error, where anybody hears it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _filled() -> list[bool]:
    """Which of the three descriptors were closed; they are /dev/null now."""
    closed = []
    for number in range(len(_NAMES)):
        try:
            os.fstat(number)
            closed.append(False)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
            closed.append(True)
    return closed


def _is_plain(stream: Any, original: Any) -> bool:
    """Whether a stream is the interpreter's own, on its descriptor: tests put others there."""
    return (
        stream is original
        and isinstance(stream, io.TextIOWrapper)
        and not isinstance(getattr(stream.buffer, "raw", stream.buffer), (_Output, _Messages))
    )


def _text(raw: io.FileIO, like: Any) -> io.TextIOWrapper:
    encoding = getattr(like, "encoding", None) or "utf-8"
    if like is not None:
        with contextlib.suppress(OSError, ValueError):
            like.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="replace" if raw.fileno() == 1 else "backslashreplace",
        line_buffering=raw.fileno() == 2 or getattr(like, "line_buffering", False),
        write_through=getattr(like, "write_through", False),
    )
