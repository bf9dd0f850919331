"""A network that cuts connections now and then: the run goes on, and nothing is done twice."""

from __future__ import annotations

import csv
import random
from contextlib import ExitStack
from pathlib import Path

from cutting import Cutting
from federations import LINKS, NAMES, Federation, federation, port_of

from capc.parties.federation.audit_log import entries
from capc.privacy.accountant import Accountant

QUERIES = 3
HANDSHAKE_BYTES = 4_000


def events(made: Federation, name: str, event: str) -> list[dict[str, object]]:
    log = made.root / name / "audit.jsonl"
    return [entry.fields for entry in entries(log) if entry.fields["event"] == event]


def test_links_that_are_cut_at_random_places_lose_no_query(tmp_path: Path) -> None:
    """Both directions of all five links, twice each; the account is charged once a query."""
    draw = random.Random(11)
    with ExitStack() as ending:
        made = ending.enter_context(federation(tmp_path, queries=QUERIES, reconnect_seconds=10))
        relays = []
        for caller, name in LINKS:
            most = 300_000 if "querying" in caller and name != "guardian" else 2_000
            cuts = [(way, HANDSHAKE_BYTES + draw.randrange(most)) for way in (0, 1)]
            relay = ending.enter_context(Cutting(port_of(made, name), cuts, down_seconds=0.2))
            made.through(name, relay, caller)
            relays.append(relay)
        made.start(*NAMES)
        ended = {name: made.wait(name) for name in NAMES}
        assert {status for status, _ in ended.values()} == {0}, ended
    rows = list(csv.DictReader((tmp_path / "querying" / "labels.csv").open()))
    assert [int(row["label"]) for row in rows] == made.labels
    assert {row["voters"] for row in rows} == {"2"}
    charged = sum(Accountant.load(tmp_path / "guardian" / "account.json").counts.values())
    assert charged == len(events(made, "guardian", "spent")) == QUERIES
    mended = [event for name in NAMES for event in events(made, name, "mended")]
    assert sum(relay.made_cuts for relay in relays) >= 5
    assert len(mended) >= 5
