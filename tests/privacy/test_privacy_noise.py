"""The guardian's noise: its law, its range, and that OpenDP waits until it is needed.

Each statistical test fails by chance with probability 1e-9.
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capc.errors import ConfigError
from capc.fixed_point import Float64, Int64
from capc.privacy.noise import refuse_wrap, reserved_range, sample_noise

CHANCE = 1e-9


def discrete_gaussian_pmf(sigma: float, reach: int) -> tuple[Int64, Float64]:
    x = np.arange(-reach, reach + 1)
    weights = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    return x, weights / weights.sum()


def chi_square_p_value(draws: Int64, sigma: float) -> float:
    x, pmf = discrete_gaussian_pmf(sigma, math.ceil(12 * sigma) + 2)
    keep = pmf * len(draws) >= 10
    low, high = x[keep][0], x[keep][-1]
    observed = np.array([np.sum(draws == k) for k in range(low, high + 1)])
    expected = pmf[keep] * len(draws)
    rest = len(draws) - observed.sum(), len(draws) - expected.sum()
    statistic = np.sum((observed - expected) ** 2 / expected)
    statistic += (rest[0] - rest[1]) ** 2 / max(rest[1], 1e-12) if rest[1] > 1 else 0.0
    return float(stats.chi2.sf(statistic, len(expected) - (0 if rest[1] > 1 else 1)))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.7, 40.0])
def test_draws_follow_the_discrete_gaussian_law(sigma: float) -> None:
    assert chi_square_p_value(sample_noise(sigma, 40_000), sigma) > CHANCE


@pytest.mark.parametrize("sigma", [0.4, 1.0])
def test_the_check_of_the_law_tells_rounded_and_truncated_gaussians_apart(sigma: float) -> None:
    continuous = np.random.default_rng(5).normal(0.0, sigma, 40_000)
    assert chi_square_p_value(np.rint(continuous).astype(int), sigma) < CHANCE
    assert chi_square_p_value(np.trunc(continuous).astype(int), sigma) < CHANCE


def test_draws_are_independent_of_their_neighbours() -> None:
    draws = sample_noise(40.0, 20_000).astype(float)
    correlation = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert abs(correlation) * math.sqrt(len(draws) - 1) < stats.norm.isf(CHANCE / 2)


@pytest.mark.parametrize("count", [0, 1, 11])
def test_shape_and_type(count: int) -> None:
    draws = sample_noise(40.0, count)
    assert draws.shape == (count,)
    assert draws.dtype == np.int64


def test_no_noise_is_zeros() -> None:
    assert not sample_noise(0.0, 11).any()


def test_two_calls_give_different_noise() -> None:
    assert not np.array_equal(sample_noise(40.0, 100), sample_noise(40.0, 100))


@pytest.mark.parametrize("sigma", [-1.0, -1e-300, math.nan, math.inf])
def test_bad_scales_are_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="sigma"):
        sample_noise(sigma, 1)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ConfigError, match="count"):
        sample_noise(1.0, -1)


def largest_allowed(draws: int, reserved: float) -> float:
    """Bisection on the rule itself, to the last float that is allowed."""
    low, high = 0.0, 2.0**40
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return low
        try:
            refuse_wrap(middle, draws, reserved=reserved)
            low = middle
        except ConfigError:
            high = middle


@pytest.mark.parametrize(("draws", "reserved"), [(1, 0.0), (11, 550.0), (101, 2.0**30)])
def test_the_largest_scale_keeps_the_wrap_probability_at_2_to_minus_80(
    draws: int, reserved: float
) -> None:
    sigma = largest_allowed(draws, reserved)
    room = 2.0**31 - 1 - reserved
    log2_bound = 1 + math.log2(draws) - room**2 / (2 * sigma**2) / math.log(2)
    assert log2_bound == pytest.approx(-80, abs=1e-6)
    log_true = math.log(draws) + math.log(2) + stats.norm.logsf((room - 1) / sigma)
    assert log_true / math.log(2) < -80


@given(st.integers(1, 10**6), st.floats(0, 2.0**31 - 2))
def test_more_draws_or_less_room_never_allow_a_larger_scale(draws: int, reserved: float) -> None:
    sigma = largest_allowed(draws, reserved)
    with pytest.raises(ConfigError, match="wrap"):
        refuse_wrap(sigma * 1.01, draws + 1, reserved=reserved)


def test_votes_and_threshold_that_fill_the_range_are_refused() -> None:
    assert reserved_range(250, -300.0) == 550.0
    assert reserved_range(250) == 250.0
    with pytest.raises(ConfigError, match="fewer parties"):
        refuse_wrap(1.0, 1, reserved=reserved_range(2**31))


def test_opendp_is_imported_only_when_noise_is_drawn() -> None:
    program = (
        "import sys; import capc.privacy.budget, capc.privacy.noise as noise\n"
        "noise.sample_noise(0.0, 3)\n"
        "assert not {'opendp', 'scipy', 'tensorflow'} & set(sys.modules), 'imported too early'\n"
        "noise.sample_noise(1.0, 3); assert 'opendp' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
