"""The control channel between the driver and each party: JSON lines over a Unix stream socket.

The messages and what they may carry are those of capc.transport.control_messages.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from capc.errors import ProtocolError
from capc.transport.control_messages import (
    CONTROL_VERSION,
    MAX_LINE_BYTES,
    MAX_PARTIES,
    Announce,
    Answer,
    Done,
    Error,
    Hello,
    Hold,
    LeftOut,
    Log,
    Message,
    Opened,
    Peers,
    Plan,
    Proceed,
    Progress,
    Ready,
    Refused,
    Spent,
    Stop,
    Timing,
    decode,
    encode,
)
from capc.transport.peer import Peer

_SEND_TIMEOUT_SECONDS = 10.0  # of the driver, whom one party must not hold up
_TIMEVAL = struct.Struct("ll")  # as the operating system's interface has it


class ControlConnection:
    """One end of a control connection: whole messages out, whatever has arrived in."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._pending = bytearray()
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The socket; -1 after `close`."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Raises ProtocolError when the other end is gone or does not read."""
        self.send_line(encode(message))

    def send_line(self, line: bytes) -> None:
        """The same for a message that was encoded before, for many."""
        try:
            with self._lock:
                self._socket.sendall(line)
        except OSError:
            raise ProtocolError(
                "the other end of the control channel is gone, or does not read"
            ) from None

    def receive(self) -> list[Message] | None:
        """Wait for bytes and return the messages now complete; None at the end of the stream."""
        try:
            received = self._socket.recv(1 << 16)
        except OSError:
            return None
        if not received:
            return None
        self._pending += received
        *lines, rest = self._pending.split(b"\n")
        if len(rest) > MAX_LINE_BYTES or any(len(line) > MAX_LINE_BYTES for line in lines):
            raise ProtocolError(f"a control message is longer than {MAX_LINE_BYTES} bytes")
        self._pending = bytearray(rest)
        return [decode(bytes(line)) for line in lines]

    def close(self) -> None:
        """Close the connection; the other end reads its end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class ControlListener:
    """The driver's end: a Unix socket in a folder that only this user may enter."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(MAX_PARTIES + 2)

    def fileno(self) -> int:
        """The socket, readable once a party connects."""
        return self._socket.fileno()

    def accept(self) -> ControlConnection:
        """The connection of the next party; a send that waits longer than 10 seconds fails."""
        connection, _ = self._socket.accept()
        connection.settimeout(_SEND_TIMEOUT_SECONDS)
        return ControlConnection(connection)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def end_this_process() -> None:
    """The default reaction of a party to a driver that stops it or disappears."""
    os.kill(os.getpid(), signal.SIGTERM)


class ControlClient:
    """A party's end, usable from several threads; says hello when it connects.

    When the driver sends stop or disappears before `done`, `closed` is set and `on_end` is
    called from the reading thread; by default that ends the process. `heard` is told every message
    before it is sent.
    """

    def __init__(
        self,
        connection: ControlConnection,
        party: str,
        on_end: Callable[[], None] = end_this_process,
    ) -> None:
        self.party = party
        self.closed = threading.Event()
        self._connection = connection
        self._on_end = on_end
        self._peers: tuple[Peer, ...] = ()
        self._arrived = threading.Event()
        self._proceed = threading.Semaphore(0)
        self.heard: Callable[[Message], None] = lambda _message: None
        self._finished = False
        self._connection.send(Hello(CONTROL_VERSION, party, os.getpid()))
        threading.Thread(target=self._read, name="control", daemon=True).start()

    @classmethod
    def connect(
        cls,
        path: str | Path,
        party: str,
        on_end: Callable[[], None] = end_this_process,
        *,
        send_seconds: float = 600.0,
    ) -> ControlClient:
        """Raises ProtocolError when no driver listens at `path`.

        A driver that stands still, and does not read for `send_seconds`, is as good as gone.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        limit = _TIMEVAL.pack(int(send_seconds), int(send_seconds % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            raise ProtocolError(
                f"no driver answers at {path} ({error.strerror or error}); "
                "parties are started by run_experiment.py"
            ) from None
        return cls(ControlConnection(connection), party, on_end)

    def _read(self) -> None:
        try:
            while (messages := self._connection.receive()) is not None:
                for message in messages:
                    if isinstance(message, Peers):
                        self._peers = message.peers
                        self._arrived.set()
                    elif isinstance(message, Proceed):
                        self._proceed.release()
                    elif isinstance(message, Stop):
                        return
        except ProtocolError:
            return
        finally:
            self.closed.set()
            self._arrived.set()
            self._proceed.release()
            if not self._finished:
                self._on_end()

    def _send(self, message: Message) -> None:
        self.heard(message)
        self._connection.send(message)

    def announce(self, host: str, port: int | None, certificate: str) -> None:
        """Tell where this party listens (port None: nowhere) and its certificate, PEM."""
        self._send(Announce(host, port, certificate))

    def wait_for_peers(self, timeout_seconds: float) -> Mapping[str, Peer]:
        """Every party of the run by name, once all have announced themselves."""
        if not self._arrived.wait(timeout_seconds):
            raise ProtocolError(
                f"the driver did not name the peers within {timeout_seconds:g} seconds"
            )
        if not self._peers:
            raise ProtocolError("the driver ended before it named the peers")
        return {peer.name: peer for peer in self._peers}

    def plan(self, ring_bits: int, fraction_bits: int) -> None:
        """Tell the public ring of this party's model, both in bits."""
        self._send(Plan(ring_bits, fraction_bits))

    def ready(self) -> None:
        """Tell that set-up is over."""
        self._send(Ready())

    def hold(self, query: int | None, step: str, phase: str) -> None:
        """Under --step: wait, without a limit, until the driver lets this step begin.

        Raises ProtocolError when the driver ends the run instead.
        """
        self._send(Hold(query, step, phase))
        self._proceed.acquire()
        if self.closed.is_set():
            raise ProtocolError("the driver ended the run before this step")

    def progress(self, query: int | None, step: str, phase: str) -> None:
        """Tell that a step begins; `query` None for set-up."""
        self._send(Progress(query, step, phase))

    def timing(
        self,
        query: int | None,
        step: str,
        phase: str,
        seconds: float,
        *,
        bytes_sent: int = 0,
        bytes_received: int = 0,
        rounds: int = 0,
        count: int = 1,
    ) -> None:
        """`count` queries from `query` on were served together: the driver splits the figures."""
        self._send(Timing(query, step, phase, seconds, bytes_sent, bytes_received, rounds, count))

    def answer(
        self, query: int, answered: bool, label: int | None, voters: Sequence[str] | None = None
    ) -> None:
        """Tell what the querying party learned: the label, or that there is none."""
        self._send(Answer(query, answered, label, None if voters is None else tuple(voters)))

    def spent(
        self, query: int, epsilon: float, delta: float, conversion: str, answered: bool
    ) -> None:
        """Tell what the account has spent after a query, and whether it was answered."""
        self._send(Spent(query, epsilon, delta, conversion, answered))

    def refused(self, query: int, reason: str) -> None:
        """Tell that this query and all later ones would exceed the budget."""
        self._send(Refused(query, reason))

    def left_out(self, peer: str, reason: str) -> None:
        """Tell that queries go on without an answering party, and why."""
        self._send(LeftOut(peer, reason[:4096]))

    def opened(self, query: int, name: str, values: Sequence[int], peer: str | None = None) -> None:
        """Under --verify alone: tell shares or noise; `peer` is who holds the other share."""
        self._send(Opened(query, name, peer, tuple(int(value) for value in values)))

    def first_query(self, queries: bytes, count: int) -> int:
        """The first: the driver names the queries that are left."""
        return 0

    def stopping(self) -> bool:
        """Never: a driver that ends a run ends its parties."""
        return False

    def log(self, message: str) -> None:
        """Tell a line for the screen."""
        self._send(Log(message[:65536]))

    def error(self, message: str, *, of_a_peer: bool = False, waits_for: str | None = None) -> None:
        """Tell why this party is about to fail; `of_a_peer`: as a peer's connection has ended.

        `waits_for`: the peer that sent nothing in time.
        """
        self._send(Error(message[:65536], of_a_peer, waits_for))

    def done(self) -> None:
        """The last message: from here on the party may exit with status 0."""
        self._finished = True
        self._send(Done())

    def close(self) -> None:
        """Leave without `done`, or after it; the process goes on."""
        self._finished = True
        self._connection.close()
