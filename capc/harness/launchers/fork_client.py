"""Many answering parties as forks of one process, the nursery of fork_server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from capc.child_process import ends_within, start_child
from capc.errors import ConfigError, ProgramError
from capc.harness.launchers.fork_server import PID, STATUS
from capc.harness.launchers.processes import (
    UNKNOWN_STATUS,
    ChildProcess,
    PartySpec,
    party_environment,
    signal_group,
)
from capc.unforeseen import one_line

FORK_FROM = 8  # parties; fewer start as fast by themselves
_MODULE = "capc.parties.answering_party"
_SERVER = ("-m", "capc.harness.launchers.fork_server")
_END_SECONDS = 5.0


def can_fork(spec: PartySpec) -> bool:
    """Whether the command is that of a plain answering party."""
    return tuple(spec.command[:3]) == (sys.executable, "-m", _MODULE)


class ReportedProcess:
    """A party whose exit status another process tells through a pipe, whose read end this has.

    Its output goes to its log file.
    """

    def __init__(self, status: int) -> None:
        self._descriptor: int | None = status
        self._status: int | None = None

    def exit_events(self) -> list[int]:
        """The pipe that tells the status; none after `close`."""
        return [] if self._descriptor is None else [self._descriptor]

    def poll(self) -> int | None:
        """The exit status, minus the signal's number; None while it runs."""
        if self._status is None and self._descriptor is not None:
            try:
                data = os.read(self._descriptor, STATUS.size)
            except BlockingIOError:
                return None
            whole = len(data) == STATUS.size
            self._status = STATUS.unpack(data)[0] if whole else UNKNOWN_STATUS
        return self._status

    def screen(self) -> list[str]:
        """Nothing: there is no pane."""
        return []

    def close(self) -> None:
        """Give back the pipe."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ForkedProcess(ReportedProcess):
    """A party that is a child of the nursery."""

    def __init__(self, pid: int, status: int) -> None:
        super().__init__(status)
        self.pid = pid

    def signal(self, number: signal.Signals) -> None:
        """Signal the process group."""
        signal_group(self.pid, number)


LocalProcess = ChildProcess | ForkedProcess


class Starter:
    """Starts parties without a pane: as children, or as forks where there are many."""

    def __init__(self, parties: int) -> None:
        self._forks = Forks() if parties >= FORK_FROM else None

    def start(self, spec: PartySpec) -> LocalProcess:
        """Start one party; ConfigError where it cannot be started."""
        if self._forks is not None and can_fork(spec):
            return self._forks.start(spec)
        return ChildProcess(spec)

    def close(self) -> None:
        """After all have ended."""
        if self._forks is not None:
            self._forks.close()


class Forks:
    """The driver's end of a nursery, started with the first party.

    `server` is what Python runs as the nursery, which gets its descriptor as the last argument.
    """

    def __init__(self, server: Sequence[str] = _SERVER) -> None:
        self._server = server
        self._nursery: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self, spec: PartySpec) -> ForkedProcess:
        """Start one answering party; ConfigError where the nursery has died."""
        nursery = self._socket or self.open()
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        request = {"arguments": list(spec.command[3:]), "directory": str(spec.directory)}
        try:
            with spec.log_file.open("ab") as log:
                fds = [log.fileno(), write_end]
                socket.send_fds(nursery, [json.dumps(request).encode()], fds)
            answer = nursery.recv(PID.size)
        except OSError as error:
            os.close(read_end)
            raise ConfigError(f"cannot start {spec.name}: {error}") from None
        finally:
            os.close(write_end)
        if len(answer) != PID.size:
            os.close(read_end)
            raise ConfigError(f"cannot start {spec.name}: the process that forks it has ended")
        pid: int = PID.unpack(answer)[0]
        if pid < 0:
            os.close(read_end)
            refused = OSError(-pid, os.strerror(-pid))
            raise ProgramError(f"cannot start {spec.name}: {one_line(refused)}")
        return ForkedProcess(pid, read_end)

    def open(self) -> socket.socket:
        """Start the nursery, as the first party does; the driver's end of its socket."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._nursery = start_child(
                [sys.executable, *self._server, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=party_environment(),
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours
        return ours

    def close(self) -> None:
        """End the nursery; parties that still run are the supervisor's to end."""
        if self._socket is None or self._nursery is None:
            return
        self._socket.close()
        if not ends_within(self._nursery, _END_SECONDS):
            self._nursery.kill()
            self._nursery.wait()
        self._socket = self._nursery = None
