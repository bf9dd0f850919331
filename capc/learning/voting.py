"""Steps 2 and 3 in the clear, for experiments: the vote, its noise and its account.

The rules are those of the protocol's guardian: the largest count plus threshold noise reaches T or
the query is not answered; the label is the largest noisy count, ties to the lowest class; what
happened is charged, and the first query that could pass the budget ends the questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.fixed_point import Float64, Int64
from capc.learning.experiment import Privacy
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.conversion import default_orders, epsilons
from capc.privacy.dependent import dependent_rdp, log_q_gnmax, log_q_threshold
from capc.privacy.distributed import UNITS, log_tau, party_sigma, reserved_units
from capc.privacy.noise import reserved_range, sample_noise
from capc.privacy.rdp import Mechanism, distributed_rdp, labels_rdp
from capc.privacy.votes import check_votes
from capc.privacy.voting_rules import VotingRule

Sampler = Callable[[float, int], Int64]
"""(sigma, count) to `count` draws of the discrete Gaussian of that scale."""

_SAME_LAW = -80 * math.log(2.0)
"""A bound below 2^-80 on how far two laws differ: no simulation tells them apart."""

_CHUNK = 512  # queries whose RDP curves are held at once


def exact_sampler(parties: int, privacy: Privacy) -> Sampler:
    """The protocol's own noise, from the operating system: different in every run."""
    reserved = (reserved_units if privacy.distributed else reserved_range)(
        parties, privacy.threshold
    )
    return lambda sigma, count: sample_noise(sigma, count, reserved=reserved)


def seeded_sampler(generator: np.random.Generator) -> Sampler:
    """The same law from NumPy's generator, for simulations that others repeat.

    Never for labels that are given away: who knows the seed knows the noise. The law is tabulated
    in floating point out to 40 sigma, beyond which lies less than 1e-300.
    """

    def draw(sigma: float, count: int) -> Int64:
        if sigma == 0.0:
            return np.zeros(count, dtype=np.int64)
        reach = int(np.ceil(40.0 * sigma)) + 1
        support = np.arange(-reach, reach + 1)
        weights = np.exp(-0.5 * (support / sigma) ** 2)
        return generator.choice(support, size=count, p=weights / weights.sum()).astype(np.int64)

    return draw


@dataclass(frozen=True, eq=False)
class Answers:
    """What became of the queries that were asked, in order; each array has shape (asked,).

    `label` is -1 where not answered. `order` numbers the queries of all parties that shared the
    account, as they were asked.
    """

    order: Int64
    answered: NDArray[np.bool_]
    label: Int64

    @property
    def asked(self) -> int:
        """How many queries were asked, answered or not."""
        return len(self.answered)


@dataclass(frozen=True, eq=False)
class Round:
    """All that was asked on one budget: the answers per party, and the account.

    `account` follows the data-independent bounds and may be published. `private_account` follows
    the votes: it is None unless `bound` is dependent.
    """

    answers: tuple[Answers, ...]
    account: Accountant
    private_account: Accountant | None


def distributed_noise(privacy: Privacy, voters: int, count: int, sampler: Sampler) -> Int64:
    """The sum of what `voters` parties draw, (count,), in parts of a vote.

    One draw at the sum's scale where that is the same law but for 2^-80, else draw by draw.
    """
    each = party_sigma(privacy.sigma, voters, privacy.colluding)
    # The bound depends on each one's scale and on how many there are: here all of them.
    if log_tau(each * math.sqrt(voters) / UNITS, voters) < _SAME_LAW:
        return sampler(each * math.sqrt(voters), count)
    total: Int64 = sampler(each, voters * count).reshape(voters, count).sum(axis=0, dtype=np.int64)
    return total


def labels_by_count(
    votes: Int64, privacy: Privacy, sampler: Sampler, rule: VotingRule, voters: int
) -> tuple[Int64, Int64]:
    """The same where each label is decided by a count of its own: every query is answered."""
    noise = sampler(privacy.sigma, votes.size).reshape(votes.shape)
    return np.ones(len(votes), dtype=np.int64), rule.answers(votes + noise, voters)


def confident_gnmax(
    votes: Int64, privacy: Privacy, sampler: Sampler, *, voters: int | None = None
) -> tuple[Int64, Int64]:
    """Answered flags (n,) and labels (n,) of votes (n, classes), noise drawn for each query.

    `voters` parties draw it, where it is distributed.
    """
    counts = check_votes(votes)
    if voters is not None and privacy.distributed:
        noise = distributed_noise(privacy, voters, counts.size, sampler).reshape(counts.shape)
        noisy = UNITS * counts + noise
        reached = np.ones(len(counts), dtype=np.int64)
        if privacy.threshold is not None:
            reached = (noisy.max(axis=1) >= UNITS * privacy.threshold).astype(np.int64)
        return reached, np.argmax(noisy, axis=1)
    noise = sampler(privacy.sigma, counts.size).reshape(counts.shape)
    labels = np.argmax(counts + noise, axis=1)
    if privacy.threshold is None:
        return np.ones(len(counts), dtype=np.int64), labels
    noisy_top = counts.max(axis=1) + sampler(privacy.sigma_threshold, len(counts))
    return (noisy_top >= privacy.threshold).astype(np.int64), labels


def ask(
    votes: list[Int64],
    privacy: Privacy,
    sampler: Sampler,
    *,
    voters: int | None = None,
    rule: VotingRule | None = None,
) -> Round:
    """Put the queries of parties that share one budget, in turns, until it is spent.

    `voters` parties answer each; it is needed where they draw the noise, and where each label has
    a count of its own (`rule`; None: the label is the class with most votes).

    `votes[q]` (n_q, classes) are the votes on party q's queries in the order of its choice.
    Raises ConfigError where nobody may ask anything.
    """
    changes = None if rule is None else rule.changes
    if (privacy.distributed or changes is not None) and voters is None:
        raise ConfigError("these votes need the number of voters")
    order, owner = _in_turns([len(part) for part in votes])
    together = np.concatenate(votes)[order]
    if rule is not None and rule.by_label and voters is not None:
        answered_flags, labels = labels_by_count(together, privacy, sampler, rule, voters)
    else:
        answered_flags, labels = confident_gnmax(together, privacy, sampler, voters=voters)
    answered = answered_flags.astype(np.bool_)
    allowed = queries_within_budget(together, answered, privacy, voters=voters, changes=changes)
    if not allowed:
        raise ConfigError(
            f"privacy.epsilon {privacy.epsilon} at delta {privacy.delta:g} admits no query: "
            "raise it, or sigma and sigma_threshold"
        )
    answers = []
    for party in range(len(votes)):
        mine = np.flatnonzero(owner[:allowed] == party)
        flags = answered[mine]
        answers.append(Answers(mine, flags, np.where(flags, labels[mine], -1)))
    spent = answered[:allowed]
    return Round(
        tuple(answers),
        charged(privacy, allowed, int(spent.sum()), voters=voters, changes=changes),
        _charged_by_votes(privacy, together[:allowed], spent),
    )


def queries_within_budget(
    votes: Int64,
    answered: NDArray[np.bool_],
    privacy: Privacy,
    *,
    voters: int | None = None,
    changes: int | None = None,
) -> int:
    """How many of these queries, in order, the budget admits.

    A query is admitted when its worst case, being answered, still fits. With `bound` dependent
    this number depends on the votes and is private.
    """
    if privacy.epsilon is None or privacy.sigma == 0.0:
        return len(votes)
    orders = default_orders()
    spent = np.zeros(orders.shape)
    for start in range(0, len(votes), _CHUNK):
        part = slice(start, start + _CHUNK)
        threshold_cost, label_cost = _costs(votes[part], privacy, orders, voters, changes)
        happened = threshold_cost + answered[part, None] * label_cost
        before = spent + np.cumsum(happened, axis=0) - happened
        worst = epsilons(
            before + threshold_cost + label_cost,
            orders,
            privacy.delta,
            privacy.conversion,
        ).min(axis=1)
        refused = np.flatnonzero(worst > privacy.epsilon)
        if len(refused):
            return start + int(refused[0])
        spent = spent + happened.sum(axis=0)
    return len(votes)


def epsilon_of(account: Accountant, privacy: Privacy) -> float:
    """What an account has spent at the experiment's delta and conversion."""
    return account.privacy_loss(privacy.delta, privacy.conversion).epsilon


def composed(accounts: list[Accountant]) -> Accountant:
    """One account of all that several were charged: what the answering parties gave in all."""
    total = Accountant()
    for account in accounts:
        for mechanism, count in account.counts.items():
            total.charge(mechanism, count)
    return total


def _in_turns(counts: list[int]) -> tuple[Int64, Int64]:
    """The order of the queries of all parties one after another, and whose each one is."""
    owner = np.repeat(np.arange(len(counts)), counts)
    turn = np.concatenate([np.arange(count) for count in counts])
    order = np.lexsort((owner, turn)).astype(np.int64)
    return order, owner[order].astype(np.int64)


def _costs(
    votes: Int64,
    privacy: Privacy,
    orders: Float64,
    voters: int | None,
    changes: int | None,
) -> tuple[Float64, Float64]:
    """RDP (n, orders) of the threshold, or of the whole query, and of the label, for each query."""
    if changes is not None:
        each = labels_rdp(privacy.sigma, changes, orders)
        return np.zeros((len(votes), len(orders))), np.tile(each, (len(votes), 1))
    if privacy.distributed and voters is not None:
        each = distributed_rdp(privacy.sigma, voters, orders, colluding=privacy.colluding)
        return np.tile(each, (len(votes), 1)), np.zeros((len(votes), len(orders)))
    trivial = np.zeros(len(votes))
    dependent = privacy.bound == "dependent"
    log_q = log_q_gnmax(votes, privacy.sigma) if dependent else trivial
    label = dependent_rdp(log_q, Mechanism("gnmax", privacy.sigma).spread, orders)
    if privacy.threshold is None:
        return np.zeros(label.shape), label
    log_q = trivial
    if dependent:
        log_q = log_q_threshold(votes, privacy.threshold, privacy.sigma_threshold)
    spread = Mechanism("threshold", privacy.sigma_threshold).spread
    return dependent_rdp(log_q, spread, orders), label


def charged(
    privacy: Privacy,
    asked: int,
    answered: int,
    *,
    voters: int | None = None,
    changes: int | None = None,
) -> Accountant:
    """The published account of so many queries, asked and answered."""
    planned = budget_of(privacy, voters=voters, changes=changes).planned(asked, answered)
    account = Accountant(planned.orders)
    # gnmax before threshold: in this order account.json lists them, and their costs are added.
    for mechanism, count in sorted(planned.counts.items(), key=lambda entry: entry[0].kind):
        account.charge(mechanism, count)
    return account


def budget_of(
    privacy: Privacy,
    *,
    voters: int | None,
    changes: int | None,
    epsilon: float | None = None,
    account: Accountant | None = None,
) -> Budget:
    """The guardian's rule for these queries, which goes on from `account`.

    `epsilon` None: no limit. `voters` parties draw the noise, where it is distributed; `changes`
    counts change with one party's data, where each label has a count of its own.
    """
    compared = privacy.threshold is not None and not privacy.distributed
    return Budget(
        epsilon,
        privacy.delta,
        privacy.sigma,
        privacy.threshold,
        privacy.sigma_threshold if compared else 0.0,
        distributed_over=voters if privacy.distributed else None,
        colluding=privacy.colluding,
        changes=changes,
        conversion=privacy.conversion,
        account=account,
    )


def _charged_by_votes(
    privacy: Privacy, votes: Int64, answered: NDArray[np.bool_]
) -> Accountant | None:
    if privacy.bound != "dependent":
        return None
    account = Accountant()
    account.charge_votes(
        votes, privacy.sigma, privacy.threshold, privacy.sigma_threshold, answered=answered
    )
    return account
