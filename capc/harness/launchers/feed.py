"""What the driver hears of parties that share a pane, passed on to the process that draws it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from capc.files import socket_folder
from capc.harness.outcome import Observer
from capc.transport.control_messages import (
    Done,
    Hold,
    Message,
    Progress,
    Ready,
    Spent,
    Timing,
    encode,
)

_FOLDER_PREFIX = "capc-pane-"
# Never an answer: a label is the querying party's pane's alone.
_SHOWN = (Progress, Hold, Timing, Ready, Spent, Done)


class Feed:
    """A named pipe for one pane, in a folder that only this user may enter.

    It never waits for its reader: what a pane that stands still does not read is lost to it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        self._held = ExitStack()
        folder = self._held.enter_context(socket_folder(_FOLDER_PREFIX, "events"))
        self.path: Path = folder / "events"
        os.mkfifo(self.path, 0o600)
        # Open for reading too, so that it opens before its reader and keeps what comes until then.
        self._pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def send(self, party: str, message: Message) -> None:
        """Pass on a message of one of its parties."""
        if party in self.names and isinstance(message, _SHOWN):
            with contextlib.suppress(BlockingIOError):
                os.write(self._pipe, party.encode() + b" " + encode(message))

    def close(self) -> None:
        """The reader reads its end; the pipe's name goes."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
            self._held.close()


class Fed:
    """An observer that passes on to feeds what it hears, and then to another observer."""

    def __init__(self, observer: Observer, feeds: Sequence[Feed]) -> None:
        self._observer = observer
        self._feeds = feeds

    def on_message(self, party: str, message: Message) -> None:
        """Both are told."""
        for feed in self._feeds:
            feed.send(party, message)
        self._observer.on_message(party, message)

    def on_state(self, party: str, state: str) -> None:
        """A feed's parties say their states themselves."""
        self._observer.on_state(party, state)

    def refresh_at(self) -> float | None:
        """The other observer's."""
        return self._observer.refresh_at()

    def refresh(self) -> None:
        """The other observer's."""
        self._observer.refresh()
