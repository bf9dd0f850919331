"""Answering parties that come to the guardian while a run goes on: a query can do without some."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from capc.errors import ProtocolError
from capc.roles import ANSWERING, role_of
from capc.transport.channel import Channel

logger = logging.getLogger(__name__)


class LateComers:
    """They are greeted as they come; the guardian takes them between two batches.

    `greet` gives the channel by which a party joins; ProtocolError where it cannot.
    """

    def __init__(self, greet: Callable[[Channel], Channel]) -> None:
        self._greet = greet
        self._lock = threading.Lock()
        self._come: dict[str, Channel] = {}

    def let_in(self, channel: Channel) -> None:
        """One has come."""
        try:
            if role_of(channel.party) != ANSWERING:
                raise ProtocolError("only answering parties can join a run that goes on")
            joined = self._greet(channel)
        except ProtocolError as error:
            logger.warning("%s cannot join: %s", channel.party, error)
            channel.close()
            return
        with self._lock:
            older, self._come[joined.party] = self._come.get(joined.party), joined
        if older is not None:
            older.close()

    def take(self) -> dict[str, Channel]:
        """Those that have come since the last time, by name."""
        with self._lock:
            come, self._come = self._come, {}
        return come

    def close(self) -> None:
        """The run is over for those that were not taken."""
        for channel in self.take().values():
            channel.close()
