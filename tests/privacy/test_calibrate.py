"""sigma for a budget and queries for a budget: each answer fits, and the next one does not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capc.errors import ConfigError
from capc.privacy.calibrate import most_queries, smallest_sigma
from capc.privacy.conversion import Conversion, default_orders, privacy_loss
from capc.privacy.rdp import gnmax_rdp, threshold_rdp

pytestmark = pytest.mark.filterwarnings("ignore::capc.privacy.conversion.GridEdgeWarning")
CONVERSION = st.sampled_from(["classic", "improved"])


def epsilon_of(
    queries: int,
    answered: int,
    sigma: float,
    sigma_threshold: float | None,
    delta: float,
    conversion: Conversion,
) -> float:
    curve = answered * gnmax_rdp(sigma, default_orders())
    if sigma_threshold is not None:
        curve = curve + queries * threshold_rdp(sigma_threshold, default_orders())
    return privacy_loss(curve, delta, conversion=conversion).epsilon


def test_known_answers() -> None:
    assert most_queries(2.0, 1e-6, 40.0) == 141
    assert epsilon_of(141, 141, 40.0, None, 1e-6, "improved") <= 2.0
    assert epsilon_of(142, 142, 40.0, None, 1e-6, "improved") > 2.0
    order = 10.0  # one order: sigma^2 = queries order / (epsilon - log(1/delta) / (order - 1))
    by_hand = math.sqrt(100 * order / (3.0 - math.log(1e5) / 9))
    found = smallest_sigma(3.0, 1e-5, 100, conversion="classic", orders=[order])
    assert found == pytest.approx(by_hand, rel=1e-11)


@given(
    st.floats(0.3, 50.0),
    st.floats(1e-9, 1e-3),
    st.floats(5.0, 500.0),
    st.sampled_from([None, 30.0, 200.0]),
    CONVERSION,
)
def test_the_most_queries_fit_and_one_more_does_not(
    epsilon: float, delta: float, sigma: float, gate: float | None, conversion: Conversion
) -> None:
    most = most_queries(epsilon, delta, sigma, sigma_threshold=gate, conversion=conversion)
    if most:
        assert epsilon_of(most, most, sigma, gate, delta, conversion) <= epsilon
    assert epsilon_of(most + 1, most + 1, sigma, gate, delta, conversion) > epsilon


@given(
    st.floats(0.5, 50.0),
    st.floats(1e-9, 1e-3),
    st.integers(1, 5000),
    st.floats(0.01, 1.0),
    CONVERSION,
)
def test_the_least_sigma_fits_and_a_smaller_one_does_not(
    epsilon: float, delta: float, queries: int, share: float, conversion: Conversion
) -> None:
    answered, gate = math.ceil(share * queries), 40.0 * math.sqrt(queries)
    sigma = smallest_sigma(
        epsilon, delta, queries, answered=answered, sigma_threshold=gate, conversion=conversion
    )
    assert epsilon_of(queries, answered, sigma, gate, delta, conversion) <= epsilon
    assert epsilon_of(queries, answered, sigma * (1 - 1e-9), gate, delta, conversion) > epsilon


@pytest.mark.parametrize("queries", [1, 7, 300])
def test_a_budget_that_is_spent_to_the_last_digit(queries: int) -> None:
    epsilon = epsilon_of(queries, queries, 40.0, 200.0, 1e-6, "improved")
    assert most_queries(epsilon, 1e-6, 40.0, sigma_threshold=200.0) == queries


def test_an_epsilon_so_small_that_only_the_divergence_itself_can_show_it() -> None:
    # RDP <= -log(1 - delta^2) = 1e-10 converts to 0: at order 2, 2 queries / sigma^2 <= 1e-10.
    assert most_queries(0.001, 1e-5, 1e7) == pytest.approx(5000, abs=1)
    assert most_queries(0.001, 1e-5, 1e7, conversion="classic") == 0
    assert smallest_sigma(0.001, 1e-5, 5000) == pytest.approx(1e7, rel=1e-9)


def test_no_noise_allows_no_query() -> None:
    assert most_queries(5.0, 1e-5, 0.0) == 0


def test_a_budget_below_what_the_grid_can_show_allows_none() -> None:
    assert most_queries(0.001, 1e-6, 40.0, conversion="classic") == 0
    with pytest.raises(ConfigError, match="no sigma fits"):
        smallest_sigma(0.001, 1e-6, 1, conversion="classic")


def test_a_threshold_that_spends_the_budget_alone() -> None:
    with pytest.raises(ConfigError, match="raise epsilon or sigma_threshold"):
        smallest_sigma(1.0, 1e-6, 10_000, answered=1, sigma_threshold=10.0)


@pytest.mark.parametrize(
    "values",
    [
        {"epsilon": 0.0},
        {"epsilon": math.inf},
        {"epsilon": math.nan},
        {"delta": 0.0},
        {"queries": 0},
        {"answered": 11, "sigma_threshold": 5.0},
        {"answered": -1, "sigma_threshold": 5.0},
        {"answered": 5},
        {"sigma_threshold": -5.0},
        {"conversion": "best"},
    ],
)
def test_bad_values(values: dict[str, Any]) -> None:
    usable = {"epsilon": 1.0, "delta": 1e-5, "queries": 10}
    with pytest.raises(ConfigError):
        smallest_sigma(**{**usable, **values})


@pytest.mark.parametrize("sigma", [1e9, 1e200])
def test_queries_beyond_counting_are_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="beyond counting"):
        most_queries(2.0, 1e-6, sigma)
    assert most_queries(2.0, 1e-6, 1e7) > 10**12
