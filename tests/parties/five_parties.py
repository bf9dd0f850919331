"""Five parties: one that answers is killed and comes back, then the one that asks."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

from federations import FIVE, ROOT, federation

from capc.parties.federation.audit_log import entries
from capc.privacy.accountant import Accountant

QUERIES = 20


def rows(folder: Path) -> list[dict[str, str]]:
    """What the querying party has."""
    return list(csv.DictReader((folder / "querying" / "labels.csv").open()))


def test_a_run_survives_both_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    """Twenty queries, parties started in any order; account and logs verified by command."""
    order = random.Random(3).sample(FIVE, len(FIVE))
    with federation(tmp_path, queries=QUERIES, names=FIVE, min_parties=2) as made:
        for name in FIVE:
            made.change(name, "federation.toml", 'noise = "guardian"', 'noise = "distributed"')
        made.start(*order)
        made.hear("querying", "query 3 step 3 online")
        made.running["answering-1"].kill()
        made.wait("answering-1")
        made.hear("querying", "going on without answering-1")
        made.start("answering-1")
        made.hear("guardian", "answering-1 takes part again")
        made.hear("querying", "step 3 online")
        made.running["querying"].kill()
        ended = {name: made.wait(name) for name in ("querying", "guardian")}
        assert all(status for status, _ in ended.values()), ended
        before = rows(tmp_path)
        assert 4 < len(before) < QUERIES, ended

        made.start("querying", "guardian")  # the others come back by themselves
        ended = {name: made.wait(name) for name in FIVE}
        assert {status for status, _ in ended.values()} == {0}, ended
    after = rows(tmp_path)
    assert after[: len(before)] == before
    assert [int(row["query"]) for row in after] == list(range(QUERIES)), "each once"
    assert [int(row["label"]) for row in after] == made.labels
    voters = [row["voters"] for row in after]
    assert set(voters[:3]) == {"3"}
    assert "2" in voters
    assert voters[-1] == "3"
    assert len({row["run"] for row in after}) == 2
    charged = sum(Accountant.load(tmp_path / "guardian" / "account.json").counts.values())
    spent = [
        e for e in entries(tmp_path / "guardian" / "audit.jsonl") if e.fields["event"] == "spent"
    ]
    assert len(spent) <= charged <= QUERIES + 3
    for name in FIVE:
        log = str(tmp_path / name / "audit.jsonl")
        command = [sys.executable, "-m", "capc.cli", "party", "log", "verify", log]
        assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
