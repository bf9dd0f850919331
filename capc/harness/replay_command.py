"""`capc replay`: the cards of a finished run once more, at any speed, in one terminal."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from capc.cards.board import board_lines
from capc.cards.card import Card
from capc.cards.glyphs import UNICODE, Glyphs, glyphs_for
from capc.cards.lines import SMALLEST
from capc.cards.picture import svg
from capc.cards.screen import Events, Screen
from capc.command_line import ExitStatus, Parser
from capc.errors import ConfigError, FileError
from capc.files import EVERYONE, write_whole
from capc.harness.lecture import keys
from capc.harness.recorded import RecordedRun

_FRAME_SECONDS = 0.2
_PLAIN_WIDTH = 80
_PLAIN_HEIGHT = 10_000  # of what goes to a file: every party's card


def main(argv: list[str]) -> int:
    """Play one run; ConfigError for a folder that is none."""
    flags = _parser().parse_args(argv)
    run = RecordedRun(flags.run)
    names = run.names() if flags.party is None else [_known(flags.party, run.names())]
    if flags.svg is not None:
        _draw(run, names, flags)
        return ExitStatus.OK
    if not sys.stdout.isatty():
        _print_end([run.final_card(name) for name in names])
        return ExitStatus.OK
    player = Player(run, names, flags.speed)
    if sys.stdin.isatty():
        with keys() as keyboard:
            player.play(keyboard)
    else:
        player.play(None)
    return ExitStatus.OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "capc replay",
        description="Play the cards of a finished run, from its folder's run.json, timings.csv and "
        "queries.csv.\nSpace pauses, q ends. Off a terminal the last cards are printed.",
        examples=["capc replay results/latest --speed 4"],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--speed", type=_number(0.001, 1e6), default=1.0, help="times as fast (default 1)"
    )
    parser.add_argument("--party", default=None, help="one party's card alone, as querying")
    parser.add_argument("--svg", type=Path, default=None, metavar="FILE", help="draw a picture")
    parser.add_argument("--size", type=_size, default=(80, 24), help="of it (default 80x24)")
    parser.add_argument(
        "--at",
        type=_number(0, 1e9),
        default=None,
        metavar="SECONDS",
        help="the moment of the picture (default: the end)",
    )
    return parser


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"{text[:40]} is not a number from {least:g} to {most:g}"
            )
        return value

    return number


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
        raise argparse.ArgumentTypeError(
            f"{text[:40]} is not columns x rows, from {SMALLEST[0]}x{SMALLEST[1]} on"
        )
    return size


def _known(party: str, names: Sequence[str]) -> str:
    if party not in names:
        raise ConfigError(f"--party is {party!r}; the run has {names[0]} to {names[-1]}")
    return party


def _print_end(cards: Sequence[Card]) -> None:
    """The last cards as plain text, one below the other."""
    glyphs = glyphs_for(os.environ)
    for line in board_lines(cards, _PLAIN_WIDTH, _PLAIN_HEIGHT, 0.0, glyphs):
        sys.stdout.write(line.plain.rstrip() + "\n")


def _draw(run: RecordedRun, names: Sequence[str], flags: argparse.Namespace) -> None:
    """The picture of --svg."""
    player = Player(run, names, 1.0)
    player.advance(math.inf if flags.at is None else flags.at)
    width, height = flags.size
    title = f"CaPC run {flags.run.resolve().name}"  # no path: a picture is for others
    picture = svg(player.lines(width, height, player.played, UNICODE), width, title)
    write_whole(flags.svg, picture, mode=EVERYONE, error=FileError)


class Player:
    """Plays a run on standard output; `speed` 2 takes half the time."""

    def __init__(self, run: RecordedRun, names: Sequence[str], speed: float) -> None:
        self._run = run
        self._speed = speed
        self._cards = {name: Card(run.facts(name)) for name in names}
        self._left = [event for event in run.events() if event.party in self._cards]
        self._left.reverse()  # the next one stands last
        self.played = 0.0  # seconds of the run that have been played
        self._paused = False

    def play(self, keyboard: int | None) -> None:
        """To the end, which stays until a key is pressed; without a keyboard it just ends."""
        screen, events = Screen(sys.stdout.fileno(), self.lines, os.environ), Events()
        screen.open()
        try:
            while self._left or keyboard is not None:
                began = time.monotonic()
                screen.draw(self.played)
                pressed = events.wait(self._pause(), *([] if keyboard is None else [keyboard]))
                if pressed and keyboard is not None and self._ends(os.read(keyboard, 64)):
                    return
                if not self._paused:
                    self.advance((time.monotonic() - began) * self._speed)
            screen.draw(self.played)
        except KeyboardInterrupt:
            return
        finally:
            screen.close(keep=keyboard is None)
            events.close()

    def _pause(self) -> float | None:
        """Seconds to the next drawing; None: a key is all that can happen."""
        return None if self._paused or not self._left else _FRAME_SECONDS

    def _ends(self, typed: bytes) -> bool:
        if b" " in typed and self._left:
            self._paused = not self._paused
        return not typed or b"q" in typed or not self._left

    def advance(self, seconds: float) -> None:
        """Let so many seconds of the run pass."""
        self.played += seconds
        while self._left and self._left[-1].at <= self.played:
            event = self._left.pop()
            self._cards[event.party].apply(event.message, event.at)
        if not self._left:
            for card in self._cards.values():
                self._run.end(card)

    def lines(self, width: int, height: int, now: float, glyphs: Glyphs) -> Sequence[Text]:
        """All cards, at `now` seconds of the run."""
        return board_lines(list(self._cards.values()), width, height, now, glyphs)
