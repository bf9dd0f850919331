"""A process that has imported an answering party, and forks one whenever it is asked.

Fifty interpreters that import the same modules take longer than the query, and so do fifty times
SEAL's tables of one and the same public parameters. The nursery draws no key or mask and holds no
secret: a party makes its own after the fork, from generators that the operating system seeds. It
ends when its driver's end of the socket closes, after its parties; those that are left end with
it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import json
import logging
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from capc.child_process import end_this_process_with_its_parent
from capc.command_line import ExitStatus

STATUS = struct.Struct("<i")
PID = struct.Struct("<q")
MAX_REQUEST_BYTES = 1 << 16
RINGS_MADE = 3  # 37, 41 and 45 bits, 20 ms each
# What a party imports at its first signature, model file and connection: 15 ms together.
LATE_IMPORTS = ("cryptography.hazmat.backends.openssl", "encodings.cp437", "encodings.idna")


class Nursery:
    """Serves one driver over a connected socket that keeps message boundaries.

    `warm` gets the first party's arguments, and makes what is public and the same for all.

    A request is a JSON object {"arguments": [...], "directory": path} with two descriptors: where
    the party's output goes, and where its exit status is written (minus the signal's number) before
    it is closed. The answer is its process id, or minus the error's number where there can be none.
    The party leads a process group of its own.
    """

    def __init__(
        self,
        driver: socket.socket,
        party: Callable[[list[str]], int],
        warm: Callable[[list[str]], None] = lambda _arguments: None,
    ) -> None:
        self._driver = driver
        self._party = party
        self._warm: Callable[[list[str]], None] | None = warm
        self._status: dict[int, int] = {}
        self._wakeup, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._wakeup_write, False)

    def serve(self) -> None:
        """Until the driver goes."""
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._driver, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wakeup in ready:
                    self._reap()
                if self._driver in ready and not self._answer():
                    return

    def _answer(self) -> bool:
        """Fork one party; False once the driver has gone."""
        request, descriptors, _, _ = socket.recv_fds(self._driver, MAX_REQUEST_BYTES, 2)
        if not request:
            return False
        wanted = json.loads(request)
        output, status = descriptors
        if self._warm is not None:
            self._warm(wanted["arguments"])
            self._warm = None
            gc.freeze()
        nursery = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes, or no memory for one
            os.close(output)
            os.close(status)
            self._driver.send(PID.pack(-(error.errno or 1)))
            return True
        if pid == 0:
            self._status[0] = status
            self._become_party(nursery, wanted["arguments"], wanted["directory"], output)
        with contextlib.suppress(OSError):  # the child has done it, or has ended
            os.setpgid(pid, pid)
        os.close(output)
        self._status[pid] = status
        self._driver.send(PID.pack(pid))
        return True

    def _become_party(
        self, nursery: int, arguments: list[str], directory: str, output: int
    ) -> None:
        """In the child: leave everything of the nursery behind, and run; never returns."""
        code: int = ExitStatus.FAILED
        try:
            os.setpgid(0, 0)
            end_this_process_with_its_parent(nursery)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (self._wakeup, self._wakeup_write, *self._status.values()):
                os.close(descriptor)
            self._driver.close()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            os.chdir(directory)
            code = self._party(arguments)
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    def _reap(self) -> None:
        """Report every party that has ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                descriptor = self._status.pop(ended[0])
                with contextlib.suppress(OSError):  # the driver no longer cares
                    os.write(descriptor, STATUS.pack(os.waitstatus_to_exitcode(ended[1])))
                os.close(descriptor)


def make_contexts(arguments: list[str]) -> None:
    """SEAL's contexts for the rings of small models, if a config file is named and good.

    Which ring a party needs only its model says, which is not the nursery's to open.
    """
    from capc.errors import CapcError  # noqa: PLC0415
    from capc.fixed_point import RING_BITS  # noqa: PLC0415
    from capc.he.context import context  # noqa: PLC0415
    from capc.parties.config import PartyConfig  # noqa: PLC0415

    path = Path(dict(itertools.pairwise(arguments)).get("--config", ""))
    if not (path.is_absolute() and path.is_file()):
        return
    with contextlib.suppress(CapcError):  # the party says it in its own log
        config = PartyConfig.read(path)
        if not config.unencrypted:
            for ring_bits in RING_BITS[:RINGS_MADE]:
                context(config.encryption_parameters, ring_bits)


def main(argv: list[str]) -> int:
    """Serve the driver at the inherited descriptor that the only argument names."""
    # Imported here: the driver needs the formats above alone.
    from capc.parties import answering_party  # noqa: PLC0415

    for module in LATE_IMPORTS:
        importlib.import_module(module)
    logging.raiseExceptions = False  # a log on a full disk loses lines, not the party
    with socket.socket(fileno=int(argv[0])) as driver:
        Nursery(driver, answering_party.main, make_contexts).serve()
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
