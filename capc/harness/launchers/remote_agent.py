"""The end of a party's ssh connection on its own host: the party's process, its folder, its socket.

Its standard input begins with the party's files (`party_files`), and then has what the driver says
on the control channel; standard output is what the party says on it. When its input ends, the
driver or the connection is gone: the party is ended. Nothing is left in either case.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from capc.child_process import ExitWatch, ends_within, start_child
from capc.command_line import ExitStatus, run_command
from capc.errors import ProtocolError
from capc.files import socket_folder
from capc.harness.launchers.party_files import CONFIG, receive_files
from capc.harness.launchers.processes import end_stragglers, party_command, party_environment

READY = b"capc-remote-1\n"  # a login's own words may come before it
_PIECE = 1 << 18
_END_SECONDS = 5.0
_INPUT, _OUTPUT, _LOG = 0, 1, 2


def main(argv: list[str] | None = None) -> int:
    """Run the party of the module that is named, below the folder that is; its exit status."""
    folder, module = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _write(_OUTPUT, READY)
    below = Path(folder).expanduser().absolute()
    below.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="capc-party-", dir=below) as own,
        socket_folder("capc-remote-", "control") as sockets,
    ):
        receive_files(Path(own), _read)
        with _started(module, Path(own), sockets / "control") as (child, listener):
            return _serve(child, listener)


@contextlib.contextmanager
def _started(
    module: str, folder: Path, control: Path
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """The party's process, in a group of its own that is gone afterwards."""
    with ExitStack() as ending:
        listener = ending.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(control))
        listener.listen(1)
        child = start_child(
            party_command(module, folder / CONFIG, control),
            stdin=subprocess.DEVNULL,
            stdout=_LOG,
            stderr=_LOG,
            cwd=folder,
            env=party_environment(),
            start_new_session=True,
        )
        ending.callback(end_stragglers, [child.pid], _END_SECONDS)
        yield child, listener


def _serve(child: subprocess.Popen[bytes], listener: socket.socket) -> int:
    """Hand on both ways until the party has ended, or the driver is gone; the exit status."""
    poll = select.poll()
    with contextlib.closing(ExitWatch(child)) as watch, ExitStack() as open_ones:
        connection: socket.socket | None = None
        for descriptor in (_INPUT, listener.fileno(), watch.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if connection is None and listener.fileno() in ready:
                connection = open_ones.enter_context(listener.accept()[0])
                poll.unregister(listener.fileno())
                poll.register(connection.fileno(), select.POLLIN)
            if connection is not None and connection.fileno() in ready and not _up(connection):
                poll.unregister(connection.fileno())
            if _INPUT in ready and not _down(connection):
                return _end(child)
            if watch.fileno() in ready:
                while connection is not None and _up(connection):
                    pass  # its last words
                status = child.wait()
                return status if status >= 0 else 128 - status


def _up(connection: socket.socket) -> bool:
    """From the party to the driver; False at the end."""
    try:
        said = connection.recv(_PIECE)
    except OSError:
        return False
    _write(_OUTPUT, said)
    return bool(said)


def _down(connection: socket.socket | None) -> bool:
    """From the driver to the party; False where the driver is gone."""
    said = os.read(_INPUT, _PIECE)
    if said and connection is not None:
        with contextlib.suppress(OSError):  # the party has ended, which is an event of its own
            connection.sendall(said)
    return bool(said)


def _end(child: subprocess.Popen[bytes]) -> int:
    """The driver is gone: so is its party."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    ends_within(child, _END_SECONDS)
    return ExitStatus.FAILED


def _read(most: int) -> bytes:
    piece = os.read(_INPUT, most)
    if not piece:
        raise ProtocolError("the driver ended before the party had its files")
    return piece


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    sys.exit(run_command(main))
