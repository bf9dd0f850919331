"""The simulated vote follows the protocol's rules, and its account charges what happened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import BudgetError, ConfigError
from capc.fixed_point import Int64
from capc.learning import voting
from capc.learning.experiment import Privacy
from capc.learning.voting import (
    Sampler,
    ask,
    composed,
    confident_gnmax,
    distributed_noise,
    epsilon_of,
    exact_sampler,
    queries_within_budget,
    seeded_sampler,
)
from capc.privacy.budget import Budget
from capc.privacy.rdp import Mechanism

QUIET = Privacy(sigma=0.0, threshold=None, sigma_threshold=0.0, epsilon=None)
PAPER = Privacy(sigma=7.0, threshold=50, sigma_threshold=30.0, epsilon=20.0, noise="seeded")


def votes(queries: int, seed: int = 0, parties: int = 49) -> Int64:
    generator = np.random.default_rng(seed)
    return generator.multinomial(parties, [0.8] + [0.2 / 9] * 9, size=queries)


def sampler(seed: int = 0) -> Sampler:
    return seeded_sampler(np.random.default_rng(seed))


def test_without_noise_the_largest_count_wins_and_ties_go_low() -> None:
    answered, labels = confident_gnmax(np.array([[0, 3, 3], [5, 1, 0]]), QUIET, sampler())
    assert labels.tolist() == [1, 0]
    assert answered.tolist() == [1, 1]


@pytest.mark.parametrize(("threshold", "answered"), [(5, 1), (6, 0)])
def test_the_threshold_is_reached_by_equality(threshold: int, answered: int) -> None:
    privacy = replace(QUIET, threshold=threshold)
    assert confident_gnmax(np.array([[5, 1, 0]]), privacy, sampler())[0].tolist() == [answered]


def test_noise_is_added_to_every_count_and_apart_to_the_maximum() -> None:
    draws = iter([np.array([0, 4, 0, 0, 0, 9]), np.array([-3, 2])])
    counts = np.array([[4, 1, 0], [3, 2, 0]])
    privacy = replace(QUIET, sigma=1.0, threshold=5, sigma_threshold=1.0)
    answered, labels = confident_gnmax(counts, privacy, lambda sigma, count: next(draws))
    assert labels.tolist() == [1, 2]
    assert answered.tolist() == [0, 1]  # 4 - 3 < 5 <= 3 + 2


def test_parties_ask_in_turns() -> None:
    parts = [votes(3), votes(1), votes(2)]
    orders = [answers.order.tolist() for answers in ask(parts, QUIET, sampler()).answers]
    assert orders == [[0, 3, 5], [1], [2, 4]]


def test_labels_belong_to_their_own_queries() -> None:
    parts = [np.eye(4, dtype=np.int64)[[2, 0, 3]], np.eye(4, dtype=np.int64)[[1]]]
    found = ask(parts, QUIET, sampler()).answers
    assert [answers.label.tolist() for answers in found] == [[2, 0, 3], [1]]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 20.0), st.booleans())
def test_the_budget_stops_where_the_guardian_does(
    seed: int, epsilon: float, with_threshold: bool
) -> None:
    privacy = replace(PAPER, epsilon=epsilon, threshold=50 if with_threshold else None)
    counts = votes(400, seed)
    answered = np.random.default_rng(seed).random(400) < 0.4
    answered |= not with_threshold
    budget = Budget(epsilon, privacy.delta, 7.0, privacy.threshold, 30.0 if with_threshold else 0.0)
    admitted = 0
    for flag in answered:
        try:
            budget.check()
        except BudgetError:
            break
        budget.charge(bool(flag))
        admitted += 1
    assert queries_within_budget(counts, answered, privacy) == admitted


@pytest.mark.parametrize("bound", ["independent", "dependent"])
def test_the_account_stays_within_the_budget_and_nearly_uses_it(
    bound: Literal["independent", "dependent"],
) -> None:
    privacy = replace(PAPER, bound=bound, epsilon=8.0)
    done = ask([votes(900, 1), votes(900, 2)], privacy, sampler())
    account = done.account if bound == "independent" else done.private_account
    assert account is not None
    assert 7.0 < epsilon_of(account, privacy) <= 8.0
    asked = sum(answers.asked for answers in done.answers)
    answered = sum(int(answers.answered.sum()) for answers in done.answers)
    assert sorted(done.account.counts.values()) == sorted([asked, answered])
    assert asked < 1800


def test_the_dependent_bound_admits_more_queries() -> None:
    asked = {
        bound: sum(
            a.asked for a in ask([votes(2000)], replace(PAPER, bound=bound), sampler()).answers
        )
        for bound in ("independent", "dependent")
    }
    assert asked["dependent"] > 1.5 * asked["independent"]


def test_unanswered_queries_have_no_label() -> None:
    answers = ask([votes(200)], PAPER, sampler()).answers[0]
    assert np.array_equal(answers.label == -1, ~answers.answered)
    assert 0 < answers.answered.sum() < 200


def test_a_budget_for_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match="admits no query"):
        ask([votes(5)], replace(PAPER, epsilon=1e-3), sampler())


def test_accounts_add_up() -> None:
    done = [ask([votes(30, seed)], PAPER, sampler(seed)) for seed in (1, 2)]
    together = composed([part.account for part in done])
    assert sum(together.counts.values()) == sum(sum(p.account.counts.values()) for p in done)
    assert epsilon_of(together, PAPER) > epsilon_of(done[0].account, PAPER)


def test_seeded_noise_follows_the_discrete_gaussian_and_repeats() -> None:
    sigma, count = 1.7, 200_000
    draws = sampler(3)(sigma, count)
    assert np.array_equal(draws, sampler(3)(sigma, count))
    support = np.arange(-60, 61)
    law = np.exp(-(support**2) / (2 * sigma**2))
    law /= law.sum()
    seen = np.array([(draws == value).sum() for value in support])
    often = law * count > 10
    statistic = float(((seen - law * count)[often] ** 2 / (law * count)[often]).sum())
    freedom = int(often.sum()) - 1
    assert statistic < freedom + 6 * np.sqrt(2 * freedom)
    assert np.abs(draws).max() < 12 * sigma


def test_exact_noise_comes_from_the_privacy_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def sample(sigma: float, count: int, *, reserved: float) -> Int64:
        asked.append((sigma, count, reserved))
        return np.zeros(count, dtype=np.int64)

    monkeypatch.setattr(voting, "sample_noise", sample)
    exact_sampler(50, replace(PAPER, threshold=30))(7.0, 4)
    assert asked == [(7.0, 4, 80.0)]


SPREAD_OUT = replace(PAPER, drawn_by="distributed", colluding=9)


def test_noise_of_the_parties_is_one_draw_where_that_is_the_same_law() -> None:
    asked: list[Any] = []

    def noted(sigma: float, count: int) -> Int64:
        asked.append((sigma, count))
        return np.arange(count, dtype=np.int64)

    drawn = distributed_noise(SPREAD_OUT, 49, 6, noted)
    assert drawn.tolist() == [0, 1, 2, 3, 4, 5]
    assert asked == [(pytest.approx(256 * 7 * np.sqrt(49 / 40)), 6)]
    coarse = replace(SPREAD_OUT, sigma=0.02, colluding=0)
    assert distributed_noise(coarse, 49, 2, noted).tolist() == [
        sum(range(0, 98, 2)),
        sum(range(1, 98, 2)),
    ]
    assert asked[1:] == [(pytest.approx(256 * 0.02 / 7), 98)]


def test_label_and_threshold_see_the_same_noisy_counts() -> None:
    counts = np.array([[4, 1, 0], [4, 1, 0], [4, 1, 0]])
    noise = np.array([255, 0, 0, -100, 0, 1281, 256, 0, 0])
    privacy = replace(SPREAD_OUT, threshold=5, colluding=0)
    answered, labels = confident_gnmax(counts, privacy, lambda *_: noise, voters=5)
    assert answered.tolist() == [0, 1, 1]
    assert labels.tolist() == [0, 2, 0]


def test_every_query_is_charged_alike_up_to_the_budget() -> None:
    budget = Budget(2.0, 1e-5, 7.0, 50.0, distributed_over=49, colluding=9)
    most = budget.admit(1000)[0]
    privacy = replace(SPREAD_OUT, epsilon=2.0)
    done = ask([votes(900)], privacy, sampler(), voters=49)
    assert done.answers[0].asked == most
    assert not done.answers[0].answered.all()
    assert done.account.counts == {Mechanism("distributed", 7.0, None, 49, 9): most}
    assert done.private_account is None
    with pytest.raises(ConfigError, match="number of voters"):
        ask([votes(9)], privacy, sampler())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"colluding": 1}, "colluding goes with"),
        (
            {"drawn_by": "distributed", "bound": "dependent"},
            "with drawn_by distributed, bound must be independent",
        ),
        ({"drawn_by": "nobody"}, "drawn_by"),
    ],
)
def test_noise_that_cannot_be(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(PAPER, **fields)  # type: ignore[arg-type]
