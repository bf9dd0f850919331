"""A process that starts parties on a node for a driver, and forks them where they are many.

Its parent gives it the driver's certificates on standard input, and reads where it listens and its
certificate from standard output. All else goes over TLS between these certificates: a party's
files, what it says and hears on its control channel, its log, its exit status. When the driver's
connection closes, all parties are ended. Nothing is left.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import capc
from capc.command_line import ExitStatus, Parser, run_command
from capc.errors import CapcError, ProtocolError
from capc.harness.launchers.fork_client import Starter
from capc.harness.launchers.fork_server import STATUS
from capc.harness.launchers.node_frames import (
    DOWN,
    PIECE,
    UP,
    Frame,
    Kind,
    Watcher,
    receive_frame,
    send_frame,
)
from capc.harness.launchers.party_files import CONFIG, receive_files
from capc.harness.launchers.processes import PartySpec, end_stragglers, party_command
from capc.private_memory import keep_memory_private
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener
from capc.transport.tls import Identity

NODE = "node"
_MEET_SECONDS = 60.0
_END_SECONDS = 5.0


def main(argv: list[str] | None = None) -> int:
    """Serve one driver until it goes."""
    parser = Parser("node_agent", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parties", type=int, required=True)
    flags = parser.parse_args(argv)
    keep_memory_private()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    certificates = json.load(sys.stdin)
    identity = Identity.create(NODE)
    listener = Listener(flags.address)
    announced = {"port": listener.port, "certificate": identity.certificate}
    sys.stdout.write(json.dumps({**announced, "version": capc.__version__}) + "\n")
    sys.stdout.flush()
    peers = {name: certificates[name] for name in (DOWN, UP)}
    with contextlib.closing(listener):
        channels = listener.accept(identity, peers, count=2, timeout_seconds=_MEET_SECONDS)
    for channel in channels.values():
        channel.wait_at_most(math.inf)
    with (
        Node(channels[DOWN], channels[UP], flags.folder, flags.parties) as node,
        contextlib.suppress(ProtocolError),
    ):
        node.serve()
    return ExitStatus.OK


class Node:
    """The parties of one node, below `folder`. `parties`: how many are to be started, at most."""

    def __init__(self, down: Channel, up: Channel, folder: Path, parties: int) -> None:
        self._down, self._up = down, up
        self._sending = threading.Lock()
        self._folder = folder
        self._starter = Starter(parties)
        self._watcher = Watcher("parties")
        self._parties: dict[str, _Party] = {}

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        """End every party, with all that it started, and remove its files."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # this is what it asks for
        for party in self._parties.values():
            party.signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        for party in self._parties.values():
            party.ends_within(max(0.0, deadline - time.monotonic()))
        end_stragglers((party.pid for party in self._parties.values()), _END_SECONDS)
        self._starter.close()
        for channel in (self._up, self._down):  # first: a driver that stands still reads nothing
            channel.close()
        self._watcher.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # whoever made it may have been killed

    def serve(self) -> None:
        """Do what the driver says, until its connection ends: ProtocolError."""
        while True:
            frame = receive_frame(self._down)
            if frame.kind is Kind.START:
                self._start(frame.party, frame.data.decode())
                continue
            party = self._parties.get(frame.party)
            if party is None:
                raise ProtocolError(f"the driver speaks of {frame.party}, which was not started")
            if frame.kind is Kind.SIGNAL:
                party.signal(signal.Signals(int(frame.data)))
            elif frame.kind is Kind.CONTROL:
                party.hear(frame.data)
            else:
                raise ProtocolError(f"the driver sent {frame.kind.name}, which is a node's word")

    def send(self, frame: Frame) -> None:
        """To the driver, if it is there: its end is an event of its own."""
        with self._sending, contextlib.suppress(ProtocolError):
            send_frame(self._up, frame)

    def _start(self, name: str, module: str) -> None:
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        receive_files(folder, _Files(self._down, name).read)
        try:
            self._parties[name] = _Party(self, self._watcher, self._starter, folder, module)
        except (CapcError, OSError) as error:
            self.send(Frame(Kind.LOG, name, f"{error}\n".encode()))
            self.send(Frame(Kind.EXIT, name, STATUS.pack(ExitStatus.FAILED)))


class _Files:
    """The bytes of a party's files, as frames bring them."""

    def __init__(self, channel: Channel, party: str) -> None:
        self._channel, self._party = channel, party
        self._left = memoryview(b"")

    def read(self, most: int) -> bytes:
        while not self._left:
            frame = receive_frame(self._channel)
            if frame.kind is not Kind.FILES or frame.party != self._party:
                raise ProtocolError(f"the driver ended before {self._party} had its files")
            self._left = memoryview(frame.data)
        piece, self._left = self._left[:most], self._left[most:]
        return bytes(piece)


class _Party:
    """A party, its control channel, its log; its callbacks run in the watcher's thread."""

    def __init__(
        self, node: Node, watcher: Watcher, starter: Starter, folder: Path, module: str
    ) -> None:
        self.ended = threading.Event()
        self._name = folder.name
        self._node, self._watcher = node, watcher
        self._connection: socket.socket | None = None
        control = folder / "control"
        with ExitStack() as undo:
            self._listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._listener.bind(str(control))
            self._listener.listen(1)
            self._listener.setblocking(False)
            self._log, log_write = os.pipe()
            undo.callback(os.close, self._log)
            os.set_blocking(self._log, False)
            command = party_command(module, folder / CONFIG, control)
            log_file = Path(f"/proc/self/fd/{log_write}")
            try:
                spec = PartySpec(self._name, command, folder, log_file)
                self._process = starter.start(spec)
            finally:
                os.close(log_write)
            undo.pop_all()
        self.pid = self._process.pid
        watcher.watch(self._listener.fileno(), self._accept)
        watcher.watch(self._log, self._hand_up_log)
        for descriptor in self._process.exit_events():
            watcher.watch(descriptor, self._look_for_the_end)

    def signal(self, number: signal.Signals) -> None:
        """To its process group, while it runs."""
        if not self.ended.is_set():
            self._process.signal(number)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; False where it still runs after `seconds`."""
        return self.ended.wait(seconds)

    def hear(self, said: bytes) -> None:
        """What the driver says on the control channel; nothing: it has closed it."""
        connection = self._connection
        if connection is None:  # the driver connects when the party has
            return
        with contextlib.suppress(OSError):  # the party has ended, which is an event of its own
            if said:
                connection.sendall(said)
            else:
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._connection = self._listener.accept()[0]
            self._watcher.forget(self._listener.fileno())
            self._watcher.watch(self._connection.fileno(), self._hand_up_control)

    def _hand_up_control(self) -> bool:
        """Whether there was something."""
        if self._connection is None or self._connection.fileno() < 0:
            return False
        try:
            said = self._connection.recv(PIECE, socket.MSG_DONTWAIT)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                return False
            said = b""
        if not said:
            self._watcher.forget(self._connection.fileno())
        self._node.send(Frame(Kind.CONTROL, self._name, said))
        return bool(said)

    def _hand_up_log(self) -> bool:
        """Whether there was something."""
        try:
            said = os.read(self._log, PIECE)
        except BlockingIOError:
            return False
        if said:
            self._node.send(Frame(Kind.LOG, self._name, said))
        else:
            self._watcher.forget(self._log)
        return bool(said)

    def _look_for_the_end(self) -> None:
        status = self._process.poll()
        if status is None:
            return
        if self._connection is None:
            self._accept()
        while self._hand_up_control() or self._hand_up_log():
            pass  # its last words
        events = self._process.exit_events()
        for descriptor in (*events, self._log, self._listener.fileno()):
            self._watcher.forget(descriptor)
        if self._connection is not None:
            self._watcher.forget(self._connection.fileno())
            self._connection.close()
        self._listener.close()
        os.close(self._log)
        self._process.close()
        self.ended.set()
        self._node.send(Frame(Kind.EXIT, self._name, STATUS.pack(status)))


if __name__ == "__main__":
    sys.exit(run_command(main))
