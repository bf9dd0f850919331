"""Accuracy and intervals: known answers, and Student's quantiles against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from capc.learning.measures import Score, mean_interval, score, student_quantile


def test_score_by_class() -> None:
    found = score(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), 4)
    assert found == Score((1, 1, 1, 0), (2, 2, 1, 0))
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.by_class[:3].tolist() == [0.5, 0.5, 1.0]
    assert math.isnan(found.by_class[3])
    assert found.balanced == pytest.approx(2 / 3)
    assert found.over((1, 2)) == pytest.approx(0.75)
    assert math.isnan(found.over(()))


def test_balanced_accuracy_is_not_accuracy_where_classes_differ() -> None:
    found = score(np.zeros(10, dtype=np.int64), np.array([0] * 9 + [1]), 2)
    assert (found.accuracy, found.balanced) == (0.9, 0.5)


# Two-sided 95 %: the printed tables of every textbook.
@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)]
)
def test_quantiles_known(freedom: int, value: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(value, abs=5e-4)


def test_quantiles_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in range(1, 40):
        for probability in (0.6, 0.9, 0.975, 0.999):
            expected = stats.t.ppf(probability, freedom)
            assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-9)


def test_interval_known() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    reach = 4.302652729911275 / math.sqrt(3)
    assert (found.mean, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2.0 - reach)
    assert found.high == pytest.approx(2.0 + reach)


def test_one_value_has_no_interval() -> None:
    assert math.isnan(mean_interval([0.5]).low)
    assert mean_interval([]).n == 0


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        found = mean_interval(generator.normal(3.0, 1.0, size=5).tolist())
        covered += found.low <= 3.0 <= found.high
    assert 0.92 < covered / 400 < 0.98
