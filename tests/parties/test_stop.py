"""SIGTERM ends a party also where the error that it raises is lost on its way."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from federations import Federation

from capc.errors import StoppedError
from capc.parties.federation.party_file import PartyFile
from capc.parties.federation.records import OwnRecords


@pytest.fixture
def records(tmp_path: Path) -> Iterator[OwnRecords]:
    Federation(tmp_path)
    made = OwnRecords(PartyFile.read(tmp_path / "guardian" / "party.toml"))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    made.end_on_sigterm()
    yield made
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    made.close()


def test_a_stop_that_a_log_swallows_comes_again(records: OwnRecords) -> None:
    with contextlib.suppress(StoppedError):  # as logging does with what its handlers raise
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StoppedError):
        time.sleep(5)
    records.error("stopped")
    time.sleep(0.6)  # and not after the party has said why it ends
