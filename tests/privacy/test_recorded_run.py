"""The published MNIST run, re-derived: 1,621 queries, 883 answered, epsilon 2.4989.

250 parties, T = 200, sigma_T = 150, sigma = 40, delta = 1e-5, budget 2.5. Its histograms were not
published. What is recorded of its first query (249 votes for one class) gives away the rule: the
data-dependent bound for continuous noise, GNMax charged by its probability, classic conversion.
The other queries come from histograms of the same make (capc/learning/recorded_run.py): they agree
with the record to a few percent, and no closer agreement is claimed.
"""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from capc.errors import ConfigError
from capc.fixed_point import Float64, Int64
from capc.learning import recorded_run
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import default_orders, privacy_loss
from capc.privacy.dependent import expected_cost_rdp, log_pr_answered
from capc.privacy.rdp import Mechanism

ROOT = Path(__file__).resolve().parents[2]
SIGMA, THRESHOLD, SIGMA_THRESHOLD, DELTA, BUDGET = 40.0, 200.0, 150.0, 1e-5, 2.5
QUERIES, ANSWERED, EPSILON = 1621, 883, 2.4989


def expected_cost(votes: npt.ArrayLike) -> Float64:
    return expected_cost_rdp(
        votes, SIGMA, THRESHOLD, SIGMA_THRESHOLD, default_orders(), noise="continuous"
    )


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x93NUMPY\x01\x00\x02\x00{}"])
def test_votes_that_are_none(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "votes.npy"
    path.write_bytes(content)
    monkeypatch.setattr(recorded_run, "VOTES", path)
    with pytest.raises(ConfigError, match=r"votes\.npy cannot be read.*--remake"):
        recorded_run.main([])
    np.save(path, np.zeros(3))
    with pytest.raises(ConfigError, match="does not hold counts"):
        recorded_run.main([])


@pytest.fixture(scope="module")
def votes() -> Int64:
    counts: Int64 = np.load(recorded_run.VOTES).astype(np.int64)
    return counts


def test_the_first_query_is_the_record_digit_for_digit() -> None:
    first = [249, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    answered, _ = log_pr_answered(first, THRESHOLD, SIGMA_THRESHOLD, "continuous")
    assert np.exp(answered[0]) == pytest.approx(0.6280399927976317, rel=1e-14)
    loss = privacy_loss(expected_cost(first), DELTA, conversion="classic")
    assert loss.epsilon == pytest.approx(0.1386180709072033, rel=1e-13)
    assert loss.order == pytest.approx(168.318, abs=5e-4)


def test_histograms_of_the_same_make_give_the_run_to_a_few_percent(
    votes: Int64,
) -> None:
    spent = recorded_run.spent_by_the_original_rule(votes)
    queries = recorded_run.within_budget(spent)
    log_answered, _ = log_pr_answered(votes[:queries], THRESHOLD, SIGMA_THRESHOLD, "continuous")
    assert queries == pytest.approx(QUERIES, rel=0.03)
    assert np.exp(log_answered).sum() == pytest.approx(ANSWERED, rel=0.03)
    assert spent[queries - 1] == pytest.approx(EPSILON, abs=0.005)
    assert spent[queries - 1] <= BUDGET < spent[queries]


def test_the_program_prints_the_figures_of_the_page(
    votes: Int64,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = types.SimpleNamespace(test_labels=votes.argmax(axis=1))
    monkeypatch.setattr(recorded_run, "load_dataset", lambda name: truth)
    assert recorded_run.main([]) == 0
    printed = [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()[1:4]]
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert [f"{int(printed[0]):,}", printed[1], printed[2]] == [
        line.split("|")[3].strip()
        for line in page.splitlines()
        if line.startswith(("| queries within", "| answered |", "| ε | 2"))
    ]


def test_the_record_costs_more_when_charged_for_what_happened(votes: Int64) -> None:
    account = Accountant()
    account.charge(Mechanism("threshold", SIGMA_THRESHOLD), QUERIES)
    account.charge(Mechanism("gnmax", SIGMA), ANSWERED)
    independent = account.privacy_loss(DELTA, "classic").epsilon
    assert independent == pytest.approx(5.791862603327, rel=1e-12)
    assert account.privacy_loss(DELTA, "improved").epsilon == pytest.approx(
        5.192214447931, rel=1e-12
    )


def test_the_expected_cost_is_exceeded_in_about_half_of_the_draws(votes: Int64) -> None:
    rng = np.random.default_rng(11)
    sample = votes[:400]
    budget = privacy_loss(expected_cost(sample), DELTA, conversion="classic").epsilon
    above = 0
    for _ in range(200):
        noisy = sample.max(axis=1) + rng.normal(0.0, SIGMA_THRESHOLD, len(sample))
        account = Accountant()
        account.charge_votes(
            sample,
            SIGMA,
            THRESHOLD,
            SIGMA_THRESHOLD,
            answered=noisy >= THRESHOLD,
            noise="continuous",
        )
        above += account.privacy_loss(DELTA, "classic").epsilon > budget
    assert 60 <= above <= 140
