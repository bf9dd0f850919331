"""The parties of tested runs as forks of one process, which has imported what parties import.

An interpreter that imports a party takes 0.4 s of processor time, and a short run starts four or
more to do less than that. Parties that start by themselves, as a user's do, are tested in
tests/protocol/test_run.py, and by all tests of commands.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import runpy
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from capc.command_line import run_command
from capc.harness.launchers import fork_client
from capc.harness.launchers.fork_client import ForkedProcess, Forks
from capc.harness.launchers.fork_server import LATE_IMPORTS, Nursery
from capc.harness.launchers.processes import PartySpec, party_environment
from capc.roles import MODULES


class AllForks(Forks):
    """Forks of any party's program, real or a test's own, with the environment of the moment."""

    def start(self, spec: PartySpec) -> ForkedProcess:
        """Start one party; ConfigError where the nursery has died."""
        python, option, module, *arguments = spec.command
        told = (json.dumps(party_environment()), module, *arguments)
        return super().start(dataclasses.replace(spec, command=(python, option, module, *told)))


@pytest.fixture(scope="session")
def forks() -> Iterator[AllForks]:
    """The process that forks, one for all tests of a worker."""
    forks = AllForks((__file__,))
    forks.open()
    yield forks
    forks.close()


@contextmanager
def parties_forked(forks: AllForks) -> Iterator[None]:
    """Runs fork their parties instead of starting each by itself."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fork_client, "ChildProcess", forks.start)
        yield


@pytest.fixture
def forked_parties(forks: AllForks) -> Iterator[None]:
    """`parties_forked`, for a test."""
    with parties_forked(forks):
        yield


def become(arguments: list[str]) -> int:
    """In a fork: the program of a module, in the given environment; its exit status."""
    environment, module, *rest = arguments
    os.environ.clear()
    os.environ.update(json.loads(environment))
    sys.path[:1] = os.environ["PYTHONPATH"].split(os.pathsep)
    sys.argv = [module, *rest]
    if module in sys.modules:
        return run_command(sys.modules[module].main)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def main(descriptor: int) -> None:
    """Fork parties for the tests at the other end of an inherited socket."""
    for module in (*MODULES.values(), *LATE_IMPORTS):
        importlib.import_module(module)
    with socket.socket(fileno=descriptor) as tests:
        Nursery(tests, become).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
