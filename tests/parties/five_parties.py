"""Five parties: one that answers is killed and comes back, then the one that asks."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from federations import FIVE, ROOT, Federation, federation, require_status

QUERIES = 20


def make_distributed(made: Federation) -> None:
    """All parties agree that the answering ones draw the noise."""
    for name in FIVE:
        made.change(name, "federation.toml", 'noise = "guardian"', 'noise = "distributed"')


def survives_both(
    made: Federation, order: Sequence[str], at: Callable[[str], Sequence[str]] = lambda _: ()
) -> list[str]:
    """Start all in this order; kill one that answers, start it again; kill the one that asks.

    `at` gives the words before a party's command, which put it on its machine. Once the rest is
    asked, account and logs are verified by command. What was found, a line each.
    """

    def start(*names: str) -> None:
        for name in names:
            made.start(name, prefix=at(name))

    start(*order)
    made.hear("querying", "query 3 step 3 online")
    made.running["answering-1"].kill()
    made.wait("answering-1")
    made.hear("querying", "going on without answering-1")
    start("answering-1")
    made.hear("guardian", "answering-1 takes part again")
    made.hear("querying", "step 3 online")
    made.running["querying"].kill()
    ended = {name: made.wait(name) for name in ("querying", "guardian")}
    assert all(status for status, _ in ended.values()), ended
    before = made.rows()
    assert 4 < len(before) < QUERIES, ended

    start("querying", "guardian")  # the others come back by themselves
    ended = {name: made.wait(name, 300) for name in FIVE}
    require_status(ended, 0)
    return [f"started as {', '.join(order)}", *_found(made, before)]


def _found(made: Federation, before: list[dict[str, str]]) -> list[str]:
    """What the files of all parties say."""
    after = made.rows()
    assert after[: len(before)] == before
    assert [int(row["query"]) for row in after] == list(range(QUERIES)), "each once"
    assert [int(row["label"]) for row in after] == made.labels
    voters = [row["voters"] for row in after]
    assert set(voters[:3]) == {"3"}
    assert "2" in voters
    assert voters[-1] == "3"
    assert len({row["run"] for row in after}) == 2
    charged = made.charged()
    assert len(made.events("guardian", "spent")) <= charged <= QUERIES + 3
    for name in FIVE:
        command = [sys.executable, "-m", "capc.cli", "party", "log", "verify"]
        command.append(str(made.root / name / "audit.jsonl"))
        assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
    return [
        f"{QUERIES} queries answered, each once; {len(before)} before the querying one was killed",
        f"{voters.count('2')} of them by two of three answering parties, all labels right",
        f"the account was charged for {charged}; {len(FIVE)} logs verified",
    ]


def test_a_run_survives_both_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    """Twenty queries, parties started in any order; account and logs verified by command."""
    with federation(tmp_path, queries=QUERIES, names=FIVE, min_parties=2) as made:
        make_distributed(made)
        survives_both(made, random.Random(3).sample(FIVE, len(FIVE)))
