"""Who has which training examples, and which test examples are queries.

Everything is drawn from the experiment's seed: data order only, never a secret.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.data.own_data import title
from capc.errors import ConfigError
from capc.learning.experiment import Experiment, Split

Indices = NDArray[np.int64]


def seed_for(*parts: object) -> int:
    """A 63-bit seed from what a random choice is for, the same in every process and order."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_for(*parts: object) -> np.random.Generator:
    """NumPy's generator from `seed_for`."""
    return np.random.default_rng(seed_for(*parts))


def shards(experiment: Experiment, labels: NDArray[np.int64], seed: int) -> list[Indices]:
    """The training examples of each party, disjoint, as sorted indices into `labels`.

    Uniform shards have one size. A skewed party keeps `ratio` of its weak classes and gets
    nothing in their place. Dirichlet shards differ in size. `examples_per_party` caps each one.
    Raises ConfigError where a party is left with nothing.
    """
    split = experiment.split
    if not len(labels):
        raise ConfigError(
            f"{title(experiment.dataset)} has no x_train and y_train: a querying party retrains "
            "on its share of them"
        )
    if split.kind == "dirichlet":
        parts = _dirichlet(labels, experiment.parties, split.alpha, seed)
    else:
        parts = _uniform(len(labels), experiment.parties, seed)
    cap = experiment.examples_per_party
    if cap is not None:
        parts = [part[:cap] for part in parts]
    if split.kind == "skewed":
        weak = experiment.parties if split.skewed_parties == "all" else experiment.querying_parties
        parts = [
            _without_most_weak(part, labels, split, seed, party) if party < weak else part
            for party, part in enumerate(parts)
        ]
    empty = [party for party, part in enumerate(parts) if not len(part)]
    if empty:
        raise ConfigError(
            f"party {empty[0]} of {experiment.parties} gets no training examples: use fewer "
            "parties, a larger split.alpha or a larger split.ratio"
        )
    return [np.sort(part) for part in parts]


def _uniform(examples: int, parties: int, seed: int) -> list[Indices]:
    order = generator_for("split", seed).permutation(examples)
    size = examples // parties
    return [order[party * size : (party + 1) * size] for party in range(parties)]


def _dirichlet(labels: NDArray[np.int64], parties: int, alpha: float, seed: int) -> list[Indices]:
    """Each class cut up in shares drawn from Dirichlet(alpha, ..., alpha) (Hsu et al. 2019)."""
    generator = generator_for("split", seed)
    pieces: list[list[Indices]] = [[] for _ in range(parties)]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        shares = generator.dirichlet(np.full(parties, alpha))
        cuts = np.floor(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for party, piece in enumerate(np.split(members, cuts)):
            pieces[party].append(piece)
    return [generator.permutation(np.concatenate(piece)) for piece in pieces]


def _without_most_weak(
    part: Indices, labels: NDArray[np.int64], split: Split, seed: int, party: int
) -> Indices:
    generator = generator_for("skew", seed, party)
    kept = [part[~np.isin(labels[part], split.weak_classes)]]
    for label in split.weak_classes:
        members = generator.permutation(part[labels[part] == label])
        kept.append(members[: round(split.ratio * len(members))])
    return np.concatenate(kept)


@dataclass(frozen=True, eq=False)
class TestSetParts:
    """Indices into the test set: what each querying party may ask, and what measures accuracy."""

    pools: tuple[Indices, ...]
    evaluation: Indices


def cut_test_set(experiment: Experiment, test_size: int, seed: int) -> TestSetParts:
    """The test set cut in `pool` examples, shared out evenly, and the rest."""
    order = generator_for("pool", seed).permutation(test_size)
    size = experiment.pool // experiment.querying_parties
    pools = tuple(order[party * size : (party + 1) * size] for party in experiment.querying)
    return TestSetParts(pools, np.sort(order[experiment.pool :]))
