"""Which of many complaints is the cause of a failure."""

from __future__ import annotations

import pytest

from capc.harness.outcome import Failure, Outcome

QUERYING = Failure("querying", "guardian sent nothing in time", waits_for="guardian")
GUARDIAN = Failure("guardian", "answering-1 sent nothing in time", waits_for="answering-1")
ANSWERING = Failure("answering-0", "querying sent nothing in time", waits_for="querying")
CLOSED = Failure("answering-1", "querying closed the connection", of_a_peer=True)
DISK = Failure("guardian", "account.json cannot be written: no space")
KILLED = Failure("guardian", "SIGKILL", silent=True)


@pytest.mark.parametrize(
    ("failures", "party", "is_a_wait"),
    [
        ([QUERYING], "guardian", True),
        ([QUERYING, GUARDIAN], "answering-1", True),
        ([ANSWERING, QUERYING], "guardian", True),
        ([ANSWERING, CLOSED, QUERYING], "guardian", True),
        ([QUERYING, DISK], "guardian", False),
        ([CLOSED, KILLED], "guardian", False),
        ([CLOSED], "answering-1", False),
    ],
)
def test_the_end_of_a_chain_of_waits_is_named(
    failures: list[Failure], party: str, is_a_wait: bool
) -> None:
    outcome = Outcome(failures=failures)
    assert outcome.cause is not None
    assert (outcome.cause.party, outcome.is_a_wait) == (party, is_a_wait)


def test_who_waited_is_told_beside_who_stood_still() -> None:
    cause = Outcome(failures=[QUERYING, GUARDIAN]).cause
    assert cause is not None
    assert cause.reason == "guardian waited for it in vain: answering-1 sent nothing in time"
