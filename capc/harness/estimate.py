"""What a run will take and cost, from its flags and models, before any party starts.

Bytes and epsilon are counted; seconds are a guess from unit costs (capc/inference/costs.py), for
two cores that do nothing else. Nothing here depends on weights or votes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capc.console import bytes_text, epsilon_text
from capc.data.own_data import title
from capc.errors import ConfigError
from capc.harness.settings import Settings
from capc.inference.costs import SIDE_BY_SIDE, LayerCost
from capc.parties.privacy_guardian import budget_of
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.calibrate import MOST_QUERIES
from capc.privacy.conversion import GridEdgeWarning

# Beside the layers: messages, the circuits of 1c and 3, Python. Of a query and answering party,
# measured with one to three parties of models/cryptonets-relu.pb on two cores.
_PARTY_SECONDS = 0.03
# Memory at its most, beside weights: driver and querying party, and any other party. By what 3, 40
# and 250 parties took, in proportional set size (docs/performance.md).
_ASKING_BYTES, _PARTY_BYTES = 300_000_000, 28_000_000


@dataclass(frozen=True)
class Estimate:
    """Of `queries` queries to `parties` answering parties, where all are answered.

    `seconds` and `sent_bytes` are a query's, of all parties together; None without encryption,
    where next to nothing is sent. `memory_bytes` are of all processes. `admitted` queries fit into
    the budget, which then has spent `epsilon`, of it `epsilon_before` in earlier runs of the
    account; `room` is how many fit in all, None without a limit.
    """

    parties: int
    queries: int
    seconds: float | None
    sent_bytes: int | None
    memory_bytes: int
    admitted: int
    epsilon: float
    epsilon_before: float
    room: int | None


def estimate(settings: Settings, costs: Sequence[LayerCost]) -> Estimate:
    """The estimate of a run with a query's total cost at each answering party.

    There are no `costs` without encryption.
    """
    parties = settings.n_parties
    work = sum(cost.offline_seconds + cost.online_seconds for cost in costs)
    seconds = SIDE_BY_SIDE * work + len(costs) * _PARTY_SECONDS
    sent = sum(cost.offline_bytes + cost.online_bytes for cost in costs)
    weights = sum(cost.weight_bytes for cost in costs)
    before, after, admitted, room = _budget(settings)
    return Estimate(
        parties=parties,
        queries=settings.n_queries,
        seconds=seconds if costs else None,
        sent_bytes=sent if costs else None,
        memory_bytes=_ASKING_BYTES + (parties + 1) * _PARTY_BYTES + weights,
        admitted=admitted,
        epsilon=after,
        epsilon_before=before,
        room=room,
    )


def _budget(settings: Settings) -> tuple[float, float, int, int | None]:
    """Epsilon before and after, the queries admitted, and the room; by the guardian's own rule."""
    privacy = settings.privacy
    account = None
    if settings.account_here is not None and Path(settings.account_here).exists():
        account = Accountant.load(settings.account_here)
    changes = settings.rule(settings.num_classes or 2).changes
    budget = budget_of(privacy, settings.fewest, account=account, changes=changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridEdgeWarning)
        room = _room(budget)
        admitted = settings.n_queries if room is None else min(room, settings.n_queries)
        after = budget.worst_case(admitted).privacy_loss(privacy.delta, privacy.conversion).epsilon
        return budget.epsilon_spent, after, admitted, room


def _room(budget: Budget) -> int | None:
    """How many queries fit, up to MOST_QUERIES: more than that is no reason to refuse a run."""
    try:
        return budget.room()
    except ConfigError:
        return int(MOST_QUERIES)


def plan_lines(settings: Settings, found: Estimate) -> list[str]:
    """Three lines: what is asked, what it takes, what it costs."""
    return [_asked(settings), _taken(found), _spent(settings, found)]


def _asked(settings: Settings) -> str:
    data = "saved queries" if settings.dataset_path is not None else title(settings.dataset_name)
    queries = _count(settings.n_queries, "query", "queries")
    if settings.batch_size > 1:
        queries += f" in batches of {settings.batch_size}"
    parties = _count(settings.n_parties, "answering party", "answering parties")
    return f"plan: {queries} of {data} to {parties}, {settings.n_parties + 2} processes"


def _taken(found: Estimate) -> str:
    memory = f"up to {bytes_text(found.memory_bytes)} of memory"
    if found.seconds is None or found.sent_bytes is None:
        return f"expected: next to no time, for nothing is encrypted; {memory}"
    said = f"expected: about {_about(found.seconds)} and {bytes_text(found.sent_bytes)} a query"
    if (asked := found.admitted) > 1:
        said += f", {_about(asked * found.seconds)} and {bytes_text(asked * found.sent_bytes)}"
        said += f" for {asked:,}"
    return f"{said}, on two free cores, after some seconds of set-up; {memory}"


def _about(seconds: float) -> str:
    """Two digits: more would promise what nobody measured."""
    if seconds >= 7200:
        return f"{seconds / 3600:.2g} h"
    return f"{seconds / 60:.2g} min" if seconds >= 120 else f"{float(f'{seconds:.2g}'):g} s"


def _spent(settings: Settings, found: Estimate) -> str:
    privacy = settings.privacy
    if not found.admitted:
        return (
            f"privacy: a budget of {privacy.epsilon:g} at delta {privacy.delta:g} admits no query; "
            f"{epsilon_text(found.epsilon_before)} was spent before"
        )
    said = f"privacy: epsilon {epsilon_text(found.epsilon)} at delta {privacy.delta:g}"
    if found.epsilon_before:
        said += f", {epsilon_text(found.epsilon_before)} of it spent before"
    if found.room is None:
        return f"{said}, if all are answered; no limit is set (--epsilon)"
    said += f", of a budget of {privacy.epsilon:g}"
    if found.admitted < found.queries:
        refused = _count(found.queries - found.admitted, "query is", "queries are")
        return f"{said}, after {found.admitted:,} answered; the last {refused} refused"
    return f"{said}, if all are answered; {_count(found.room, 'query', 'queries')} would fit"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
