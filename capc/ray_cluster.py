"""Ray, an optional extra: a cluster that runs already, or one of this machine for this process.

A Ray of this process stays on loopback, where it asks for a token of its own, has no dashboard and
sends no usage statistics. It ends with the process, and its folder of logs with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from capc.errors import ConfigError, ProgramError
from capc.files import socket_folder

LOCAL = "local"
"""The address that stands for a Ray of this machine, started here."""

_CONNECT_SECONDS = 10.0
_STORE_BYTES = 80 << 20  # the least that Ray takes: nothing large goes through it
_FOLDER_PREFIX = "capc-ray-"
_LONGEST_SOCKET = "session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"


@contextlib.contextmanager
def connected(address: str, *, cpus: int) -> Iterator[Any]:
    """The module `ray`, connected to a cluster while this lasts.

    `address` is "local", "auto" (the cluster that runs on this machine) or HOST:PORT of a head.
    `cpus` are what tasks may take of a Ray that is started here. Raises ConfigError where Ray is
    not installed or nothing answers, ProgramError where none can be started.
    """
    ray = _imported(address)
    with ExitStack() as held:
        options: dict[str, Any] = {"address": address}
        if address == LOCAL:
            folder = held.enter_context(socket_folder(_FOLDER_PREFIX, _LONGEST_SOCKET))
            options |= {"include_dashboard": False, "num_cpus": cpus, "_temp_dir": str(folder)}
            options["object_store_memory"] = _STORE_BYTES
            # Ray's workers start elsewhere: they must find the same modules as this process.
            os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        try:
            with _own_signals():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # a busy machine's is of no kind of its own
            if address == LOCAL:
                raise ProgramError(f"Ray does not start on this machine: {error}") from None
            raise ConfigError(
                f"no Ray cluster answers at --ray {address}: {error} (where it asks for a token, "
                "set RAY_AUTH_MODE=token)"
            ) from None
        held.callback(ray.shutdown)
        yield ray


def _imported(address: str) -> Any:
    """Ray reads its environment when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL or (address != "auto" and _is_loopback(address)):
        # Ray then stays on loopback: else it takes the machine's outer address for its own, where
        # its unguarded ports are open to the network and a head on loopback is not heard.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if address == LOCAL and "RAY_AUTH_MODE" not in os.environ:  # others of this machine are refused
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray  # noqa: PLC0415  an optional extra, and large
    except ImportError:
        raise ConfigError("--ray needs Ray: pip install 'capc[ray]'") from None
    return ray


def _is_loopback(address: str) -> bool:
    """Whether a cluster's head is on this machine alone.

    Raises ConfigError, at once, where nothing listens there: Ray itself would try for minutes.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster answers at --ray {address} ({error}): give HOST:PORT of its head"
        ) from None


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Give SIGTERM back to who had it: Ray takes it when it connects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
