"""Against the reference values, computed elsewhere with 60 digits and cross-checked there.

Skipped where the file is absent: test_privacy_known_answers.py holds answers of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capc.privacy.conversion import CONVERSIONS, default_orders, epsilons, privacy_loss
from capc.privacy.dependent import (
    dependent_rdp,
    expected_cost_rdp,
    log_pr_answered,
    log_q_gnmax,
    log_q_threshold,
    total_dependent_rdp,
)
from capc.privacy.exact_threshold import exact_threshold_rdp
from capc.privacy.rdp import Mechanism, gnmax_rdp, threshold_rdp
from capc.privacy.tails import log_discrete_difference_tail

FILE = Path(__file__).parents[3] / "shared" / "reference" / "dp_reference_values.json"
RELATIVE = 1e-9
pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason="the reference values are not here"),
    pytest.mark.filterwarnings("ignore::capc.privacy.conversion.GridEdgeWarning"),
]


@pytest.fixture(scope="module")
def reference() -> Any:
    return json.loads(FILE.read_text())


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=0.0)


def test_default_orders_are_the_reference_grid(reference: Any) -> None:
    grid = eval(reference["meta"]["orders_grid"], {"np": np})
    np.testing.assert_array_equal(default_orders(), grid)


def test_data_independent_rdp(reference: Any) -> None:
    rdp_of = {"gnmax": gnmax_rdp, "threshold": threshold_rdp}
    for row in reference["data_independent"]:
        assert_close(rdp_of[row["mechanism"]](row["sigma"], [row["order"]]), [row["rdp"]])


def test_probabilities_of_each_histogram(reference: Any) -> None:
    for h in reference["histograms"].values():
        assert_close(log_q_gnmax(h["votes"], h["sigma_gnmax"], "continuous"), [h["logq"]])
        answered, _ = log_pr_answered(
            h["votes"], h["threshold"], h["sigma_threshold"], "continuous"
        )
        assert_close(answered, [h["log_pr_answered"]])


def test_data_dependent_rdp_of_each_histogram(reference: Any) -> None:
    for h in reference["histograms"].values():
        log_q = log_q_gnmax(h["votes"], h["sigma_gnmax"], "continuous")
        orders = [row["order"] for row in h["gnmax_rdp"]]
        found = dependent_rdp(log_q, h["sigma_gnmax"], orders)[0]
        assert_close(found, [row["rdp"] for row in h["gnmax_rdp"]])
        binding = found < gnmax_rdp(h["sigma_gnmax"], orders)
        assert binding.tolist() == [row["data_dependent_bound_binding"] for row in h["gnmax_rdp"]]
        gate = Mechanism("threshold", h["sigma_threshold"])
        log_q = log_q_threshold(h["votes"], h["threshold"], h["sigma_threshold"], "continuous")
        orders = [row["order"] for row in h["threshold_rdp"]]
        found = dependent_rdp(log_q, gate.spread, orders)[0]
        assert_close(found, [row["rdp"] for row in h["threshold_rdp"]])


def test_q_of_discrete_noise(reference: Any) -> None:
    for h in reference["histograms"].values():
        votes, sigma = np.array(h["votes"]), h["sigma_gnmax"]
        gaps = votes.max() - np.delete(votes, votes.argmax())
        lose = np.exp(log_discrete_difference_tail(gaps, sigma)).sum()
        win = np.exp(log_discrete_difference_tail(gaps + 1, sigma)).sum()
        assert_close(lose, h["discrete_gaussian_union_q_ties_lose"])
        assert_close(win, h["discrete_gaussian_union_q_ties_win"])
        assert_close(np.exp(log_q_gnmax(votes, sigma, "discrete")), [lose])


def test_conversions(reference: Any) -> None:
    for row in reference["conversion"]:
        for name in CONVERSIONS:
            if "order" in row:
                expected = row["eps_classic" if name == "classic" else "eps_improved_clamped"]
                found = epsilons([row["rdp"]], [row["order"]], row["delta"], name)
                assert_close(found, [expected])
            else:
                curve = row["n"] * gnmax_rdp(row["sigma"], default_orders())
                loss = privacy_loss(curve, row["delta"], conversion=name)
                assert_close(loss.epsilon, row[f"eps_{name}"])
                assert_close(loss.order, row[f"order_{name}"])


def test_sequences_of_queries(reference: Any) -> None:
    grid = default_orders()
    for row in reference["sequences"]:
        if row["kind"] == "gnmax_data_dependent":
            h = reference["histograms"][row["histogram"]]
            log_q = log_q_gnmax([h["votes"]] * row["n"], h["sigma_gnmax"], "continuous")
            curve = total_dependent_rdp(log_q, h["sigma_gnmax"], grid)
        else:
            curve = row["n_queries"] * threshold_rdp(row["sigma_threshold"], grid)
            curve = curve + row["k_answered"] * gnmax_rdp(row["sigma_gnmax"], grid)
        for name in CONVERSIONS:
            loss = privacy_loss(curve, row["delta"], conversion=name)
            assert_close(loss.epsilon, row[f"eps_{name}"])
            assert_close(loss.order, row[f"order_{name}"])


def test_most_queries_by_the_expected_cost_rule(reference: Any) -> None:
    for row in reference["max_queries"]:
        votes = [249, *[0] * 9]
        for dependent, suffix in ((True, "dep"), (False, "ind")):
            one = expected_cost_rdp(
                votes, 40, 300, 200, default_orders(), noise="continuous", dependent=dependent
            )
            for name in CONVERSIONS:
                most = row[f"max_n_{name}_{suffix}"]
                fits = privacy_loss(most * one, row["delta"], conversion=name).epsilon
                assert_close(fits, row[f"eps_at_max_{name}_{suffix}"])
                above = privacy_loss((most + 1) * one, row["delta"], conversion=name).epsilon
                assert fits <= row["budget"] < above


def test_threshold_of_one_bit(reference: Any) -> None:
    for row in reference["threshold_exact_data_independent"]:
        found = exact_threshold_rdp(
            row["threshold"], row["sigma"], row["num_answering"], [row["order"]], "continuous"
        )
        assert_close(found, [row["rdp_sup_over_counts"]])
        assert found[0] <= threshold_rdp(row["sigma"], [row["order"]])[0]
