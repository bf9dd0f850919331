"""How two parties go on with a broken connection on another one: who may, and from where.

When a lasting connection begins, the side that listens draws the key of the session, 32 bytes, and
sends it inside the connection. No file holds it, and it is not sent again. Another connection is
taken in place of a broken one where the same pinned certificate is shown in its TLS handshake *and*
the first message proves the key: so a party that was started again, or whoever copied its private
key, is refused. Attempts count up, and each is taken once: one that was held up in the network is
stale.

RESUME, from the side that dials: the session's public name (16 bytes), the attempt and the number
of bytes received (8 each, little endian), and HMAC-SHA256 of these under the key. The answer is the
same with the other side's number, and another HMAC.
"""

from __future__ import annotations

import hmac
import secrets
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from capc.errors import ProtocolError
from capc.transport.channel import Channel
from capc.transport.endpoints import RETRY_SECONDS, may_retry
from capc.transport.framing import MessageType, encode_header

KEY_BYTES = 32
_STATE = struct.Struct("<16sQQ")
_PROOF_BYTES = 32
RESUME_BYTES = _STATE.size + _PROOF_BYTES
_ASKS, _ANSWERS = b"capc resume", b"capc resumed"


@dataclass(frozen=True)
class Resume:
    """What one side says of a session: its name, the attempt, and how many bytes it received."""

    name: bytes
    attempt: int
    received: int


@dataclass(frozen=True, repr=False)
class Session:
    """What only the two processes know that began the connection together."""

    key: bytes

    @classmethod
    def begun(cls, channel: Channel, *, dialled: bool) -> Session:
        """Both sides call it, on the first connection: one draws the key, the other receives it."""
        if not dialled:
            key = secrets.token_bytes(KEY_BYTES)
            channel.send(MessageType.LASTING, key)
            return cls(key)
        key = bytes(channel.recv(MessageType.LASTING, KEY_BYTES))
        if len(key) != KEY_BYTES:
            raise ProtocolError(f"{channel.peer} sent no key of a session")
        return cls(key)

    @property
    def name(self) -> bytes:
        """By which the side that listens finds it; it tells nothing of the key."""
        return hmac.digest(self.key, b"name", "sha256")[:16]

    def ask(self, attempt: int, received: int) -> bytes:
        """RESUME."""
        return self._message(_ASKS, attempt, received)

    def answer(self, attempt: int, received: int) -> bytes:
        """What follows RESUME."""
        return self._message(_ANSWERS, attempt, received)

    def read_ask(self, message: bytes | bytearray) -> Resume:
        """What the peer asked; ProtocolError where it does not know the key."""
        return self._read(_ASKS, message)

    def read_answer(self, message: bytes | bytearray) -> Resume:
        """What the peer answered, as strictly."""
        return self._read(_ANSWERS, message)

    def _message(self, word: bytes, attempt: int, received: int) -> bytes:
        state = _STATE.pack(self.name, attempt, received)
        return state + hmac.digest(self.key, word + state, "sha256")

    def _read(self, word: bytes, message: bytes | bytearray) -> Resume:
        state, proof = bytes(message[: _STATE.size]), bytes(message[_STATE.size :])
        if not hmac.compare_digest(hmac.digest(self.key, word + state, "sha256"), proof):
            raise ProtocolError("it does not prove that it began this session")
        return Resume(*_STATE.unpack(state))


def name_in(message: bytes | bytearray) -> bytes:
    """Of which session a RESUME speaks, unproven."""
    return bytes(message[:16])


class Redialling:
    """The `Mender` of the side that opened the first connection: it opens another.

    `dial(timeout_seconds, until)` gives an authenticated channel with the pinned peer, or raises.
    One try takes at most `try_seconds` from the moment when the peer is reached.
    """

    has_offer = False

    def __init__(
        self, session: Session, dial: Callable[[float, float], Channel], try_seconds: float
    ) -> None:
        self._session = session
        self._dial = dial
        self._try_seconds = try_seconds
        self._attempt = 0

    def mend(self, received: int, until: float) -> tuple[ssl.SSLSocket, int]:
        """Try until it works or the time is over; raises what the last try ended with."""
        while True:
            try:
                return self._try(received, until)
            except (OSError, ProtocolError):
                if not may_retry(until):
                    raise

    def _try(self, received: int, until: float) -> tuple[ssl.SSLSocket, int]:
        self._attempt += 1
        channel = self._dial(self._left(until), until)
        try:
            channel.wait_at_most(self._left(until))
            channel.send(MessageType.RESUME, self._session.ask(self._attempt, received))
            answer = self._session.read_answer(channel.recv(MessageType.RESUME, RESUME_BYTES))
            if answer.attempt != self._attempt:
                raise ProtocolError(f"{channel.peer} answered another attempt")
        except BaseException:
            channel.close()
            raise
        return channel.detach(), answer.received

    def _left(self, until: float) -> float:
        return max(min(self._try_seconds, until - time.monotonic()), RETRY_SECONDS)

    def close(self) -> None:
        """Nothing is held between two tries."""


class Awaiting:
    """The `Mender` of the side that listens: it takes what the peer has opened.

    `wake`, once set, is called when there is something to take.
    """

    def __init__(self, session: Session, answer_seconds: float) -> None:
        self.session = session
        self.wake: Callable[[], None] = lambda: None
        self._answer_seconds = answer_seconds
        self._changed = threading.Condition()
        self._attempt = 0
        self._closed = False
        self._offer: tuple[ssl.SSLSocket, Resume] | None = None

    @property
    def has_offer(self) -> bool:
        """Whether the peer has opened another connection."""
        with self._changed:
            return self._offer is not None

    def offer(self, connection: ssl.SSLSocket, message: bytes | bytearray) -> None:
        """A connection whose certificate was checked, and its RESUME; the newest is kept.

        ProtocolError for one without the proof, and for one that is not newer than the last.
        """
        asked = self.session.read_ask(message)
        with self._changed:
            if self._closed:
                raise ProtocolError("its session is over")
            if asked.attempt <= self._attempt:
                raise ProtocolError(f"its attempt {asked.attempt} is stale")
            self._attempt = asked.attempt
            older, self._offer = self._offer, (connection, asked)
            self._changed.notify_all()
        if older is not None:
            older[0].close()
        self.wake()

    def mend(self, received: int, until: float) -> tuple[ssl.SSLSocket, int]:
        """The first that is offered and takes the answer; TimeoutError where none is."""
        while True:
            with self._changed:
                left = max(0.0, until - time.monotonic())
                if not self._changed.wait_for(lambda: self._offer is not None, left):
                    raise TimeoutError("it did not connect again")
                offer, self._offer = self._offer, None
            if offer is None:
                raise AssertionError("an offer was waited for")
            connection, asked = offer
            answer = self.session.answer(asked.attempt, received)
            try:
                connection.settimeout(self._answer_seconds)
                connection.sendall(encode_header(MessageType.RESUME, len(answer)) + answer)
                return connection, asked.received
            except OSError:
                connection.close()

    def close(self) -> None:
        """Nobody takes an offer any more."""
        with self._changed:
            self._closed = True
            offer, self._offer = self._offer, None
        if offer is not None:
            offer[0].close()
