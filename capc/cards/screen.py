"""A terminal that shows the lines of a card, as large as it is, and draws them again when it grows.

Nothing here waits for time to pass: a drawer waits for events, and for a time only as a limit.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from capc.cards.glyphs import Glyphs, glyphs_for

Lines = Callable[[int, int, float, Glyphs], Sequence[Text]]
"""The lines for so many columns and rows, at a time by time.monotonic, in these characters."""

_SHORTEST_SECONDS = 0.2  # between two drawings: five in a second at most
_TICK_SECONDS = 0.5  # while a step is at work, whose time runs on
_END_SECONDS = 2.0
# A screen of its own, which a terminal does not wrap anew; no cursor, nothing left of before.
_OPEN = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
_LEAVE, _KEEP = "\x1b[?25h\x1b[?1049l", "\x1b[?25h"
_USUAL_SIZE = (80, 24)


class Screen:
    """A terminal at an open descriptor, which stays the caller's to close."""

    def __init__(
        self, terminal: int, lines: Lines, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._terminal = terminal
        self._lines = lines
        self.glyphs = glyphs_for(environment)
        self._console = Console(force_terminal=True, _environ=environment)
        self._shown: tuple[tuple[int, int], str] | None = None
        self._attributes: list[Any] | None = None

    def open(self) -> None:
        """Clear the screen; keys that are typed there leave no trace on it."""
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(self._terminal)
            quiet = termios.tcgetattr(self._terminal)
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self._terminal, termios.TCSANOW, quiet)
        self._write(_OPEN)

    def draw(self, now: float) -> None:
        """Show the lines as they are now; nothing is written where nothing changed."""
        size = self.size()
        lines = self._lines(*size, now, self.glyphs)
        frame = "\x1b[K\r\n".join(self.coded(line) for line in lines)
        if (size, frame) != self._shown:
            self._shown = (size, frame)
            self._write(f"\x1b[H{frame}\x1b[K\x1b[J")

    def close(self, *, keep: bool) -> None:
        """Give the terminal back; `keep` leaves the last drawing on it."""
        with contextlib.suppress(OSError):
            self._write(_KEEP if keep else _LEAVE)
        if self._attributes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._attributes)

    def size(self) -> tuple[int, int]:
        """Columns and rows; 80 and 24 where the terminal does not say."""
        try:
            size = os.get_terminal_size(self._terminal)
        except OSError:
            return _USUAL_SIZE
        return (size.columns or _USUAL_SIZE[0], size.lines or _USUAL_SIZE[1])

    def coded(self, line: Text) -> str:
        """A line with the terminal's codes for its styles."""
        # A text without spans is rendered without its own style: it becomes a span.
        segments: Sequence[Segment] = list(Text.assemble(line).render(self._console))
        if self._console.no_color:
            segments = list(Segment.remove_color(segments))
        system = ColorSystem.STANDARD if self._console.color_system else None
        return "".join(
            (segment.style or Style.null()).render(segment.text, color_system=system)
            for segment in segments
        )

    def _write(self, text: str) -> None:
        rest = text.encode(errors="replace")
        while rest:
            rest = rest[os.write(self._terminal, rest) :]


class Events:
    """Something to wait for: another thread's wake, and the terminal's new size.

    The size is heard of in the main thread's block alone; elsewhere only `wake` is.
    """

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._previous: Any = None
        self._previous_fd = -1
        with contextlib.suppress(ValueError):  # not the main thread
            self._previous_fd = signal.set_wakeup_fd(
                self._write.fileno(), warn_on_full_buffer=False
            )
            self._previous = signal.signal(signal.SIGWINCH, _resized)

    def fileno(self) -> int:
        """Readable once something has happened."""
        return self._read.fileno()

    def wake(self) -> None:
        """Something has changed."""
        with contextlib.suppress(OSError):  # full: it is awake already
            self._write.send(b"\0")

    def wait(self, seconds: float | None, *others: Any) -> set[Any]:
        """Until something happens, or `seconds` have passed; those of `others` that can be read."""
        ready, _, _ = select.select([self, *others], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                pass
        return set(ready) - {self}

    def close(self) -> None:
        """Hear of no sizes any more."""
        if self._previous is not None:
            signal.set_wakeup_fd(self._previous_fd)
            signal.signal(signal.SIGWINCH, self._previous)
        self._read.close()
        self._write.close()


def _resized(_number: int, _frame: FrameType | None) -> None:
    """The descriptor of Events is what tells of it."""


class Pace:
    """When to draw next: soon after a change, now and then while time runs, else never."""

    def __init__(self) -> None:
        self._drawn = 0.0
        self.changed = True

    def drawn(self, now: float) -> None:
        """It was drawn."""
        self._drawn, self.changed = now, False

    def left(self, now: float, *, ticking: bool) -> float | None:
        """Seconds until the next drawing; None: not before something happens."""
        if not (self.changed or ticking):
            return None
        pause = _SHORTEST_SECONDS if self.changed else _TICK_SECONDS
        return max(0.0, self._drawn + pause - now)


class Drawer:
    """Draws a screen from a thread of its own, until it is closed.

    `ticking` says whether time runs on the screen. `changed` costs its caller one byte to a socket.
    """

    def __init__(self, screen: Screen, ticking: Callable[[], bool]) -> None:
        self._screen = screen
        self._ticking = ticking
        self._events = Events()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Have it drawn again, soon."""
        self._events.wake()

    def close(self) -> None:
        """Draw the last state and leave it there; a terminal that takes nothing is given up."""
        self._ended = True
        self._events.wake()
        self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._events.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the pane was closed
            self._screen.open()
            pace = Pace()
            while not self._ended:
                left = pace.left(time.monotonic(), ticking=self._ticking())
                if left == 0.0:
                    self._screen.draw(time.monotonic())
                    pace.drawn(time.monotonic())
                    continue
                before = time.monotonic()
                self._events.wait(left)
                pace.changed |= left is None or time.monotonic() - before < left
            self._screen.draw(time.monotonic())
            self._screen.close(keep=True)
