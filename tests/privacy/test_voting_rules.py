"""Several labels: what a party's vote is, how labels come from counts, and what that costs."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS, Int64, modulo, uniform_bits
from capc.gc import argmax_circuit, noisy_argmax_circuit, noisy_argmax_inputs
from capc.privacy import privacy_command
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.conversion import default_orders
from capc.privacy.rdp import Mechanism, gnmax_rdp, labels_rdp
from capc.privacy.voting_rules import VotingRule, members, numbered

RING = 37
RULES = [
    VotingRule("plurality", 4),
    VotingRule("binary", 4),
    VotingRule("tau", 4, 1),
    VotingRule("tau", 4, 2),
    VotingRule("tau", 5, 3),
    VotingRule("powerset", 4),
]


def by_hand(rule: VotingRule, logits: list[int]) -> list[int]:
    """One party's counts, by the definition of each rule and with plain lists."""
    above = [j for j, z in enumerate(logits) if z > 0]
    if rule.voting == "plurality":
        return [int(j == logits.index(max(logits))) for j in range(len(logits))]
    if rule.voting == "powerset":
        chosen = sum(2**j for j in above)
        return [int(place == chosen) for place in range(2 ** len(logits))]
    if rule.voting == "tau":
        above = sorted(above, key=lambda j: (-logits[j], j))[: rule.max_labels]
    return [int(j in above) for j in range(len(logits))]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_circuit_of_the_largest_score_gives_every_rules_vote(rule: VotingRule) -> None:
    """Step 1c on shares, each side by itself; all small logits, so with every kind of tie."""
    logits = np.array(list(product([-2, 0, 1, 3], repeat=rule.outputs)), dtype=np.int64)[::7]
    expected = [by_hand(rule, row) for row in logits.tolist()]
    np.testing.assert_array_equal(rule.votes(logits), expected)
    ours = uniform_bits(RING, logits.shape)
    theirs = modulo(RING, logits - ours)
    rows = len(logits) * rule.ballots
    masks = uniform_bits(VOTE_BITS, (rows, rule.candidates))
    circuit = argmax_circuit(RING, rule.candidates, VOTE_BITS)
    out, _ = circuit.plain_evaluate(
        modulo(RING, rule.scores(theirs, RING)), masks, modulo(RING, rule.scores(ours, RING))
    )
    total = modulo(VOTE_BITS, rule.tallied(out) + rule.tallied(masks))
    assert total.shape == (len(logits), rule.counts)
    np.testing.assert_array_equal(total, expected)


def decided(rule: VotingRule, counts: Int64, noise: Int64, voters: int) -> list[int]:
    """Step 3 by its circuit, from shares of the counts."""
    ours = uniform_bits(VOTE_BITS, counts.shape)
    words = noisy_argmax_inputs(
        VOTE_BITS,
        rule.decided(modulo(VOTE_BITS, counts - ours), rule.majority(voters)),
        rule.decided(noise),
        voters=voters,
    )
    circuit = noisy_argmax_circuit(VOTE_BITS, rule.options, with_threshold=False)
    out, _ = circuit.plain_evaluate(words, np.zeros((len(words), 0)), rule.decided(ours))
    return [rule.label(row) for row in out.reshape(len(counts), rule.decisions).tolist()]


@pytest.mark.parametrize("voters", [4, 5])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_circuit_of_step_3_gives_every_rules_labels(rule: VotingRule, voters: int) -> None:
    generator = np.random.default_rng(3)
    counts = generator.integers(0, voters + 1, (60, rule.counts))
    noise = generator.integers(-3, 4, counts.shape)
    found = decided(rule, counts, noise, voters)
    assert found == rule.answers(counts + noise, voters).tolist()
    if rule.by_label:
        given = [
            sum(2**j for j, count in enumerate(row) if 2 * count > voters)
            for row in (counts + noise).tolist()
        ]
        assert found == given


def test_a_set_of_labels_is_a_number_and_a_text() -> None:
    rule = VotingRule("binary", 62)
    sets = members([0, 1 << 61 | 5], 62)
    assert numbered(sets).tolist() == [0, 1 << 61 | 5]
    assert [rule.text(found) for found in (0, 1 << 61 | 5)] == ["none", "0 2 61"]
    assert VotingRule("plurality", 10).text(5) == 5


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_no_replaced_vote_moves_the_counts_by_more_than_is_charged(rule: VotingRule) -> None:
    """All pairs of votes of one party: the largest L2 distance is the stated one, and is met."""
    logits = np.array(list(product([-1, 1], repeat=rule.outputs)), dtype=np.int64)
    votes = np.unique(rule.votes(logits), axis=0)
    largest = max(int(((one - other) ** 2).sum()) for one in votes for other in votes)
    assert largest == (2 if rule.changes is None else rule.changes)


def test_costs_equal_reference_values() -> None:
    """alpha k / (2 sigma^2) for k counts; k GNMax answers of two classes cost twice that."""
    orders = default_orders()
    binary = labels_rdp(7.0, 10, orders)
    np.testing.assert_allclose(binary, orders * 10 / 98, rtol=1e-13)
    np.testing.assert_allclose(10 * gnmax_rdp(7.0, orders), 2 * binary, rtol=1e-13)
    # Of 100 queries at sigma 40 and delta 1e-5, with 50 decimal digits over the same orders.
    known = {10: 3.6171274222584, 4: 2.1658783256384, 2: 1.4781219679522}
    for changes, epsilon in known.items():
        account = Accountant()
        account.charge(Mechanism("labels", 40.0, changes=changes), 100)
        assert account.privacy_loss(1e-5).epsilon == pytest.approx(epsilon, rel=1e-12)
    powerset = Accountant()
    powerset.charge(Mechanism("gnmax", 40.0), 100)
    assert powerset.privacy_loss(1e-5).epsilon == pytest.approx(known[2], rel=1e-12)


def test_label_counts_are_charged_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = Budget(2.0, 1e-5, 40.0, changes=8)
    admitted, reason = budget.admit(1000)
    assert 0 < admitted < 1000
    assert "could spend epsilon" in reason
    budget.charge(answered=True)
    assert budget.account.counts == {Mechanism("labels", 40.0, changes=8): 1}
    path = tmp_path / "account.json"
    budget.account.save(path)
    assert Accountant.load(path).counts == budget.account.counts
    privacy_command.main(["account", f"--file={path}", "--delta=1e-5"])
    shown = json.loads(capsys.readouterr().out)["charges"]
    assert shown == [{"mechanism": "labels", "sigma": 40.0, "count": 1, "changes": 8}]
    text = path.read_text()
    for wrong in ('"changes": 0', '"changes": 8.5', '"change": 8'):
        path.write_text(text.replace('"changes": 8', wrong))
        with pytest.raises(ConfigError):
            Accountant.load(path)
    with pytest.raises(ConfigError, match="no threshold"):
        Budget(2.0, 1e-5, 40.0, threshold=3, sigma_threshold=3.0, changes=8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tau", 4), "tau needs it"),
        (("binary", 4, 2), "goes with --voting tau"),
        (("tau", 4, 4), "--voting binary"),
        (("powerset", 10), "1024 sets.*binary or tau"),
        (("tau", 40, 3), "a smaller --max_labels"),
        (("binary", 63), "2 to 62"),
        (("binary", 1), "2 to 62"),
    ],
)
def test_impossible_rules_say_what_is_possible(arguments: tuple[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VotingRule(*arguments)  # type: ignore[arg-type]
