"""Who has which examples: disjoint, of the sizes promised, the same for the same seed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import ConfigError
from capc.learning.experiment import Experiment, Split
from capc.learning.splits import cut_test_set, seed_for, shards

LABELS = np.random.default_rng(5).integers(0, 10, 4000)


def experiment(**fields: Any) -> Experiment:
    return Experiment(name="x", dataset="mnist", **{"parties": 10, "pool": 90} | fields)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 60), st.integers(0, 2**31), st.sampled_from(["uniform", "dirichlet"]))
def test_shards_are_disjoint(
    parties: int, seed: int, kind: Literal["uniform", "dirichlet"]
) -> None:
    parts = shards(experiment(parties=parties, split=Split(kind=kind, alpha=2.0)), LABELS, seed)
    together = np.concatenate(parts)
    assert len(parts) == parties
    assert len(np.unique(together)) == len(together)
    if kind == "uniform":
        assert {len(part) for part in parts} == {len(LABELS) // parties}
    else:
        assert len(together) == len(LABELS)


def test_the_same_seed_gives_the_same_shards_and_another_one_others() -> None:
    first, again, other = (shards(experiment(), LABELS, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_skew_keeps_the_ratio_of_weak_classes_at_querying_parties_only() -> None:
    plain = shards(experiment(), LABELS, 1)
    split = Split(kind="skewed", weak_classes=(1, 2), ratio=0.1)
    skewed = shards(experiment(split=split), LABELS, 1)
    for party in range(10):
        before = np.bincount(LABELS[plain[party]], minlength=10)
        after = np.bincount(LABELS[skewed[party]], minlength=10)
        expected = before.copy()
        if party < 3:
            expected[[1, 2]] = np.round(0.1 * before[[1, 2]])
        assert after.tolist() == expected.tolist()


def test_skew_of_all_parties() -> None:
    split = Split(kind="skewed", weak_classes=(7,), ratio=0.0, skewed_parties="all")
    assert all(7 not in LABELS[part] for part in shards(experiment(split=split), LABELS, 1))


def test_small_alpha_skews_more() -> None:
    def spread(alpha: float) -> float:
        parts = shards(experiment(split=Split(kind="dirichlet", alpha=alpha)), LABELS, 1)
        shares = [np.bincount(LABELS[part], minlength=10) / len(part) for part in parts]
        return float(np.std(shares))

    assert spread(0.3) > 2 * spread(30.0)


def test_examples_per_party_caps_each_shard() -> None:
    parts = shards(experiment(examples_per_party=7), LABELS, 1)
    assert [len(part) for part in parts] == [7] * 10


def test_a_party_with_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"party \d+ of 300 gets no training examples"):
        shards(experiment(parties=300, split=Split(kind="dirichlet", alpha=0.01)), LABELS, 1)


def test_pools_and_evaluation_share_nothing() -> None:
    parts = cut_test_set(experiment(pool=100), 400, 1)
    together = np.concatenate([*parts.pools, parts.evaluation])
    assert [len(pool) for pool in parts.pools] == [33, 33, 33]
    assert len(parts.evaluation) == 300
    assert len(np.unique(together)) == len(together)


def test_seeds_differ_by_what_they_are_for() -> None:
    seeds = {seed_for(*parts) for parts in [("a", 1), ("a", 2), ("b", 1), ("a", 1, 1), ("a1",)]}
    assert len(seeds) == 5
    assert seed_for("a", 1) == seed_for("a", 1)
    assert all(0 <= seed < 2**63 for seed in seeds)
