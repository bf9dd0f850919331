"""An answering party that is killed: the others go on, and it takes part again once it is back."""

from __future__ import annotations

from pathlib import Path

from federations import NAMES, federation, require_status

QUERIES = 60


def test_a_party_that_comes_back_takes_part_in_the_next_query(tmp_path: Path) -> None:
    with federation(tmp_path, queries=QUERIES, min_parties=1, timeout_seconds=60) as made:
        made.start(*NAMES)
        made.hear("querying", "query 0 step 3 online")
        made.running["answering-1"].kill()
        made.hear("querying", "going on without answering-1")
        made.wait("answering-1")
        made.start("answering-1")
        made.hear("guardian", "answering-1 takes part again")
        made.hear("querying", "step 3 online")
        made.running["querying"].terminate()
        ended = {name: made.wait(name) for name in NAMES}
        labels = made.labels
    require_status(ended, 0)
    rows = made.rows()
    assert [int(row["label"]) for row in rows] == labels[: len(rows)]
    voters = [row["voters"] for row in rows]
    assert (voters[0], voters[-1]) == ("2", "2")
    assert "1" in voters
