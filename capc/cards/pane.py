"""A party's own pane: its card there, and all that it writes otherwise in its log file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from capc.cards.card import Card
from capc.cards.lines import card_lines
from capc.cards.screen import Drawer, Screen
from capc.cards.words import Facts
from capc.transport.control_messages import Message


class Pane:
    """The pane at standard error, from now on until `close`."""

    def __init__(self, facts: Facts, log_file: str | Path) -> None:
        self.card = Card(facts)
        self._terminal = os.dup(2)
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor in (1, 2):  # warnings of libraries, and last words of a crash
            os.dup2(log, descriptor)
        os.close(log)
        screen = Screen(
            self._terminal,
            lambda width, height, now, glyphs: card_lines(self.card, width, height, now, glyphs),
        )
        self._drawer = Drawer(screen, lambda: self.card.state == "working")

    def heard(self, message: Message) -> None:
        """What the party tells the driver, it shows as well."""
        self.card.apply(message, time.monotonic())
        self._drawer.changed()

    def close(self) -> None:
        """The last state of the card stays."""
        self._drawer.close()
        os.close(self._terminal)
