"""Noise without a trusted guardian, in runs of the real parties; and when noise is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from protocol_runs import Runner

from capc.fixed_point import VOTE_BITS, modulo, uniform_bits
from capc.parties.messages import Batch
from capc.parties.own_noise import MaskedNoise
from capc.parties.pairwise_masks import PairwiseMasks
from capc.privacy.accountant import Accountant
from capc.privacy.noise_ahead import NoiseAhead
from capc.privacy.rdp import Mechanism
from capc.transport.tls import Identity

BEFORE_ONLY = {
    "querying": "capc.parties.querying_party",
    "answering": "drawing_answering",
    "guardian": "drawing_guardian",
}


def test_the_guardian_draws_no_noise_once_a_run_has_begun(run_protocol: Runner) -> None:
    """How long a draw takes tells its size: no timing, and no gap between messages, holds one."""
    finished = run_protocol(
        *("--n_parties=2", "--n_queries=4", "--batch_size=2", "--cpu", "--sigma=2", "--verify"),
        *("--threshold=2", "--sigma_threshold=2"),
        modules=BEFORE_ONLY,
    )
    assert finished.status == 0
    assert set(finished.table("private/check")["reference_agrees"]) == {True}
    timings = finished.table("timings")
    assert not len(timings.query("party == 'guardian' and step == '2' and phase != 'online'"))


def test_a_run_without_a_trusted_guardian(run_protocol: Runner, tmp_path: Path) -> None:
    """Every share and every party's noise are opened and compared; the account tells the rule.

    No party draws noise once the run has begun.
    """
    path = tmp_path / "account.json"
    finished = run_protocol(
        *("--n_parties=5", "--n_queries=6", "--batch_size=3", "--cpu", "--sigma=2", "--verify"),
        *("--noise=distributed", "--colluding=1", "--threshold=4", f"--account={path}"),
        modules=BEFORE_ONLY,
    )
    assert finished.status == 0
    assert set(finished.table("private/check")["reference_agrees"]) == {True}
    mechanism = Mechanism("distributed", 2.0, parties=5, colluding=1)
    assert Accountant.load(path).counts == {mechanism: 6}
    noise = finished.record["noise"]
    assert (noise["source"], noise["colluding"], noise["counted_parties"]) == ("distributed", 1, 4)
    assert noise["label_sigma"] == pytest.approx(2 * (5 / 4) ** 0.5)
    charge = json.loads(path.read_text())["charges"][0]
    assert noise["excess_per_query"] == charge["excess"]
    assert float(charge["excess"].split("e")[1]) < -100_000


def parties(count: int) -> list[Identity]:
    return [Identity.create(f"answering-{index}") for index in range(count)]


def masks_of(identities: list[Identity]) -> list[PairwiseMasks]:
    return [
        PairwiseMasks(own, {who.party: who.certificate for who in identities if who is not own})
        for own in identities
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_masks_add_up_to_zero_and_to_nothing_less(count: int) -> None:
    identities = parties(count)
    drawn = np.stack([masks.of(Batch(7, 3), 10) for masks in masks_of(identities)])
    assert not modulo(VOTE_BITS, drawn.sum(axis=0)).any()
    if count > 1:
        assert len(np.unique(drawn)) == drawn.size
        for left_out in range(count):
            rest = modulo(VOTE_BITS, np.delete(drawn, left_out, axis=0).sum(axis=0))
            assert len(np.unique(rest)) == rest.size


def test_each_query_has_masks_of_its_own_whatever_batch_it_comes_in() -> None:
    masks = masks_of(parties(2))[0]
    together = masks.of(Batch(3, 2), 4)
    np.testing.assert_array_equal(together[1:], masks.of(Batch(4, 1), 4))
    assert not np.array_equal(together[0], together[1])


def test_both_ends_agree_on_a_key_that_a_third_party_does_not_have() -> None:
    one, two, third = parties(3)
    key = one.agreed_key(two.certificate, b"purpose")
    assert key == two.agreed_key(one.certificate, b"purpose")
    assert len(key) == 32
    others = [
        one.agreed_key(third.certificate, b"purpose"),
        third.agreed_key(two.certificate, b"purpose"),
        one.agreed_key(two.certificate, b"another"),
    ]
    assert len({key, *others}) == 4


def test_guardian_and_querying_party_together_read_the_noisy_sum_alone() -> None:
    """Without the masks, one party's message and share show its vote under its own little noise."""
    identities, classes, units = parties(3), 4, 256
    votes = np.eye(classes, dtype=np.int64)[[2, 2, 1]] * units
    drawn = [np.array([[5, -3, 2, 0]]), np.array([[1, 1, -9, 4]]), np.array([[0, 7, 2, -2]])]
    seen = []
    for masks, own, vote in zip(masks_of(identities), drawn, votes, strict=True):
        noise = NoiseAhead(lambda _, own=own: own, words=classes, queries=1, batch_size=1)  # type: ignore[misc]
        share = uniform_bits(VOTE_BITS, (1, classes))
        sent, told = MaskedNoise(noise, masks).added(Batch(0, 1), share)
        np.testing.assert_array_equal(told, own)
        seen.append(modulo(VOTE_BITS, sent + (vote - share))[0])
    for one, vote in zip(seen, votes, strict=True):
        assert np.abs(np.asarray(one) - vote).min() > 1 << 10  # fails by chance below 2^-18
    expected = modulo(VOTE_BITS, votes.sum(axis=0) + np.sum(drawn, axis=0)[0])
    np.testing.assert_array_equal(modulo(VOTE_BITS, np.sum(seen, axis=0)), expected)


def test_key_pairs_that_outlive_a_run_give_other_masks_in_the_next() -> None:
    """Two runs of one federation: the same keys, the same query number, no common mask."""
    identities = parties(3)
    runs = [
        [
            PairwiseMasks(
                own, {who.party: who.certificate for who in identities if who is not own}, run
            ).of(Batch(7, 3), 10)
            for own in identities
        ]
        for run in (b"one", b"other")
    ]
    for drawn in runs:
        assert not modulo(VOTE_BITS, np.sum(drawn, axis=0)).any()
    assert not np.any(np.array(runs[0]) == np.array(runs[1]))
