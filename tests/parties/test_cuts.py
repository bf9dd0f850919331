"""A network that cuts connections now and then: the run goes on, and nothing is done twice."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

from cutting import Cutting
from federations import LINKS, NAMES, federation, port_of, require_status

QUERIES = 3
HANDSHAKE_BYTES = 4_000


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
        require_status(ended, 0)
    rows = made.rows()
    assert [int(row["label"]) for row in rows] == made.labels
    assert {row["voters"] for row in rows} == {"2"}
    assert made.charged() == len(made.events("guardian", "spent")) == QUERIES
    mended = [event for name in NAMES for event in made.events(name, "mended")]
    assert sum(relay.made_cuts for relay in relays) >= 5
    assert len(mended) >= 5
