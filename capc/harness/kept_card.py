"""The process in a pane after its run: the last card of its party, or of those that share it.

It reads the run's folder once, and draws again when the pane's size changes. It ends with the
pane.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from capc.cards.glyphs import Glyphs
from capc.cards.lines import card_lines
from capc.cards.screen import Events, Screen
from capc.cards.shared import shared_lines
from capc.command_line import ExitStatus, run_command
from capc.harness.recorded import RecordedRun


def main(argv: list[str]) -> int:
    """`argv` holds the run's folder and the names of the parties."""
    run = RecordedRun(Path(argv[0]))
    cards = [run.final_card(name) for name in argv[1:]]

    def lines(width: int, height: int, now: float, glyphs: Glyphs) -> Sequence[Text]:
        if len(cards) == 1:
            return card_lines(cards[0], width, height, now, glyphs)
        return shared_lines(cards, width, height, now, glyphs)

    screen, events = Screen(sys.stdout.fileno(), lines, os.environ), Events()
    screen.open()
    try:
        while True:
            screen.draw(time.monotonic())
            events.wait(None)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    finally:
        screen.close(keep=True)
        events.close()


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
