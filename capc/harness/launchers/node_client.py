"""The driver's end of a node's agent: it stands between the supervisor and the parties there."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from capc.errors import ProgramError, ProtocolError
from capc.harness.launchers.fork_client import ReportedProcess
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
from capc.harness.launchers.party_files import send_files
from capc.harness.launchers.processes import PartySpec, words_of
from capc.parties.config import PartyConfig
from capc.transport.endpoints import connect
from capc.transport.peer import Peer
from capc.transport.tls import Identity

_CONNECT_SECONDS = 30.0
_END_SECONDS = 20.0
_SEND_SECONDS = 60.0  # for a node to take the next piece, so that none holds up the driver


@dataclass(frozen=True)
class Credentials:
    """The driver's two key pairs of a run, one for each direction."""

    down: Identity
    up: Identity

    @classmethod
    def create(cls) -> Credentials:
        """Fresh ones."""
        return cls(Identity.create(DOWN), Identity.create(UP))

    @property
    def certificates(self) -> dict[str, str]:
        """What a node has to know of them: public."""
        return {identity.party: identity.certificate for identity in (self.down, self.up)}


class NodeProcess(ReportedProcess):
    """A party on a node."""

    def __init__(self, node: NodeClient, name: str, status: int) -> None:
        super().__init__(status)
        self.pid = None
        self._node, self._name = node, name

    def signal(self, number: signal.Signals) -> None:
        """Signal its process group there."""
        self._node.send(Frame(Kind.SIGNAL, self._name, str(int(number)).encode()))


@dataclass(eq=False)
class _Started:
    """What the driver holds of a party that runs on a node."""

    control_path: Path
    log_file: Path
    status: int  # the write end of the pipe that tells the exit status
    control: socket.socket | None = None


class NodeClient:
    """The connection to one agent, which listens as `peer` says; ProtocolError for none."""

    def __init__(self, peer: Peer, credentials: Credentials) -> None:
        self._down = connect(credentials.down, peer, _CONNECT_SECONDS)
        try:
            self._up = connect(credentials.up, peer, _CONNECT_SECONDS)
        except ProtocolError:
            self._down.close()
            raise
        self._down.wait_at_most(_SEND_SECONDS)
        self._up.wait_at_most(math.inf)
        self._sending = threading.Lock()
        self._changing = threading.Lock()
        self._started: dict[str, _Started] = {}
        self._lost = False
        self._watcher = Watcher("controls")
        self._hearing = threading.Thread(target=self._hear, name="node", daemon=True)
        self._hearing.start()

    def start(self, spec: PartySpec) -> NodeProcess:
        """Send a party its files, and start it; ProgramError where the node is gone."""
        module, config, control = words_of(spec.command)
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        with self._changing:
            if self._lost:
                os.close(read_end)
                os.close(write_end)
                raise ProgramError(f"cannot start {spec.name}: the worker on its node has ended")
            self._started[spec.name] = _Started(control, spec.log_file, write_end)
        try:
            with self._sending:
                send_frame(self._down, Frame(Kind.START, spec.name, module.encode()))
                send_files(
                    lambda data: self._send_pieces(spec.name, data), PartyConfig.read(config)
                )
        except ProtocolError as error:
            os.close(read_end)
            raise ProgramError(f"cannot start {spec.name}: {error}") from None
        return NodeProcess(self, spec.name, read_end)

    def send(self, frame: Frame) -> None:
        """Nothing happens where the node is gone: that is an event of its own."""
        with self._sending, contextlib.suppress(ProtocolError):
            send_frame(self._down, frame)

    def lose(self) -> None:
        """The node is known to be gone, though its connection may not have ended."""
        self._up.close()

    def close(self) -> None:
        """Leave: the agent ends its parties, and closes its own connection then."""
        self._down.close()
        self._hearing.join(_END_SECONDS)
        self._up.close()
        self._hearing.join()
        self._watcher.close()

    def _send_pieces(self, party: str, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            send_frame(self._down, Frame(Kind.FILES, party, data[start : start + PIECE]))

    def _hear(self) -> None:
        """What the node says, until it goes; then no party of it runs any more."""
        with contextlib.suppress(ProtocolError, KeyError, OSError):
            while True:
                frame = receive_frame(self._up)
                party = self._started[frame.party]
                if frame.kind is Kind.CONTROL:
                    self._on_control(frame.party, party, frame.data)
                elif frame.kind is Kind.LOG:
                    _append(party.log_file, frame.data)
                elif frame.kind is Kind.EXIT:
                    self._on_exit(frame.party, frame.data)
        with self._changing:
            self._lost = True
            left = list(self._started)
        for name in left:
            _append(self._started[name].log_file, b"the worker on this party's node has ended\n")
            self._on_exit(name, b"")

    def _on_control(self, name: str, party: _Started, said: bytes) -> None:
        with contextlib.suppress(OSError):  # the supervisor hears it no more
            if party.control is None:
                if not said:
                    return
                party.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                party.control.connect(str(party.control_path))
                self._watcher.watch(party.control.fileno(), lambda: self._hand_down(name, party))
            if said:
                party.control.sendall(said)
            else:
                party.control.shutdown(socket.SHUT_WR)

    def _hand_down(self, name: str, party: _Started) -> None:
        """What the supervisor says to a party."""
        control = party.control
        if control is None:
            return
        try:
            said = control.recv(PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._watcher.forget(control.fileno())
        self.send(Frame(Kind.CONTROL, name, said))

    def _on_exit(self, name: str, status: bytes) -> None:
        """`status` as the agent packs it; nothing: it is not known."""
        party = self._started.pop(name)
        if party.control is not None:
            self._watcher.forget(party.control.fileno())
            party.control.close()
        with contextlib.suppress(OSError):  # the supervisor no longer cares
            os.write(party.status, status)
        os.close(party.status)


def _append(path: Path, said: bytes) -> None:
    """A full disk loses lines, not the party."""
    with contextlib.suppress(OSError), path.open("ab") as file:
        file.write(said)
