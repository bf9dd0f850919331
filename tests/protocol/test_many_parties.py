"""As many answering parties as are forked in place of started one by one."""

from __future__ import annotations

from protocol_runs import Runner

from capc.harness.launchers.fork_client import FORK_FROM

PARTIES = 2 * FORK_FROM + 1  # which take turns on two cores


def test_forked_parties_give_the_label(run_as_users_do: Runner) -> None:
    finished = run_as_users_do(f"--n_parties={PARTIES}", "--n_queries=2", "--sigma=0", "--verify")
    assert finished.status == 0
    queries = finished.table("queries")
    checks = finished.table("private/check")
    assert checks["reference_agrees"].tolist() == [True, True]
    assert queries["label"].tolist() == checks["plain_label"].tolist()
    parties = finished.record["parties"]
    assert [party["exit_status"] for party in parties.values()] == [0] * (PARTIES + 2)
    assert len({party["port"] for party in parties.values()}) == PARTIES + 2
    for index in range(PARTIES):
        log = (finished.folder / "logs" / f"answering-{index}.log").read_text()
        assert f"answering-{index} query 1 step 2" in log
