"""The driver's end of a party on another machine: it stands where the party's own process would.

It starts ssh, sends the party its files, and joins the driver's control socket to the agent that
ssh starts there (`remote_agent`). What the party logs goes to this process's standard error, and to
its log file where the launcher does not send it there.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from capc.child_process import start_child
from capc.command_line import Parser, run_command
from capc.errors import ProgramError
from capc.harness.hosts import Host
from capc.harness.launchers.party_files import send_files
from capc.harness.launchers.remote_agent import READY
from capc.parties.config import PartyConfig

_MODULE, _AGENT = __name__, "capc.harness.launchers.remote_agent"
_PIECE = 1 << 18
_MOST_BEFORE_READY = 1 << 16
_SSH_FAILED = 255


def bridge_command(
    host: Host, party_module: str, config: Path, control: Path, log_file: Path | None
) -> tuple[str, ...]:
    """The command that stands for a party on `host`; only public words stand on it."""
    words = {
        "ssh": shlex.join(host.ssh),
        "host": host.host,
        "python": host.python,
        "folder": host.folder,
        "module": party_module,
        "config": str(config),
        "control": str(control),
        **({} if log_file is None else {"log": str(log_file)}),
    }
    flags = (f"--{name}={value}" for name, value in words.items())
    return (sys.executable, "-m", _MODULE, *flags)


def main(argv: list[str] | None = None) -> int:
    """Run one party over ssh; the exit status is the party's."""
    parser = Parser("remote_bridge", description=__doc__)
    for name in ("ssh", "host", "python", "folder", "module", "config", "control"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--log")
    flags = parser.parse_args(argv)
    words = [flags.python, "-m", _AGENT, flags.folder, flags.module]
    ssh = start_child(
        [*shlex.split(flags.ssh), flags.host, f"exec {shlex.join(words)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    sink, source, messages = _pipes(ssh)
    logging = threading.Thread(target=_log, args=(messages, flags.log), daemon=True)
    logging.start()
    with contextlib.suppress(OSError):  # ssh has ended: its status says so below
        if _is_ready(source):
            send_files(sink.write, PartyConfig.read(flags.config))
            sink.flush()
            _join(flags.control, sink, source)
    with contextlib.suppress(OSError):
        sink.close()
    status = ssh.wait()
    logging.join()
    if status == _SSH_FAILED or status < 0:
        raise ProgramError(f"the connection to {flags.host} has failed (ssh ended with {status})")
    return status


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("the child was started without pipes")
    return child.stdin, child.stdout, child.stderr


def _log(source: IO[bytes], log_file: str | None) -> None:
    """Everything that comes from the host, line by line, until its end."""
    with contextlib.ExitStack() as files:
        sinks = [sys.stderr.buffer]
        if log_file is not None:
            sinks.append(files.enter_context(Path(log_file).open("ab")))
        for line in source:
            for sink in sinks:
                with contextlib.suppress(OSError):  # a full disk loses lines, not the party
                    sink.write(line)
                    sink.flush()


def _is_ready(source: IO[bytes]) -> bool:
    """Skip what the host's own start-up says; False where the agent does not start."""
    return READY in iter(lambda: source.readline(_MOST_BEFORE_READY), b"")


def _join(control_path: str, sink: IO[bytes], source: IO[bytes]) -> None:
    """Both ways, until the party has said its last word."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.connect(control_path)
        down = threading.Thread(target=_hand_down, args=(control, sink), daemon=True)
        down.start()
        for said in _pieces(source):
            control.sendall(said)
        control.shutdown(socket.SHUT_RDWR)
        down.join()


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    """Whatever has arrived, as it arrives."""
    read = source.read1  # type: ignore[attr-defined]
    while piece := read(_PIECE):
        yield piece


def _hand_down(control: socket.socket, sink: IO[bytes]) -> None:
    """From the driver to the host; the driver's end is the end of the host's input."""
    with contextlib.suppress(OSError, ValueError):
        while said := control.recv(_PIECE):
            sink.write(said)
            sink.flush()
    with contextlib.suppress(OSError, ValueError):
        sink.close()


if __name__ == "__main__":
    sys.exit(run_command(main))
