"""Parties that are killed, each at the beginning of each of its steps."""

from __future__ import annotations

import signal

import pandas as pd
import pytest
from protocol_runs import Runner

STEPS = [
    (party, step, phase)
    for party, steps in {
        "querying": ("1a", "1b", "1c", "2", "3"),
        "answering-1": ("1a", "1b", "1c", "2"),
        "guardian": ("2", "3"),
    }.items()
    for step in steps
    for phase in ("setup", "offline", "online")
    if (phase == "online" or step in ("1a", "1c", "3"))
    and not (party == "guardian" and phase == "setup" and step == "2")
]


@pytest.mark.parametrize(("party", "step", "phase"), STEPS)
def test_a_party_that_dies(
    run_protocol: Runner, capsys: pytest.CaptureFixture[str], party: str, step: str, phase: str
) -> None:
    """Killed at each step: status 1, the party named, nothing left, rows kept, no hang."""
    roles = {name: f"dying_{name}" for name in ("querying", "answering", "guardian")}
    finished = run_protocol(
        "--n_parties=2", "--n_queries=2", "--sigma=0",
        modules=roles, environment={"CAPC_TEST_DIE": f"{party} {step} {phase}"},
    )  # fmt: skip
    assert finished.status == 1
    assert party in capsys.readouterr().out
    assert finished.record["failure"]["party"] == party
    assert "SIGKILL" in finished.record["failure"]["reason"]
    assert finished.record["parties"][party]["exit_status"] == -signal.SIGKILL
    assert isinstance(finished.table("timings"), pd.DataFrame)
