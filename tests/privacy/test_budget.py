"""The live budget: charges what happened, refuses before the worst case, data-independent only."""

from __future__ import annotations

import math
import random
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capc.errors import BudgetError, ConfigError
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.conversion import Conversion, default_orders
from capc.privacy.rdp import Mechanism


def epsilon_by_hand(
    queries: int,
    answered: int,
    sigma: float,
    sigma_threshold: float | None,
    delta: float,
    conversion: Conversion,
) -> float:
    """The formulas of the papers in plain floats, order by order."""
    best = math.inf
    for order in default_orders():
        rdp = answered * order / sigma**2
        if sigma_threshold is not None:
            rdp += queries * order / (2 * sigma_threshold**2)
        epsilon = rdp + math.log(1 / delta) / (order - 1)
        if conversion == "improved":
            epsilon = rdp + math.log((order - 1) / order)
            epsilon -= (math.log(delta) + math.log(order)) / (order - 1)
        best = min(best, epsilon)
    return best


def test_known_answer_of_a_single_query() -> None:
    budget = Budget(2.0, 1e-5, sigma=40.0, conversion="classic")
    budget.charge(answered=True)
    # 13 digits computed with 60-digit arithmetic from order/1600 + log(1e5)/(order - 1)
    assert budget.epsilon_spent == pytest.approx(0.1702785226738, rel=1e-12)
    assert budget.order == pytest.approx(136.6716356462, rel=1e-12)


@given(
    st.integers(1, 300),
    st.integers(0, 300),
    st.sampled_from([None, 30.0, 200.0]),
    st.sampled_from(["classic", "improved"]),
)
def test_what_happened_is_charged(
    queries: int, answered: int, sigma_threshold: float | None, conversion: Conversion
) -> None:
    answered = queries if sigma_threshold is None else min(answered, queries)
    flags = [True] * answered + [False] * (queries - answered)
    random.Random(queries).shuffle(flags)
    threshold = None if sigma_threshold is None else 50.0
    budget = Budget(None, 1e-6, 20.0, threshold, sigma_threshold or 0.0, conversion=conversion)
    for flag in flags:
        budget.check()
        budget.charge(flag)
    expected = epsilon_by_hand(queries, answered, 20.0, sigma_threshold, 1e-6, conversion)
    assert budget.epsilon_spent == pytest.approx(max(expected, 0.0), rel=1e-12)


def test_the_epsilon_read_between_queries_is_up_to_date() -> None:
    budget, read = Budget(None, 1e-6, 20.0, 50.0, 30.0), []
    for flag in (True, False, True):
        budget.charge(flag)
        read.append(budget.epsilon_spent)
    by_hand = [(1, 1), (2, 1), (3, 2)]
    expected = [epsilon_by_hand(*n, 20.0, 30.0, 1e-6, "improved") for n in by_hand]
    assert read == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("conversion", ["classic", "improved"])
@pytest.mark.parametrize("answer_rate", [0.0, 0.5, 1.0])
def test_refuses_before_the_first_query_that_could_exceed(
    conversion: Conversion, answer_rate: float
) -> None:
    budget = Budget(1.5, 1e-6, 40.0, 300.0, 200.0, conversion=conversion)
    coin = random.Random(7)
    queries = answered = 0
    while True:
        worst = epsilon_by_hand(queries + 1, answered + 1, 40.0, 200.0, 1e-6, conversion)
        if worst > 1.5:
            break
        budget.check()
        flag = coin.random() < answer_rate
        budget.charge(flag)
        queries, answered = queries + 1, answered + flag
    with pytest.raises(BudgetError, match=r"could spend epsilon 1\.5.*of 1\.5"):
        budget.check()
    assert budget.epsilon_spent <= 1.5
    assert queries > 10


def test_a_refused_query_charges_nothing() -> None:
    budget = Budget(0.05, 1e-6, 1.0)
    with pytest.raises(BudgetError):
        budget.check()
    assert budget.epsilon_spent == 0.0


def test_nothing_is_spent_before_the_first_query() -> None:
    budget = Budget(1.0, 1e-5, 40.0, conversion="classic")
    assert budget.epsilon_spent == 0.0


def test_no_noise_costs_infinitely_much() -> None:
    budget = Budget(None, 1e-5, 0.0)
    budget.check()
    budget.charge(answered=True)
    assert budget.epsilon_spent == math.inf
    with pytest.raises(BudgetError, match="inf"):
        Budget(1e9, 1e-5, 0.0).check()


def test_a_threshold_without_noise_costs_infinitely_much_even_unanswered() -> None:
    budget = Budget(None, 1e-5, 40.0, 300.0, 0.0)
    budget.charge(answered=False)
    assert budget.epsilon_spent == math.inf


def test_the_threshold_scale_is_ignored_without_a_threshold() -> None:
    plain, odd = Budget(None, 1e-5, 40.0), Budget(None, 1e-5, 40.0, None, 0.5)
    for budget in (plain, odd):
        budget.charge(answered=True)
    assert plain.epsilon_spent == odd.epsilon_spent


def test_without_a_threshold_every_query_is_answered() -> None:
    with pytest.raises(ConfigError, match="every query is answered"):
        Budget(1.0, 1e-5, 40.0).charge(answered=False)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("epsilon", {"epsilon": 0.0}),
        ("epsilon", {"epsilon": -1.0}),
        ("epsilon", {"epsilon": math.nan}),
        ("delta", {"delta": 0.0}),
        ("delta", {"delta": 1.0}),
        ("delta", {"delta": math.nan}),
        ("sigma", {"sigma": -1.0}),
        ("sigma", {"sigma": math.nan}),
        ("threshold", {"threshold": math.nan, "sigma_threshold": 5.0}),
        ("sigma of threshold", {"threshold": 5.0, "sigma_threshold": -5.0}),
        ("conversion", {"conversion": "best"}),
    ],
)
def test_values_that_cannot_be_used_are_named(field: str, values: dict[str, Any]) -> None:
    usable = {"epsilon": 1.0, "delta": 1e-5, "sigma": 40.0}
    with pytest.raises(ConfigError, match=f"^{field} "):
        Budget(**{**usable, **values})


def test_one_account_is_shared_and_carried_over(tmp_path: Path) -> None:
    first = Budget(None, 1e-5, 40.0, 300.0, 200.0)
    for _ in range(10):
        first.charge(answered=True)
    first.account.save(tmp_path / "account.json")
    second = Budget(
        None, 1e-5, 40.0, 300.0, 200.0, account=Accountant.load(tmp_path / "account.json")
    )
    assert second.epsilon_spent == first.epsilon_spent
    second.charge(answered=False)
    assert second.account.counts == {
        Mechanism("threshold", 200.0): 11,
        Mechanism("gnmax", 40.0): 10,
    }


def test_a_private_account_is_no_base_for_a_live_budget() -> None:
    private = Accountant()
    private.charge_votes([[250, 0, 0]], 40.0)
    with pytest.raises(ConfigError, match="private"):
        Budget(1.0, 1e-5, 40.0, account=private)


def test_tiny_noise_gives_a_large_finite_epsilon_and_the_grid_warning() -> None:
    budget = Budget(None, 1e-5, 0.1)
    budget.charge(answered=True)
    with pytest.warns(UserWarning, match="edge of the grid"):
        assert 200.0 < budget.epsilon_spent < 300.0


def test_a_query_is_checked_and_charged_in_a_few_milliseconds_at_most() -> None:
    budget = Budget(100.0, 1e-5, 40.0, 300.0, 200.0)
    seconds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(200):
            start = time.process_time()
            budget.check()
            budget.charge(answered=turn % 2 == 0)
            assert budget.epsilon_spent > 0.0
            seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.005
