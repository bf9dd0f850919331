"""Stage 2: the querying parties choose queries, the others vote, the account is charged.

The result of one seed is a folder with, per strategy and party, the queries asked and those
answered in the original's file format, what became of them, and the published account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import normalised
from capc.data.own_data import title
from capc.data.saved_queries import save_queries
from capc.fixed_point import Int64
from capc.learning.experiment import K_CENTRE, PUBLIC, Privacy
from capc.learning.measures import judged
from capc.learning.selection import Order, by_entropy, by_gap, by_k_centre, random_order
from capc.learning.session import Session, index_digest
from capc.learning.splits import Indices, generator_for
from capc.learning.store import content_key, write_json
from capc.learning.train_stage import load
from capc.learning.voting import (
    Round,
    Sampler,
    ask,
    composed,
    epsilon_of,
    exact_sampler,
    seeded_sampler,
)
from capc.privacy.voting_rules import VotingRule, members

STAGE = "queries"
PATE = "pate"


def asked_by(strategy: str) -> str:
    """The strategy whose folder has the answers: public ones lie with the PATE student."""
    return PATE if strategy == PUBLIC else strategy


@dataclass(frozen=True, eq=False)
class Ballot:
    """What a set of parties that share a budget asks: test examples in order, and their votes.

    The votes of party q, shape (asked, classes), are those of all parties but q itself.
    """

    strategy: str
    parties: tuple[int, ...]
    examples: tuple[Indices, ...]
    votes: tuple[Int64, ...]


Ask = Callable[[Ballot, Privacy], Round]
"""How a ballot becomes answers: `simulated`, or the real protocol (secure.py)."""


def query(session: Session, models: dict[int, list[str]]) -> dict[int, str]:
    """Ask by every strategy, for every seed; the keys of the results by seed."""
    keys = {seed: query_key(session, seed, models[seed]) for seed in models}
    todo = [seed for seed, key in keys.items() if not session.store.has(STAGE, key)]
    with session.bar("queries") as progress:
        progress(0, len(todo))
        for done, seed in enumerate(todo, start=1):
            query_seed(session, seed, models[seed], keys[seed], simulated(session, seed))
            progress(done, len(todo))
    return keys


def query_key(session: Session, seed: int, models: list[str], **more: Any) -> str:
    """The key of one seed's queries; `more` tells another way of asking apart."""
    experiment, parts = session.experiment, session.test_parts(seed)
    return content_key(
        STAGE,
        models=models,
        pools=[index_digest(pool) for pool in parts.pools],
        evaluation=index_digest(parts.evaluation),
        queries=experiment.queries,
        strategies=list(experiment.strategies),
        privacy=asdict(experiment.privacy),
        seed=seed,
        **more,
    )


def simulated(session: Session, seed: int) -> Ask:
    """Vote in the clear."""

    def put(ballot: Ballot, privacy: Privacy) -> Round:
        voters = session.experiment.parties - (-1 not in ballot.parties)
        sampler: Sampler = exact_sampler(voters, privacy)
        if privacy.noise == "seeded":
            generator = generator_for("noise", seed, ballot.strategy, *ballot.parties)
            sampler = seeded_sampler(generator)
        rule = session.experiment.rule
        return ask(list(ballot.votes), privacy, sampler, voters=voters, rule=rule)

    return put


def query_seed(session: Session, seed: int, models: list[str], key: str, put: Ask) -> None:
    """One seed: all strategies, the plain-PATE student's queries, the vote on its own.

    The queries of the student are the public ones too: drawn from all pools, put to all parties,
    answered once.
    """
    experiment, parts = session.experiment, session.test_parts(seed)
    total = total_votes(session, models)
    rule = experiment.rule
    own = [rule.votes(load(session, models[party], "logits")) for party in experiment.querying]
    with session.store.writing(STAGE, key) as folder:
        for strategy in experiment.own_strategies:
            orders = [
                _order(session, strategy, seed, party, models[party])
                for party in experiment.querying
            ]
            examples = [pool[order] for pool, order in zip(parts.pools, orders, strict=True)]
            votes = [
                total[chosen] - mine[chosen] for mine, chosen in zip(own, examples, strict=True)
            ]
            ballot = Ballot(strategy, tuple(experiment.querying), tuple(examples), tuple(votes))
            _ask_and_save(session, folder / strategy, ballot, put)
        pool = generator_for("pate", seed).permutation(np.concatenate(parts.pools))
        student = Ballot(PATE, (-1,), (pool,), (total[pool],))
        _ask_and_save(session, folder / PATE, student, simulated(session, seed))
        ensemble = judged(
            rule.answers(total[parts.evaluation], experiment.parties),
            session.dataset.test_labels[parts.evaluation],
            rule.outputs,
            multi_label=rule.multi_label,
        )
        write_json(folder / "ensemble.json", asdict(ensemble))


def total_votes(session: Session, models: list[str]) -> Int64:
    """Votes of all parties on the whole test set, (n, counts); one party is read at a time."""
    rule = session.experiment.rule
    total = np.zeros((len(session.dataset.test_labels), rule.counts), dtype=np.int64)
    for model in models:
        total += rule.votes(load(session, model, "logits"))
    return total


def _order(session: Session, strategy: str, seed: int, party: int, model: str) -> Order:
    """Positions in the party's pool, in the order of its choice."""
    pool = session.test_parts(seed).pools[party]
    count = min(session.experiment.queries or len(pool), len(pool))
    if strategy == "random":
        return random_order(len(pool), generator_for("choose", seed, party))[:count]
    if strategy == K_CENTRE:
        features = load(session, model, "pool_features"), load(session, model, "own_features")
        return by_k_centre(*features, count)
    logits = load(session, model, "logits")[pool]
    return (by_entropy(logits) if strategy == "entropy" else by_gap(logits))[:count]


def _ask_and_save(session: Session, folder: Path, ballot: Ballot, put: Ask) -> None:
    privacy = session.experiment.privacy
    budgets = (
        [ballot]
        if privacy.shared
        else [
            Ballot(ballot.strategy, (party,), (ballot.examples[i],), (ballot.votes[i],))
            for i, party in enumerate(ballot.parties)
        ]
    )
    rounds = [put(part, privacy) for part in budgets]
    folder.mkdir()
    for part, done in zip(budgets, rounds, strict=True):
        for place, party in enumerate(part.parties):
            _save_party(session, folder / f"party{party}", part, place, done)
    account = composed([done.account for done in rounds])
    account.save(folder / "account.json")
    _save_private(folder, rounds, privacy)


def _save_private(folder: Path, rounds: list[Round], privacy: Privacy) -> None:
    accounts = [done.private_account for done in rounds if done.private_account is not None]
    if accounts:
        spent = epsilon_of(composed(accounts), privacy)
        each = [epsilon_of(account, privacy) for account in accounts]
        document = {"epsilon": spent, "epsilon_each": each, "bound": "dependent"}
        write_json(folder / "private_epsilon.json", document)


def _save_party(session: Session, folder: Path, ballot: Ballot, place: int, done: Round) -> None:
    """Asked and answered queries as saved-query files; the vote without noise beside them."""
    experiment, dataset = session.experiment, session.dataset
    answers = done.answers[place]
    asked = ballot.examples[place][: answers.asked]
    votes = ballot.votes[place][: answers.asked]
    rule = experiment.rule
    voters = experiment.parties - (ballot.parties[place] != -1)
    plain = rule.answers(votes, voters)
    truth = dataset.test_labels[asked]
    parameters = {
        "dataset": title(experiment.dataset),
        "parties": experiment.parties,
        "strategy": ballot.strategy,
        "party": ballot.parties[place],
    }

    def stored(labels: Int64) -> Int64:
        return members(labels, rule.outputs) if rule.multi_label else labels

    def save(name: str, kept: NDArray[np.bool_], aggregated: Int64 | None) -> None:
        if kept.any():
            raw = dataset.test_images[asked[kept]]
            save_queries(
                folder / name,
                normalised(raw),
                stored(truth[kept]),
                raw_images=raw if raw.dtype == np.uint8 else None,
                aggregated_labels=None if aggregated is None else stored(aggregated[kept]),
                parameters=parameters,
            )

    every = np.ones(len(asked), dtype=np.bool_)
    save("asked", every, None)
    save("answered", answers.answered, answers.label)
    save("plain_vote", every, plain)
    np.save(folder / "votes.npy", votes)
    np.save(folder / "examples.npy", asked)
    got = answers.answered
    write_json(
        folder / "outcome.json",
        {
            "asked": int(answers.asked),
            "answered": int(got.sum()),
            "labels_right": _right(rule, answers.label[got], truth[got]),
            "plain_votes_right": _right(rule, plain, truth),
            "epsilon": _finite(epsilon_of(done.account, experiment.privacy)),
        },
    )


def _right(rule: VotingRule, found: Int64, truth: Int64) -> float:
    """How many answers are right; one of several labels counts as the share of them that is."""
    if not rule.multi_label:
        return int((found == truth).sum())
    return float((members(found, rule.outputs) == members(truth, rule.outputs)).mean(axis=1).sum())


def _finite(epsilon: float) -> float | None:
    """JSON has no infinity: null stands for it."""
    return epsilon if np.isfinite(epsilon) else None
