"""What a driver and its worker on a node say to each other, and a thread that waits for it.

The connection is TLS 1.3 between two certificates that both ends know, one connection each way.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from capc.errors import ProtocolError
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

DOWN, UP = "driver-down", "driver-up"
"""The driver's names on the connections to a node and from it."""

PIECE = 1 << 18
_MOST_BYTES = PIECE + 64
_NAME = re.compile(rb"[a-z0-9-]{1,32}")


class Kind(IntEnum):
    """What a frame says of a party."""

    START = 1  # down: run the party of the module that is named; its files follow
    FILES = 2  # down: the next bytes of its files
    SIGNAL = 3  # down: a signal for its process group
    CONTROL = 4  # both ways: bytes of its control channel; none at its end
    LOG = 5  # up: bytes of its log
    EXIT = 6  # up: its exit status; the last frame of a party


@dataclass(frozen=True)
class Frame:
    """One message about one party."""

    kind: Kind
    party: str
    data: bytes = b""


def send_frame(channel: Channel, frame: Frame) -> None:
    """Raises ProtocolError where the other end is gone."""
    payload = bytes([frame.kind]) + frame.party.encode() + b"\n" + frame.data
    channel.send(MessageType.SUPERVISION, payload)


def receive_frame(channel: Channel) -> Frame:
    """Wait for the next one; ProtocolError for anything else, and at the end."""
    payload = bytes(channel.recv(MessageType.SUPERVISION, _MOST_BYTES))
    party, found, data = payload[1:].partition(b"\n")
    if not found or not _NAME.fullmatch(party) or payload[0] not in Kind._value2member_map_:
        raise ProtocolError(f"{channel.peer} sent a frame of no known kind and party")
    return Frame(Kind(payload[0]), party.decode(), data)


class Watcher:
    """Calls back, in a thread of its own, each time that a descriptor is readable."""

    def __init__(self, name: str) -> None:
        # Of all selectors this one takes descriptors from other threads while it waits.
        self._selector = selectors.EpollSelector()
        self._lock = threading.Lock()
        self._end, self._end_write = os.pipe()
        self._selector.register(self._end, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def watch(self, descriptor: int, ready: Callable[[], object]) -> None:
        """Call `ready` whenever there is something to read."""
        with self._lock:
            self._selector.register(descriptor, selectors.EVENT_READ, ready)

    def forget(self, descriptor: int) -> None:
        """Before the descriptor is closed; nothing happens where it is not watched."""
        with self._lock, contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def close(self) -> None:
        """After the callback that runs."""
        os.close(self._end_write)
        self._thread.join()
        self._selector.close()
        os.close(self._end)

    def _run(self) -> None:
        while True:
            events = self._selector.select()
            for key, _ in events:
                if key.fileobj == self._end:
                    return
                with self._lock:  # an earlier callback of this round may have forgotten it
                    current = self._selector.get_map().get(key.fd)
                if current is not None and current.data is key.data:
                    key.data()
