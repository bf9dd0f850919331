"""What the querying party makes of the guardian's word on a batch, and how its run ends."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from capc.parties.links import Links
from capc.parties.messages import Admission, Batch
from capc.parties.querying_party import QueryingParty
from capc.parties.runtime import Runtime
from capc.transport.channel import Channel


@pytest.mark.parametrize(
    ("begin", "any_admitted"), [(0, False), (2, True)], ids=["refused at once", "nothing is left"]
)
def test_a_budget_that_admits_nothing_is_told_from_queries_that_are_done(
    begin: int, any_admitted: bool
) -> None:
    ours, theirs = socket.socketpair()
    config = SimpleNamespace(batch_size=1, rule=None, may_lose_parties=False)
    control = SimpleNamespace(stopping=lambda: False)
    with Channel(ours, "guardian") as guardian, Channel(theirs, "querying") as other:
        Admission(0, "the budget is spent").send(other)
        party = QueryingParty(
            Runtime(cast(Any, config), cast(Any, control), cast(Any, None)),
            Links([], cast(Any, None), cast(Any, config), lambda name, reason: None),
            *(guardian, cast(Any, None), cast(Any, None)),
        )
        assert party.ask(np.zeros((2, 1)), begin) is any_admitted
        if not any_admitted:
            assert Batch.receive(other) == Batch(0, 1)
        assert Batch.receive(other) is None, "the end of the queries"
