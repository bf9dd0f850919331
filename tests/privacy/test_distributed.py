"""Distributed noise: its scale, what its sum costs, and the account of it.

Reference values come from mpmath with 40 digits, straight from Kairouz, Liu and Steinke 2021.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capc.errors import BudgetError, ConfigError
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.distributed import (
    UNITS,
    excess_text,
    log_tau,
    party_sigma,
    reserved_units,
    total_sigma,
)
from capc.privacy.noise import refuse_unusable, sample_noise
from capc.privacy.rdp import Mechanism, distributed_rdp

mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp

CHANCE = 1e-9
# sigma in votes, parties, colluding, order
SETTINGS = [
    ("7", 50, 0, 8),
    ("40", 250, 0, 20.5),
    ("2", 5, 1, 2),
    ("0.1", 250, 0, 3.5),
    ("0.05", 300, 10, 32),
    ("0.048", 300, 0, 2),
    ("1", 1, 0, 7),
    ("3", 4, 3, 2.5),
]


@pytest.fixture(autouse=True)
def _forty_digits() -> Any:
    with mpmath.workdps(40):
        yield


def tau_by_hand(sigma: str, parties: int, colluding: int) -> Any:
    counted = parties - colluding
    variance = (256 * mp.mpf(sigma)) ** 2 / counted
    terms = (mp.exp(-2 * mp.pi**2 * variance * mp.mpf(k) / (k + 1)) for k in range(1, counted))
    return 10 * sum(terms, mp.mpf(0))


@pytest.mark.parametrize(("sigma", "parties", "colluding", "order"), SETTINGS)
def test_the_cost_of_a_query_equals_forty_digits(
    sigma: str, parties: int, colluding: int, order: float
) -> None:
    tau = tau_by_hand(sigma, parties, colluding)
    expected = mp.mpf(order) / mp.mpf(sigma) ** 2 + 2 * tau
    found = distributed_rdp(float(sigma), parties, [order], colluding=colluding)
    assert found[0] == pytest.approx(float(expected), rel=1e-13)
    log_found = log_tau(float(sigma), parties, colluding)
    if tau == 0:
        assert log_found == -math.inf
    else:
        assert log_found == pytest.approx(float(mp.log(tau)), rel=1e-13)


def test_the_bound_that_is_left_is_stated_though_no_float_holds_it() -> None:
    mechanism = Mechanism("distributed", 7.0, parties=50)
    assert mechanism.excess == 0.0
    left = 2 * tau_by_hand("7", 50, 0)
    mantissa, exponent = excess_text(mechanism.log_excess).split("e")
    assert mp.mpf(mantissa) * mp.mpf(10) ** int(exponent) == pytest.approx(left, rel=0.06)
    assert excess_text(-math.inf) == "0"
    assert excess_text(math.log(7e-4)) == "7.0e-04"


def test_counted_in_whole_votes_the_bound_would_not_vanish() -> None:
    """The paper's setting, 50 parties and sigma 7: why noise has fractions of a vote."""
    whole = 10 * sum(mp.exp(-2 * mp.pi**2 * 49 / 50 * mp.mpf(k) / (k + 1)) for k in range(1, 50))
    assert 5e-4 < whole < 7e-4
    assert log_tau(7.0, 50) < -600_000


def divergence(weights: dict[int, Any], order: Any, shift: int) -> Any:
    """Renyi divergence of a law on the integers to itself moved by `shift`."""
    inside = [x for x in weights if x - shift in weights]
    total = sum(weights[x] ** order * weights[x - shift] ** (1 - order) for x in inside)
    return mp.log(total) / (order - 1)


def sum_law(variance: Any, summands: int) -> dict[int, Any]:
    """The law of a sum of discrete Gaussians, by convolution."""
    reach = 24
    single = {x: mp.exp(-(mp.mpf(x) ** 2) / (2 * variance)) for x in range(-reach, reach + 1)}
    total = sum(single.values())
    law = {0: mp.mpf(1)}
    for _ in range(summands):
        new: dict[int, Any] = {}
        for x, p in law.items():
            for y, q in single.items():
                if abs(x + y) <= reach:
                    new[x + y] = new.get(x + y, mp.mpf(0)) + p * q / total
        law = new
    return law


@pytest.mark.parametrize("summands", [2, 3])
@pytest.mark.parametrize("variance", ["0.5", "0.6"])
def test_the_exact_divergence_of_a_sum_lies_between_both_bounds(
    variance: str, summands: int
) -> None:
    """With coarse noise: tau is enough, and without it the account would promise too much."""
    each, exceeded = mp.mpf(variance), False
    law = sum_law(each, summands)
    tau = 10 * sum(mp.exp(-2 * mp.pi**2 * each * mp.mpf(k) / (k + 1)) for k in range(1, summands))
    for order in (mp.mpf("1.5"), mp.mpf(2), mp.mpf(4)):
        exact, gaussian = divergence(law, order, 1), order / (2 * summands * each)
        assert exact <= gaussian + tau
        exceeded |= bool(exact > gaussian)
    assert exceeded


@given(st.integers(1, 400), st.data(), st.floats(0.1, 100.0))
def test_the_noise_of_any_honest_rest_has_the_scale_that_is_paid_for(
    parties: int, data: st.DataObject, sigma: float
) -> None:
    colluding = data.draw(st.integers(0, parties - 1))
    each = party_sigma(sigma, parties, colluding)
    assert math.sqrt(parties - colluding) * each == pytest.approx(UNITS * sigma)
    assert math.sqrt(parties) * each == pytest.approx(
        UNITS * total_sigma(sigma, parties, colluding)
    )


@given(st.integers(2, 400), st.data())
def test_where_fewer_may_answer_the_noise_of_any_so_many_suffices(
    parties: int, data: st.DataObject
) -> None:
    fewest = data.draw(st.integers(1, parties))
    colluding = data.draw(st.integers(0, fewest - 1))
    each = party_sigma(2.0, fewest, colluding)
    for answered in (fewest, parties):
        honest = math.sqrt(answered - colluding) * each
        assert honest >= 0.999999 * UNITS * 2.0
    total = total_sigma(2.0, parties, colluding, fewest)
    assert math.sqrt(parties) * each == pytest.approx(UNITS * total)


@pytest.mark.parametrize(("parties", "colluding"), [(5, 5), (5, 6), (5, -1), (1, 1)])
def test_somebody_has_to_keep_its_noise_to_itself(parties: int, colluding: int) -> None:
    with pytest.raises(ConfigError, match=f"allowed is 0 to {parties - 1}"):
        party_sigma(2.0, parties, colluding)


def test_a_scale_below_the_bounds_condition_is_refused() -> None:
    least = math.sqrt(0.5 * 250) / UNITS
    assert party_sigma(0.04372, 250) ** 2 >= 0.5
    with pytest.raises(ConfigError, match=r"at least 0\.04372"):
        party_sigma(least * 0.999, 250)
    assert party_sigma(0.0, 250) == 0.0


def test_votes_in_parts_must_not_wrap() -> None:
    assert reserved_units(250, 300) == 256 * 550
    refuse_unusable(40.0, 250, 100, 10_000, 300)
    with pytest.raises(ConfigError, match="smaller threshold"):
        refuse_unusable(40.0, 250, 0, 10, 1 << 23)
    # the rule of test_privacy_noise at 2^8 units a vote, and with the colluders' noise on top
    room = 2.0**31 - 1 - 256 * 4
    largest = room / math.sqrt(2 * math.log(2) * (81 + math.log2(10))) / (256 * math.sqrt(4))
    refuse_unusable(largest * 0.999, 4, 3, 10, None)
    with pytest.raises(ConfigError, match="wrap"):
        refuse_unusable(largest * 1.001, 4, 3, 10, None)


def test_the_sum_of_the_parties_draws_has_the_law_that_is_paid_for() -> None:
    """Fails by chance with probability 1e-9."""
    parties, sigma, n = 4, 0.02, 4000
    each = party_sigma(sigma, parties)
    total = sample_noise(each, parties * n).reshape(parties, n).sum(axis=0)
    support = np.arange(-60, 61)
    law = np.exp(-0.5 * (support / (UNITS * sigma)) ** 2)
    law /= law.sum()
    keep = law * n >= 10
    observed = np.array([np.sum(total == x) for x in support[keep]])
    expected = law[keep] * n
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    assert stats.chi2.sf(statistic, int(keep.sum()) - 1) > CHANCE


def test_a_query_costs_the_same_whether_it_is_answered_or_not() -> None:
    budget = Budget(None, 1e-5, 2.0, 3.0, distributed_over=5, colluding=1)
    budget.charge(answered=True)
    budget.charge(answered=False)
    assert budget.account.counts == {Mechanism("distributed", 2.0, None, 5, 1): 2}
    twice = Accountant()
    twice.charge(Mechanism("gnmax", 2.0), 2)
    assert budget.epsilon_spent == pytest.approx(twice.privacy_loss(1e-5).epsilon)
    with pytest.raises(ConfigError, match="charge it as answered"):
        Budget(None, 1e-5, 2.0, distributed_over=5).charge(answered=False)
    with pytest.raises(ConfigError, match="sigma_threshold"):
        Budget(None, 1e-5, 2.0, 3.0, 1.0, distributed_over=5)


def test_the_budget_refuses_at_the_query_that_could_pass_it() -> None:
    free = Budget(None, 1e-5, 5.0, 3.0, distributed_over=5)
    for _ in range(3):
        free.charge(answered=False)
    budget = Budget(free.epsilon_spent * 1.0001, 1e-5, 5.0, 3.0, distributed_over=5)
    assert budget.admit(5)[0] == 3
    for _ in range(3):
        budget.charge(answered=False)
    with pytest.raises(BudgetError):
        budget.check()


def test_coarse_noise_pays_for_its_sum() -> None:
    """The excess is in the account's sum, once for each query."""
    mechanism = Mechanism("distributed", 0.048, parties=300)
    assert mechanism.excess > 1e-4
    account = Accountant([2.0, 8.0])
    account.charge(mechanism, 7)
    expected = 7 * (np.array([2.0, 8.0]) / 0.048**2 + mechanism.excess)
    np.testing.assert_allclose(account.rdp(), expected, rtol=1e-12)


def test_an_account_keeps_both_rules_apart_and_adds_them_up(tmp_path: Path) -> None:
    account = Accountant(owners="five hospitals")
    account.charge(Mechanism("gnmax", 40.0), 2)
    account.charge(Mechanism("distributed", 40.0, parties=5, colluding=2), 3)
    account.save(tmp_path / "account.json")
    document = json.loads((tmp_path / "account.json").read_text())
    assert document["version"] == 2
    assert document["owners"] == "five hospitals"
    second = document["charges"][1]
    assert (second["mechanism"], second["parties"], second["colluding"]) == ("distributed", 5, 2)
    assert second["excess"] == excess_text(Mechanism("distributed", 40.0, None, 5, 2).log_excess)
    loaded = Accountant.load(tmp_path / "account.json")
    assert loaded.counts == account.counts
    assert loaded.owners == "five hospitals"
    assert loaded.published().owners == "five hospitals"
    np.testing.assert_array_equal(loaded.rdp(), account.rdp())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parties": None}, "whole numbers"),
        ({"parties": True}, "whole numbers"),
        ({"colluding": 5}, "allowed is 0 to 4"),
        ({"colluding": -1}, "allowed is 0 to 4"),
        ({"log_q": -1.0}, "knows no q"),
        ({"mechanism": "gnmax"}, "fields"),
        ({"excess": "0"}, "excess"),
        ({"sigma": 0.0001}, "at least"),
    ],
)
def test_a_damaged_charge_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    account = Accountant()
    account.charge(Mechanism("distributed", 40.0, parties=5), 3)
    document = json.loads(account.to_json())
    document["charges"][0] |= changes
    with pytest.raises(ConfigError, match=said):
        Accountant.from_json(json.dumps(document), "account.json")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "distributed"}, "number of parties"),
        ({"kind": "gnmax", "parties": 5}, "go with distributed"),
        ({"kind": "threshold", "colluding": 1}, "go with distributed"),
    ],
)
def test_a_mechanism_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Mechanism(sigma=2.0, **fields)
