"""`--step`: the run is held before each step until a key is pressed, and says what comes next.

Parties wait by message: each says on the control channel that it is about to begin, and begins when
the driver answers. A stage begins for all who take part in it together. While a key is awaited the
driver's deadlines stand still; the parties leave it to them, and wait for each other up to a day.
"""

from __future__ import annotations

import logging
import os
import sys
import termios
import textwrap
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from capc.cards.card import stage_of
from capc.cards.glyphs import CAUTION
from capc.cards.words import OFFLINE, SETUP, STAGES, STEPS_OF, Facts, sentence
from capc.errors import ConfigError
from capc.harness.recorder import Recorder
from capc.harness.settings import Settings
from capc.roles import QUERYING, role_of
from capc.transport.control_messages import Hold

logger = logging.getLogger("capc.driver")

PATIENCE_SECONDS = 86_400.0  # the most that the circuit programs take
Place = tuple[int, int]
"""The first query of a batch (-1 for set-up), and the number of the stage."""

_SETUP: Place = (-1, STAGES.index(SETUP))


def require_keyboard() -> None:
    """ConfigError where no key can be awaited: off a terminal, or in its background."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "--step waits for a key, but standard input or output is no terminal: start the run "
            "in a terminal, or leave --step out"
        )
    if os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp():
        raise ConfigError("--step waits for a key, but this run is in the background: use fg")


@contextmanager
def lecture_of(
    settings: Settings, names: Sequence[str], recorder: Recorder
) -> Iterator[Lecture | None]:
    """The lecture of a run, above its live table, where --step asks for it; else None."""
    if not settings.step:
        yield None
        return

    def say(text: str) -> None:
        logger.info("%s", text)
        for line in textwrap.wrap(text, recorder.view.console.width):
            recorder.view.line(line, CAUTION)
        recorder.view.refresh()

    facts = Facts(
        QUERYING,
        settings.n_queries,
        with_threshold=settings.privacy.threshold is not None,
        unencrypted=settings.unencrypted,
        verify=settings.verify,
        distributed_noise=settings.privacy.distributed,
        label_sets=settings.multi_label,
    )
    with keys() as keyboard:
        yield Lecture(names, facts, keyboard, say)


@contextmanager
def keys() -> Iterator[int]:
    """The descriptor from which each key can be read at once, without its echo; Ctrl-C stays."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSAFLUSH)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


class Lecture:
    """Holds the parties `names` before each stage; `say` shows a line to the one at the keyboard.

    `facts` are public ones of the run; whose card they are for does not matter.
    """

    def __init__(
        self, names: Sequence[str], facts: Facts, keyboard: int, say: Callable[[str], None]
    ) -> None:
        self._names = tuple(names)
        self._facts = facts
        self._keyboard = keyboard
        self._say = say
        self._waiting: dict[str, Place] = {}
        self._passed: Place = (-1, -1)
        self._asked: tuple[Place, float] | None = None

    def fileno(self) -> int:
        """The keyboard: readable once a key was pressed."""
        return self._keyboard

    @property
    def asking(self) -> bool:
        """Whether a key is awaited."""
        return self._asked is not None

    def may_introduce(self) -> bool:
        """Whether set-up may begin; asks for a key the first time."""
        if self._passed < _SETUP and not self.asking:
            self._ask(_SETUP)
        return self._passed >= _SETUP

    def hold(self, party: str, message: Hold) -> list[str]:
        """A party waits; those that may go on at once."""
        stage = STAGES.index(stage_of(message.step, message.phase))
        place = (-1 if message.query is None else message.query, stage)
        if place <= self._passed:
            return [party]
        self._waiting[party] = place
        self._ask_where_all_wait()
        return []

    def _ask_where_all_wait(self) -> None:
        """Ask for a key once everyone who takes part in the next stage waits before it."""
        place = min(self._waiting.values())
        stage = STAGES[place[1]]
        taking_part = [
            name for name in self._names if stage == OFFLINE or stage in STEPS_OF[role_of(name)]
        ]
        if not self.asking and all(self._waiting.get(name) == place for name in taking_part):
            self._ask(place)

    def _ask(self, place: Place) -> None:
        self._asked = (place, time.monotonic())
        stage = STAGES[place[1]]
        when = {SETUP: "set-up", OFFLINE: f"before query {place[0]}"}.get(
            stage, f"query {place[0]}, step {stage}"
        )
        self._say(f"NEXT: {when}: {sentence(stage, self._facts)}.")
        self._say("Press a key to go on; Ctrl-C ends the run.")

    def pressed(self) -> tuple[list[str], float] | None:
        """After a key: those that may go on, and the seconds that the run was held.

        Keys that were pressed while nothing was asked change nothing. None: the terminal is gone.
        """
        try:
            if not os.read(self._keyboard, 4096):
                return None
        except OSError:
            return None
        if self._asked is None:
            return [], 0.0
        (self._passed, since), self._asked = self._asked, None
        going = [name for name, place in self._waiting.items() if place <= self._passed]
        for name in going:
            del self._waiting[name]
        return going, time.monotonic() - since
