"""The drawing thread on a pseudo-terminal: sizes, colours, and what goes where."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from rich.text import Text

from capc.cards.screen import Drawer, Pace, Screen


class Terminal:
    """A pseudo-terminal whose screen is what was written to it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(80, 24)
        self.written = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def until(self, found: Callable[[str], bool]) -> str:
        """Read until `found`; AssertionError after ten seconds."""
        deadline = time.monotonic() + 10
        while not found(self.written):
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, self.written
            self.written += os.read(self.ours, 1 << 16).decode()
        return self.written


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    os.close(made.ours)
    os.close(made.theirs)


ENVIRONMENT = {"TERM": "xterm", "LANG": "C.UTF-8"}


def test_it_follows_the_size_and_keeps_the_last_state(terminal: Terminal) -> None:
    state = ["first"]

    def lines(width: int, height: int, _now: float, _glyphs: object) -> list[Text]:
        return [Text(f"{state[0]} {width}x{height}", style="cyan")]

    drawer = Drawer(Screen(terminal.theirs, lines, ENVIRONMENT), lambda: False)
    terminal.until(lambda text: "first 80x24" in text)
    terminal.resize(38, 7)
    os.kill(os.getpid(), signal.SIGWINCH)
    terminal.until(lambda text: "first 38x7" in text)
    state[0] = "last"
    drawer.close()
    text = terminal.until(lambda text: text.endswith("\x1b[?25h"))
    assert text.count("last 38x7") == 1
    assert "\x1b[36m" in text
    assert "\x1b[?1049l" not in text  # the screen of its own stays
    assert signal.getsignal(signal.SIGWINCH) == signal.SIG_DFL


def test_it_draws_five_times_a_second_at_most(terminal: Terminal) -> None:
    drawn = []

    def lines(_width: int, _height: int, now: float, _glyphs: object) -> list[Text]:
        drawn.append(now)
        return [Text(str(len(drawn)))]

    drawer = Drawer(Screen(terminal.theirs, lines, ENVIRONMENT), lambda: True)
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        drawer.changed()
    drawer.close()
    assert 3 <= len(drawn) <= 8
    gaps = [after - before for before, after in pairwise(drawn[:-1])]
    assert min(gaps) > 0.19


def test_nothing_is_due_while_nothing_happens() -> None:
    pace = Pace()
    assert pace.left(100.0, ticking=False) == 0.0
    pace.drawn(100.0)
    assert pace.left(100.1, ticking=False) is None
    assert pace.left(100.1, ticking=True) == pytest.approx(0.4)
    pace.changed = True
    assert pace.left(100.1, ticking=False) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("environment", "codes"),
    [
        (ENVIRONMENT, {"36", "0", "2", "1;31"}),
        (ENVIRONMENT | {"NO_COLOR": "1"}, {"0", "2", "1"}),
        (ENVIRONMENT | {"TERM": "dumb"}, set()),
    ],
)
def test_no_color_is_respected(environment: dict[str, str], codes: set[str]) -> None:
    screen = Screen(1, lambda *_: [], environment)
    text = screen.coded(Text.assemble(("a", "cyan"), ("b", "dim"), ("c", "bold red"), "d"))
    assert set(re.findall(r"\x1b\[([\d;]+)m", text)) == codes


PARTY = """
import sys, time
from capc.cards.pane import Pane
from capc.cards.words import Facts
from capc.transport.control_messages import Done, Progress, Timing
pane = Pane(Facts("answering-3", 1), sys.argv[1])
pane.heard(Progress(0, "1a", "online"))
print("a line of a library")
sys.stderr.write("a warning\\n")
pane.heard(Timing(0, "1a", "online", 0.5, 1, 2, 3, 1))
pane.heard(Done())
sys.stdout.flush()
pane.close()
"""


def test_a_partys_own_lines_go_to_its_log_and_no_codes(terminal: Terminal, tmp_path: Path) -> None:
    log = tmp_path / "party.log"
    party = subprocess.Popen(
        [sys.executable, "-c", PARTY, str(log)],
        stdin=terminal.theirs,
        stdout=terminal.theirs,
        stderr=terminal.theirs,
        env=os.environ | ENVIRONMENT,
    )
    text = terminal.until(lambda text: text.endswith("\x1b[?25h"))
    assert party.wait(10) == 0
    assert "answering party 3" in text
    assert "finished: served 1 query" in text
    assert "a line of a library" not in text
    assert sorted(log.read_text().splitlines()) == ["a line of a library", "a warning"]
