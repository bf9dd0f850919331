"""Known answers, boundaries and properties of the analysis.

The known answers were computed with 50 digits, straight from the papers' formulas; the discrete
law by summing over all pairs of draws.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special

from capc.errors import ConfigError
from capc.fixed_point import Int64
from capc.privacy.conversion import (
    GridEdgeWarning,
    check_orders,
    default_orders,
    epsilons,
    privacy_loss,
)
from capc.privacy.dependent import (
    NoiseLaw,
    dependent_rdp,
    expected_cost_rdp,
    log_pr_answered,
    log_q_gnmax,
    log_q_threshold,
    total_dependent_rdp,
)
from capc.privacy.exact_threshold import exact_threshold_rdp
from capc.privacy.rdp import Mechanism, gnmax_rdp, threshold_rdp
from capc.privacy.tails import (
    log_discrete_difference_tail,
    log_discrete_tail,
    log_normal_tail,
)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (-5.0, -2.866516129637636e-7),
        (0.0, -0.6931471805599453),
        (1.0, -1.841021645009264),
        (10.0, -53.23128515051247),
        (27.5, -382.3594425088898),
        (28.5, -410.3950700020256),
        (100.0, -5005.524208694205),
    ],
)
def test_normal_tail(x: float, expected: float) -> None:
    assert log_normal_tail(x) == pytest.approx(expected, rel=1e-14)


@given(st.floats(-30, 1e6))
def test_normal_tail_agrees_with_another_implementation(x: float) -> None:
    assert log_normal_tail(x) == pytest.approx(special.log_ndtr(-x), rel=1e-12, abs=0.0)


def test_normal_tail_keeps_the_shape_and_reaches_infinity() -> None:
    assert log_normal_tail(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert log_normal_tail([[1e300, -1e300]]).tolist() == [[-math.inf, 0.0]]


@pytest.mark.parametrize(
    ("start", "sigma", "expected"),
    [
        (0, 1, -0.357430745008088),
        (1, 1, -1.20221148680149),
        (5, 2, -4.46609342017274),
        (-3, 2, -0.039247824202756),
        (40, 7, -18.6272921578207),
        (100, 7, -104.768442387588),
        (1, 0.3, -5.5632576010086),
    ],
)
def test_discrete_tail(start: int, sigma: float, expected: float) -> None:
    assert log_discrete_tail(start, sigma) == pytest.approx(expected, rel=1e-13)


@given(st.floats(0.2, 30.0), st.integers(-60, 200))
@settings(max_examples=60)
def test_discrete_difference_tail_equals_the_sum_over_all_pairs(sigma: float, gap: int) -> None:
    reach = math.ceil(13 * sigma) + 2
    x = np.arange(-reach, reach + 1)
    pmf = np.exp(-0.5 * (x / sigma) ** 2)
    pmf /= pmf.sum()
    law = np.convolve(pmf, pmf)
    d = np.arange(-2 * reach, 2 * reach + 1)
    expected = law[d >= gap].sum()
    assume(expected > 1e-15)
    assert np.exp(log_discrete_difference_tail(gap, sigma)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sigma", [1e-7, 1e7])
def test_discrete_tails_refuse_scales_they_cannot_compute(sigma: float) -> None:
    for tail in (log_discrete_tail, log_discrete_difference_tail):
        with pytest.raises(ConfigError, match="sigma"):
            tail(1, sigma)


LOG_Q = [
    ([30, 5, 3, 2], 5, "continuous", -8.08492720353584),
    ([30, 5, 3, 2], 5, "discrete", -7.82344383699098),
    ([90, 60, 40, 10], 20, "continuous", -1.68571985691667),
    ([90, 60, 40, 10], 20, "discrete", -1.65558972102079),
    ([12, 11, 7], 3, "continuous", -0.642210231826901),
    ([12, 11, 7], 3, "discrete", -0.516095179558229),
    ([200, 0], 4, "continuous", -629.485186354632),
    ([200, 0], 4, "discrete", -627.64990426263),
]


@pytest.mark.parametrize(("votes", "sigma", "noise", "expected"), LOG_Q)
def test_log_q(votes: list[int], sigma: float, noise: NoiseLaw, expected: float) -> None:
    assert log_q_gnmax(votes, sigma, noise)[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        ("continuous", [0.00110914761780927, 0.0040014582565368, 0.8]),
        ("discrete", [0.0014052700541644, 0.00492342776550961, 0.8]),
    ],
)
def test_data_dependent_rdp(noise: NoiseLaw, expected: list[float]) -> None:
    log_q = log_q_gnmax([30, 5, 3, 2], 5, noise)
    found = dependent_rdp(log_q, 5.0, [1.5, 4.0, 20.0])
    np.testing.assert_allclose(found, [expected], rtol=1e-12)


@pytest.mark.parametrize("noise", ["continuous", "discrete"])
def test_q_never_exceeds_that_of_a_blind_guess(noise: NoiseLaw) -> None:
    assert np.exp(log_q_gnmax([3] * 10, 40, noise))[0] == pytest.approx(0.9, rel=1e-15)


@given(st.lists(st.integers(0, 300), min_size=2, max_size=12), st.floats(1.0, 60.0))
def test_ties_make_q_larger_for_discrete_noise(votes: list[int], sigma: float) -> None:
    continuous, discrete = (
        log_q_gnmax(votes, sigma, noise)[0] for noise in ("continuous", "discrete")
    )
    assert discrete >= continuous - 1e-12


@given(st.floats(-700.0, 0.0), st.floats(0.5, 100.0))
def test_data_dependent_rdp_lies_between_0_and_the_data_independent(
    log_q: float, spread: float
) -> None:
    found = dependent_rdp(log_q, spread, default_orders())
    assert np.all(found >= 0.0)
    assert np.all(found <= gnmax_rdp(spread, default_orders()))


def two_class_label_logs(gap: int, sigma: float, noise: NoiseLaw) -> tuple[float, float]:
    """(log Pr[label 0], log Pr[label 1]) of GNMax on counts that differ by `gap`; ties to 0."""
    if noise == "continuous":
        scale = math.sqrt(2) * sigma
        return special.log_ndtr(gap / scale), special.log_ndtr(-gap / scale)
    one = float(log_discrete_difference_tail(gap + 1, sigma))
    return math.log1p(-math.exp(one)), one


@given(
    st.integers(0, 120),
    st.floats(1.0, 40.0),
    st.sampled_from([1.5, 2.0, 5.0, 12.0, 30.0]),
    st.sampled_from(["continuous", "discrete"]),
    st.sampled_from([-2, 2]),
)
def test_the_exact_divergence_of_two_classes_never_exceeds_the_bound(
    gap: int, sigma: float, order: float, noise: NoiseLaw, moved: int
) -> None:
    here = np.array(two_class_label_logs(gap, sigma, noise))
    there = np.array(two_class_label_logs(gap + moved, sigma, noise))
    exact = np.logaddexp(*(order * here + (1 - order) * there)) / (order - 1)
    log_q = log_q_gnmax([gap, 0], sigma, noise)
    assert exact <= dependent_rdp(log_q, sigma, [order])[0, 0] + 1e-13


def test_probability_of_an_answer() -> None:
    answered, refused = log_pr_answered([[250, 0], [300, 0]], 300, 200, "continuous")
    np.testing.assert_allclose(np.exp(answered), [0.4012936743170763, 0.5], rtol=1e-14)
    np.testing.assert_allclose(np.exp(answered) + np.exp(refused), 1.0, rtol=1e-15)
    answered, refused = log_pr_answered([[300, 0]], 300, 2, "discrete")
    assert answered[0] == pytest.approx(float(log_discrete_tail(0, 2)))
    assert np.exp(answered)[0] + np.exp(refused)[0] == pytest.approx(1.0, rel=1e-15)
    half, _ = log_pr_answered([[300, 0]], 299.5, 2, "discrete")
    assert half[0] == answered[0], "a threshold between two counts is that of the upper one"


@pytest.mark.parametrize("votes", [[250, 0], [0, 50]])
def test_a_count_far_from_the_threshold_costs_little(votes: list[int]) -> None:
    # 150 votes above at scale 30, 50 below at scale 10: log Pr[N(0, 1) >= 5] both times.
    sigma = 30.0 if votes[0] else 10.0
    log_q = log_q_threshold(votes, 100, sigma, "continuous")
    assert log_q[0] == pytest.approx(-15.064998393988727, rel=1e-13)
    found = dependent_rdp(log_q, Mechanism("threshold", sigma).spread, [2.0])
    assert found[0, 0] < 0.05 * threshold_rdp(sigma, [2.0])[0]


def test_a_threshold_without_noise_is_certain() -> None:
    answered, refused = log_pr_answered([[5, 0], [4, 0]], 5, 0.0)
    assert answered.tolist() == [0.0, -math.inf]
    assert refused.tolist() == [-math.inf, 0.0]


def test_no_noise_costs_infinitely_much() -> None:
    assert np.all(np.isinf(gnmax_rdp(0.0, [2.0, 9.0])))
    assert np.all(np.isinf(threshold_rdp(0.0, [2.0, 9.0])))
    assert np.all(np.isinf(exact_threshold_rdp(5, 0.0, 10, [2.0, 9.0])))
    for log_q in (log_q_gnmax([250, 0], 0.0), log_q_threshold([250, 0], 300, 0.0)):
        assert np.all(np.isinf(dependent_rdp(log_q, 0.0, [2.0, 9.0])))


def test_an_answer_that_never_comes_costs_nothing_even_without_noise() -> None:
    found = expected_cost_rdp([[5, 0]], 0.0, 9, 0.0, [2.0])
    assert np.isinf(found[0])
    assert total_dependent_rdp([0.0, 0.0], 0.0, [2.0], [0.0, 0.0]).tolist() == [0.0]
    assert np.isinf(total_dependent_rdp([0.0, 0.0], 0.0, [2.0], [0.0, 1.0])[0])


def test_underflowing_q_costs_nothing_that_a_float_could_hold() -> None:
    assert dependent_rdp(-math.inf, 5.0, [2.0]).tolist() == [0.0]
    assert 0.0 <= dependent_rdp(-1e6, 5.0, [2.0])[0] < 1e-300


@given(st.integers(0, 40), st.floats(0.3, 30.0), st.sampled_from(["continuous", "discrete"]))
@settings(max_examples=40)
def test_one_bit_never_costs_more_than_the_noisy_count(
    threshold: int, sigma: float, noise: NoiseLaw
) -> None:
    orders = [1.5, 8.0, 300.0]
    found = exact_threshold_rdp(threshold, sigma, 40, orders, noise)
    assert np.all(found <= threshold_rdp(sigma, orders) * (1 + 1e-9))
    assert np.all(found > 0.0)


@pytest.mark.parametrize(
    ("rdp", "order", "delta", "classic", "improved"),
    [
        (0.25, 10.0, 1e-6, 1.7850567286627, 1.42385342489442),
        (1.0, 2.0, 1e-5, 12.5129254649702, 11.1266311038503),
        (0.01, 200.0, 1e-3, 0.0447123380853374, 0.0130750858771296),
    ],
)
def test_conversion(
    rdp: float, order: float, delta: float, classic: float, improved: float
) -> None:
    assert epsilons([rdp], [order], delta, "classic") == pytest.approx(classic, rel=1e-13)
    assert epsilons([rdp], [order], delta, "improved") == pytest.approx(improved, rel=1e-13)


@given(st.floats(0.0, 50.0), st.floats(1.01, 1000.0), st.floats(1e-12, 0.5))
def test_the_improved_conversion_is_never_worse(rdp: float, order: float, delta: float) -> None:
    improved = epsilons([rdp], [order], delta, "improved")[0]
    assert 0.0 <= improved <= epsilons([rdp], [order], delta, "classic")[0]


def test_a_divergence_below_delta_squared_converts_to_zero() -> None:
    assert epsilons([0.9e-10], [2.0], 1e-5, "improved")[0] == 0.0
    assert epsilons([1.1e-10], [2.0], 1e-5, "improved")[0] > 1.0


def test_the_edge_of_the_grid_warns() -> None:
    with pytest.warns(GridEdgeWarning, match="order is 2,"):
        privacy_loss(1000 * gnmax_rdp(7, default_orders()), 1e-5)
    with pytest.warns(GridEdgeWarning, match="order is 1000,"):
        privacy_loss(gnmax_rdp(4000, default_orders()), 1e-5)


@pytest.mark.filterwarnings("error")
def test_no_warning_inside_the_grid_nor_where_nothing_could_be_gained() -> None:
    grid = default_orders()
    privacy_loss(gnmax_rdp(40, grid), 1e-5)
    assert privacy_loss(np.zeros(grid.shape), 1e-5).epsilon == 0.0
    assert privacy_loss(gnmax_rdp(0, grid), 1e-5).epsilon == math.inf


@pytest.mark.parametrize(
    "orders", [[], [1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [2.0, math.inf], [[2.0]]]
)
def test_bad_orders(orders: list[Any]) -> None:
    with pytest.raises(ConfigError, match="orders"):
        check_orders(orders)


@pytest.mark.parametrize("rdp", [[1.0, 2.0], [math.nan], [-1.0]])
def test_bad_curves(rdp: list[float]) -> None:
    with pytest.raises(ConfigError, match="rdp"):
        privacy_loss(rdp, 1e-5, orders=[2.0])


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ([[1.0, math.nan]], "not finite"),
        ([[3, 4], [3, -4]], "query 1 for class 1: -4 is negative"),
        ([[1.5, 2.0]], "not a whole number"),
        ([[2**31, 0]], "above"),
        ([[1]], "shape"),
        ([[[1, 2]]], "shape"),
        ([["a", "b"]], "type"),
        ([], "shape"),
    ],
)
def test_bad_votes(votes: list[Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        log_q_gnmax(votes, 40)


def test_bad_mechanisms() -> None:
    wrong: list[Any] = [("laplace", 1.0), ("gnmax", -1.0), ("gnmax", math.nan), ("gnmax", 1.0, 0.1)]
    for fields in wrong:
        with pytest.raises(ConfigError):
            Mechanism(*fields)
    with pytest.raises(ConfigError, match="log_q"):
        dependent_rdp(0.1, 1.0, [2.0])
    with pytest.raises(ConfigError, match="noise"):
        log_q_gnmax([1, 2], 1.0, "laplace")  # type: ignore[arg-type]


def many_votes(queries: int) -> Int64:
    rng = np.random.default_rng(3)
    return rng.multinomial(250, rng.dirichlet(np.full(10, 0.2), queries))


def test_queries_are_independent_rows() -> None:
    votes = many_votes(50)
    together = dependent_rdp(log_q_gnmax(votes, 40), 40.0, default_orders())
    alone = [dependent_rdp(log_q_gnmax(row, 40), 40.0, default_orders())[0] for row in votes]
    np.testing.assert_array_equal(together, alone)
    total = total_dependent_rdp(log_q_gnmax(votes, 40), 40.0, default_orders())
    np.testing.assert_allclose(total, together.sum(axis=0), rtol=1e-12)


def test_the_expected_cost_weights_gnmax_by_its_probability() -> None:
    votes, orders = many_votes(20), default_orders()
    answered, _ = log_pr_answered(votes, 200, 150)
    by_hand = 20 * threshold_rdp(150, orders) + np.exp(answered).sum() * gnmax_rdp(40, orders)
    found = expected_cost_rdp(votes, 40, 200, 150, orders, dependent=False)
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["continuous", "discrete"])
def test_ten_thousand_histograms_in_under_a_second(noise: NoiseLaw) -> None:
    votes = many_votes(10_000)
    seconds = []  # of this process, so that a busy machine does not count
    for _ in range(3):
        start = time.process_time()
        expected_cost_rdp(votes, 40, 300, 200, default_orders(), noise=noise)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0
