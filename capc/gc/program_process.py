"""A circuit program's process: what goes in and comes out, and what it says on standard error."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import subprocess
import time
from collections.abc import Sequence
from typing import cast

from capc.child_process import ends_within, start_child

logger = logging.getLogger(__name__)

_END_SECONDS = 5.0
_PIECE_BYTES = 1 << 16


class ProgramProcess:
    """One process with three pipes. Standard error is read whenever there is a wait for another.

    So the program never blocks on a message that nobody reads. Not thread-safe but for `kill`.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._prefix = f"{name}: error: "
        self._child = start_child(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # Without a buffer size these are raw files.
        self._input = cast(io.FileIO, self._child.stdin)
        self._output = cast(io.FileIO, self._child.stdout)
        self._messages = cast(io.FileIO, self._child.stderr)
        for file in (self._input, self._messages):
            os.set_blocking(file.fileno(), False)
        self._heard = bytearray()  # of a line that has not ended
        self._hears = True
        self._has_failed = False
        self.last_line = ""  # the error that it named, else what it said last

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def has_ended(self) -> bool:
        """Whether `end` is over."""
        return self._child.returncode is not None

    def write(self, data: bytes) -> None:
        """All of it to standard input; OSError where the program has ended."""
        view = memoryview(data)
        while view:
            self._wait(self._input.fileno(), select.POLLOUT)
            view = view[self._input.write(view) or 0 :]

    def read(self, length: int) -> bytearray:
        """Exactly so many bytes of standard output; EOFError where it ends before."""
        buffer = bytearray(length)
        view = memoryview(buffer)
        while view:
            self._wait(self._output.fileno(), select.POLLIN)
            count = self._output.readinto(view)
            if not count:
                raise EOFError
            view = view[count:]
        return buffer

    def kill(self) -> None:
        """End the process at once, from any thread: who waits for it finds its pipes at an end."""
        self._child.kill()

    def end(self) -> None:
        """Close the program's input, which ends it; kill it where it does not end."""
        with contextlib.suppress(OSError):
            self._input.close()
        self._read_to_the_end()
        if not ends_within(self._child, _END_SECONDS):
            self._child.kill()
            self._child.wait()
        self.listen()
        if self._heard:
            self._log_line(bytes(self._heard))
        self._output.close()
        self._messages.close()

    def listen(self) -> None:
        """Log what it has written to standard error by now; its lines hold nothing secret."""
        while self._hears and (data := self._messages.read(_PIECE_BYTES)) is not None:
            self._hears = bool(data)
            *lines, rest = (self._heard + data).split(b"\n")
            for line in lines:
                self._log_line(line)
            self._heard = bytearray(rest[-_PIECE_BYTES:])

    def _log_line(self, line: bytes | bytearray) -> None:
        text = line.decode(errors="replace")
        names_error = text.startswith(self._prefix)
        if names_error or not self._has_failed:
            self.last_line = text.removeprefix(self._prefix)
        self._has_failed |= names_error
        logger.warning("%s", text)

    def _wait(self, descriptor: int, event: int) -> None:
        """Until a pipe is ready, reading standard error meanwhile."""
        while True:
            poll = select.poll()
            poll.register(descriptor, event)
            if self._hears:
                poll.register(self._messages.fileno(), select.POLLIN)
            ready = {found for found, _ in poll.poll()}
            if ready - {descriptor}:
                self.listen()
            if descriptor in ready:
                return

    def _read_to_the_end(self) -> None:
        """Take what the program still writes, so that it can end."""
        deadline = time.monotonic() + _END_SECONDS
        poll = select.poll()
        poll.register(self._output.fileno(), select.POLLIN)
        if self._hears:
            poll.register(self._messages.fileno(), select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {found for found, _ in poll.poll(1000 * left)}
            if self._messages.fileno() in ready:
                self.listen()
                if not self._hears:
                    poll.unregister(self._messages.fileno())
            if self._output.fileno() in ready and not self._output.read(_PIECE_BYTES):
                return
