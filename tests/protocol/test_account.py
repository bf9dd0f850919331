"""`--account`: one budget over several runs of the real parties."""

from __future__ import annotations

from pathlib import Path

import pytest
from protocol_runs import Runner

from capc.command_line import ExitStatus
from capc.errors import ConfigError
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.rdp import Mechanism

GNMAX, THRESHOLD = Mechanism("gnmax", 40.0), Mechanism("threshold", 1.0)


def test_the_next_run_goes_on_and_the_budget_refuses_when_spent(
    run_protocol: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "account.json"
    worst = Budget(None, 1e-5, 40.0)
    for _ in range(3):
        worst.charge(answered=True)
    flags = ["--n_parties=1", "--n_queries=2", "--sigma=40", f"--account={path}", "--cpu"]
    flags.append(f"--epsilon={worst.epsilon_spent * 1.0001}")
    first, second = run_protocol(*flags), run_protocol(*flags)
    assert (first.status, second.status) == (0, 0)
    assert [run.table("queries")["answered"].sum() for run in (first, second)] == [2, 1]
    assert second.table("queries")["epsilon_spent"].iloc[0] == pytest.approx(worst.epsilon_spent)
    before, after = (run.record["account"] for run in (first, second))
    assert before["epsilon_before"] == 0
    assert before["epsilon_after"] == after["epsilon_before"] < after["epsilon_after"]
    assert Accountant.load(path).counts == {GNMAX: 3}
    assert run_protocol(*flags).status == ExitStatus.NOTHING_ANSWERED
    with AccountFile(path), pytest.raises(ConfigError, match="in use by another run"):
        run_protocol(*flags)


def test_the_driver_reads_the_account_once_before_a_run(
    run_protocol: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Counted(AccountFile):
        def __init__(self, path: str, owners: str | None) -> None:
            opened.append(path)
            super().__init__(path, owners)

    monkeypatch.setattr("capc.harness.account.AccountFile", Counted)
    path = tmp_path / "account.json"
    finished = run_protocol("--n_parties=1", "--sigma=40", f"--account={path}", "--cpu")
    assert finished.record["account"]["epsilon_before"] == 0
    assert opened == [str(path)]


def test_a_crash_at_the_opening_leaves_the_worst_case_and_a_run_what_happened(
    run_protocol: Runner, tmp_path: Path
) -> None:
    """A threshold out of reach: nothing is answered, so that the two accounts differ."""
    path = tmp_path / "account.json"
    flags = ["--n_parties=1", "--n_queries=3", "--sigma=40", f"--account={path}", "--cpu"]
    flags += ["--threshold=1000", "--sigma_threshold=1", "--batch_size=2"]
    assert run_protocol(*flags).status == 0
    assert Accountant.load(path).counts == {THRESHOLD: 3}
    died = run_protocol(
        *flags,
        modules={
            "querying": "capc.parties.querying_party",
            "answering": "capc.parties.answering_party",
            "guardian": "dying_guardian",
        },
        environment={"CAPC_TEST_DIE": "guardian 3 online"},
    )
    assert died.status == 1
    assert Accountant.load(path).counts == {THRESHOLD: 5, GNMAX: 2}


def test_other_parties_are_refused_and_other_rules_add_up(
    run_protocol: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "account.json"
    flags = ["--n_queries=1", "--sigma=40", f"--account={path}", "--cpu"]
    assert run_protocol(*flags, "--n_parties=1").status == 0
    with pytest.raises(ConfigError, match=r"covers the data of 1 party of .*, and this run asks 2"):
        run_protocol(*flags, "--n_parties=2")
    owners = Accountant.load(path).owners
    finished = run_protocol(
        *flags, "--n_parties=2", "--noise=distributed", f"--data_owners={owners}"
    )
    assert finished.status == 0
    assert finished.record["account"]["other_rule_before"] is True
    assert finished.record["account"]["owners"] == owners
    assert "partly by runs with the other --noise; the costs of both are added up" in " ".join(
        capsys.readouterr().out.split()
    )
    mechanism = Mechanism("distributed", 40.0, parties=2)
    assert Accountant.load(path).counts == {GNMAX: 1, mechanism: 1}
