"""The process in a pane that several parties share: their lines, from the driver's feed.

It ends when the driver closes the feed, and leaves on the screen what it last drew.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from capc.cards.card import Card
from capc.cards.screen import Events, Pace, Screen
from capc.cards.shared import shared_lines
from capc.cards.words import Facts
from capc.command_line import ExitStatus
from capc.errors import ProtocolError
from capc.transport.control_messages import decode


def main(argv: list[str]) -> int:
    """`argv` holds the feed's path and the parties' names."""
    path, *names = argv
    cards = {name: Card(Facts(name, n_queries=1)) for name in names}  # no line says how many
    screen = Screen(
        sys.stdout.fileno(),
        lambda width, height, now, glyphs: shared_lines(
            list(cards.values()), width, height, now, glyphs
        ),
    )
    with contextlib.suppress(FileNotFoundError):  # the run was over first
        feed = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        _draw(screen, feed, cards)
        os.close(feed)
    return ExitStatus.OK


def _draw(screen: Screen, feed: int, cards: dict[str, Card]) -> None:
    events, pace, pending, open_ = Events(), Pace(), b"", True
    screen.open()
    while open_:
        ticking = any(card.state == "working" for card in cards.values())
        left = pace.left(time.monotonic(), ticking=ticking)
        if left == 0.0:
            screen.draw(time.monotonic())
            pace.drawn(time.monotonic())
            continue
        before = time.monotonic()
        if events.wait(left, feed):
            received = os.read(feed, 1 << 16)
            open_ = bool(received)
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                apply_line(cards, line)
        pace.changed |= left is None or time.monotonic() - before < left
    screen.draw(time.monotonic())
    screen.close(keep=True)
    events.close()


def apply_line(cards: dict[str, Card], line: bytes) -> None:
    """A party's name and its message; what the feed lost the half of is passed over."""
    name, _, message = line.partition(b" ")
    card = cards.get(name.decode(errors="replace"))
    if card is not None:
        with contextlib.suppress(ProtocolError):
            card.apply(decode(message), time.monotonic())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
