"""A scripted party: says what a real one says on the control channel, or misbehaves on request.

What each party does comes from the environment variable CAPC_FAKE, a JSON object from party name
to behaviour; without an entry it is good.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from capc.roles import GUARDIAN, QUERYING
from capc.transport.control import ControlClient


def wait_forever() -> None:
    """Wait until something kills this process."""
    threading.Event().wait()


def before_connecting(behaviour: str, control: str, name: str) -> None:
    """Misbehave, where asked, before the control channel is open or as its first bytes."""
    if behaviour == "absent":
        wait_forever()
    if behaviour == "crash":
        raise RuntimeError("fell over at once")
    if behaviour in ("garbage", "version", "endless"):
        line = {
            "garbage": b"\x00\xff not json\n",
            "version": json.dumps(
                {"type": "hello", "version": 99, "party": name, "pid": os.getpid()}
            ).encode()
            + b"\n",
            "endless": b"x" * (3 << 20),
        }[behaviour]
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(control)
        with contextlib.suppress(OSError):
            raw.sendall(line)
        wait_forever()


def start_child() -> None:
    """A child that ignores SIGTERM."""
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{script}; signal.pause()"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    Path("child.pid").write_text(str(child.pid))


def before_ready(behaviour: str, client: ControlClient) -> None:
    """Misbehave, where asked, between the announcement and readiness."""

    def complain(*_: object) -> None:
        client.error("a peer is gone")

    def fall(*_: object) -> None:  # its connections close before it has ended
        client.close()
        threading.Event().wait(0.6)
        os._exit(4)

    if behaviour in ("children", "orphan"):
        start_child()
    if behaviour in ("complains", "falls"):
        signal.signal(signal.SIGUSR1, complain if behaviour == "complains" else fall)


def after_ready(behaviour: str, client: ControlClient) -> None:
    """Misbehave, where asked, before the first query."""
    if behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "exit3":
        sys.stderr.write("the last words of this party\n")
        sys.exit(3)
    if behaviour == "early":
        os._exit(0)
    if behaviour == "error":
        client.error("the port is taken; give another --start_port")
        sys.exit(1)
    if behaviour == "late-garbage":
        client._connection._socket.sendall(b'{"type":"answer","query":-1}\n')
        wait_forever()
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait_forever()
    if behaviour == "children":
        wait_forever()
    if behaviour in ("complains", "falls"):
        while True:
            signal.pause()
    if behaviour == "hang":
        wait_forever()
    if behaviour == "closes":
        client._finished = True
        client._connection.close()
        wait_forever()


def work(name: str, behaviour: str, client: ControlClient, settings: dict[str, int]) -> None:
    """Report queries as the party of this name does: steps, times, answers, what is spent."""
    for query in range(1 if behaviour == "one" else settings.get("n_queries", 1)):
        if name == QUERYING:
            for step in ("1a", "1b", "1c", "3"):
                client.progress(query, step, "online")
                client.timing(query, step, "offline", 0.01, bytes_sent=50)
                client.timing(
                    query, step, "online", 0.02, bytes_sent=100, bytes_received=7, rounds=1
                )
            label = 3 if behaviour == "wrong" else 1
            client.answer(query, True, label)
        elif name == GUARDIAN:
            if behaviour == "refuse" and query:
                client.refused(query, "epsilon would be 3, the budget is 2")
                break
            client.spent(query, 1.5 * (query + 1), 1e-5, "improved", True)
        else:
            client.plan(40, 12)
            client.timing(query, "2", "online", 0.001, bytes_sent=40)


def main() -> None:
    """Run the party of the configuration file, as its entry in CAPC_FAKE says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--control", required=True)
    arguments = parser.parse_args()
    settings = json.loads(Path(arguments.config).read_text())
    name = settings["party"]
    behaviour = json.loads(os.environ.get("CAPC_FAKE", "{}")).get(name, "good")
    sys.stderr.write(f"{name} is {behaviour}\n")
    before_connecting(behaviour, arguments.control, name)
    client = ControlClient.connect(arguments.control, name)
    if behaviour == "mute":
        wait_forever()
    client.timing(None, "1a", "setup", 0.5, bytes_sent=1000, bytes_received=2000, rounds=2)
    client.announce("127.0.0.1", None if name == QUERYING else 40000, "certificate of " + name)
    peers = client.wait_for_peers(30)
    assert peers[name].certificate == "certificate of " + name
    before_ready(behaviour, client)
    client.ready()
    after_ready(behaviour, client)
    work(name, behaviour, client, settings)
    client.done()


if __name__ == "__main__":
    main()
