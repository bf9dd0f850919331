"""What queries will cost, how many fit into a budget, and the noise that a budget asks for.

All from data-independent bounds, as the guardian charges a run: nothing of it is private.
"""

from __future__ import annotations

import warnings

from capc.errors import ConfigError
from capc.privacy.budget import Budget
from capc.privacy.calibrate import smallest_sigma
from capc.privacy.conversion import DEFAULT_DELTA, Conversion, GridEdgeWarning, PrivacyLoss


def cost(
    queries: int,
    sigma: float,
    *,
    answered: int | None = None,
    sigma_threshold: float | None = None,
    delta: float = DEFAULT_DELTA,
    conversion: Conversion = "improved",
    parties: int | None = None,
    colluding: int = 0,
) -> PrivacyLoss:
    """The (epsilon, delta) of so many queries whose counts carry noise of scale `sigma`, in votes.

    All are answered unless `answered` says how many; that needs `sigma_threshold`, the scale of
    the noise on the threshold, which each query is then charged for. With `parties`, so many
    answering parties draw the noise themselves, of which `colluding` may tell others their part.
    Raises ConfigError for values that cannot be used. `capc privacy cost` prints the same.
    """
    if queries < 1:
        raise ConfigError(f"queries is {queries}; give 1 or more")
    budget = guardian_budget(
        *(None, sigma, sigma_threshold, delta, conversion), parties=parties, colluding=colluding
    )
    account = budget.planned(queries, queries if answered is None else answered)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridEdgeWarning)  # as a run charges it, on the same grid
        return account.privacy_loss(budget.delta, budget.conversion)


def queries_within(
    epsilon: float,
    sigma: float,
    *,
    sigma_threshold: float | None = None,
    delta: float = DEFAULT_DELTA,
    conversion: Conversion = "improved",
    parties: int | None = None,
    colluding: int = 0,
) -> int:
    """How many queries fit into a budget of (epsilon, delta) if all are answered; as `cost`.

    Raises ConfigError for values that cannot be used, and where the queries are beyond counting.
    """
    budget = guardian_budget(
        *(epsilon, sigma, sigma_threshold, delta, conversion), parties=parties, colluding=colluding
    )
    return budget.room() or 0  # None only without a limit


def sigma_for(
    epsilon: float,
    queries: int,
    *,
    answered: int | None = None,
    sigma_threshold: float | None = None,
    delta: float = DEFAULT_DELTA,
    conversion: Conversion = "improved",
) -> float:
    """The least noise, in votes, with which so many queries fit into (epsilon, delta); as `cost`.

    Raises ConfigError where no noise is enough, and for values that cannot be used.
    """
    return smallest_sigma(
        *(epsilon, delta, queries),
        answered=answered,
        sigma_threshold=sigma_threshold,
        conversion=conversion,
    )


def guardian_budget(
    epsilon: float | None,
    sigma: float,
    sigma_threshold: float | None,
    delta: float,
    conversion: Conversion,
    *,
    parties: int | None,
    colluding: int,
    threshold: float | None = None,
) -> Budget:
    """The rule by which a guardian would charge.

    There is a threshold where either of its two values is given; what it is costs nothing.
    """
    if parties is None and colluding:
        raise ConfigError("colluding needs parties: how many draw the noise")
    compared = threshold is not None or sigma_threshold is not None
    return Budget(
        epsilon,
        delta,
        sigma,
        (threshold or 0.0) if compared else None,
        sigma_threshold or 0.0,
        distributed_over=parties,
        colluding=colluding,
        conversion=conversion,
    )
