"""Processes that hold secrets leave no core file and are read by no other; and still work."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.harness import experiment
from capc.parties import answering_party, privacy_guardian, querying_party, runtime
from capc.parties.config import PartyConfig
from capc.private_memory import keep_memory_private
from capc.transport.tls import Identity

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4


def in_child(work: Callable[[], object]) -> list[object]:
    """What a forked child says of its state when `work` has ended or failed in it."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            # An earlier test may have run a driver that holds shares in this process.
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            failure = None
            try:
                work()
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
            dumpable = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
            state = [dumpable, resource.getrlimit(resource.RLIMIT_CORE), failure]
            os.write(write_end, json.dumps(state).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as said:
        told: list[object] = json.loads(said.read())
    os.waitpid(pid, 0)
    return told


def test_before_it_is_asked_a_process_can_be_dumped() -> None:
    """The tests below can fail."""
    assert in_child(lambda: None)[0] == 1


@pytest.mark.parametrize("module", [answering_party, privacy_guardian, querying_party])
def test_every_party_keeps_its_memory_before_it_reads_its_settings(
    monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    class AtTheSettingsError(Exception):
        pass

    def read(_: str) -> PartyConfig:
        raise AtTheSettingsError

    monkeypatch.setattr(PartyConfig, "read", read)
    monkeypatch.setattr(runtime, "_report", lambda *_: None)
    main = module.main  # type: ignore[attr-defined]
    found = in_child(lambda: main(["--config", "none.json", "--control", "none"]))
    assert found == [0, [0, 0], None]


@pytest.mark.parametrize(("flags", "dumpable"), [(["--verify"], 0), ([], 1)])
def test_the_driver_does_so_when_it_is_to_hold_the_shares(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], dumpable: int
) -> None:
    monkeypatch.setattr(experiment, "run", lambda _: 0)
    found = in_child(lambda: experiment.main(flags))
    assert found[0] == dumpable


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root_a_private_process_still_reads_its_own_key() -> None:
    """The ssl module reads keys from /proc/self/fd, which belongs to root then."""
    identity = Identity.create("guardian")

    def work() -> None:
        os.setgid(65534)
        os.setuid(65534)
        keep_memory_private()
        identity.server_context({"querying": identity.certificate})
        identity.client_context({"querying": identity.certificate})
        if Path("/proc/self/environ").stat().st_uid != 0:
            raise ConfigError("the environment is the user's own")

    assert in_child(work) == [0, [0, 0], None]
