"""`capc run --resume`: what a run has left is asked, and nothing is paid for twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from protocol_runs import Runner

from capc.errors import ConfigError
from capc.harness.experiment import run
from capc.harness.settings import parse_settings
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism


def test_a_run_goes_on_after_its_last_query_with_its_account(
    run_protocol: Runner, tmp_path: Path
) -> None:
    """Two of three queries are left; the one that was interrupted stays charged, and pays again."""
    first = run_protocol(
        *("--n_parties=1", "--n_queries=3", "--cpu", "--sigma=2", "--start_batch=5"),
        modules={
            "querying": "dying_querying",
            "answering": "capc.parties.answering_party",
            "guardian": "capc.parties.privacy_guardian",
        },
        environment={"CAPC_TEST_DIE": "querying 3 online 1"},
    )
    assert first.status == 1
    assert first.table("queries")["query"].tolist() == [0]
    account = first.folder / "account.json"
    assert Accountant.load(account).counts == {Mechanism("gnmax", 2.0): 2}

    results = tmp_path / "later"
    words = [f"--resume={first.folder}", "--launcher=subprocess", f"--results_dir={results}"]
    assert run(parse_settings(words)) == 0
    rest = (results / "latest").resolve()
    flags = json.loads((rest / "run.json").read_text())["flags"]
    assert (flags["n_queries"], flags["start_batch"], flags["sigma"]) == (2, 6, 2.0)
    assert len((rest / "queries.csv").read_text().splitlines()) == 3
    assert Accountant.load(account).counts == {Mechanism("gnmax", 2.0): 4}
    assert not (rest / "account.json").exists(), "one account over both"
    with pytest.raises(ConfigError, match="nothing is left"):
        parse_settings([f"--resume={rest}"])
