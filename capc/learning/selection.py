"""Which queries to ask first: random, entropy, gap, greedy k-centre (paper, section 4.1).

Each function gives the positions of the pool's examples in the order in which they are asked. The
querying party chooses alone, by its own model and data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.fixed_point import Float64

Order = NDArray[np.int64]


def probabilities(logits: NDArray[np.floating]) -> Float64:
    """Softmax along the last axis of logits (n, C)."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float64)


def random_order(count: int, generator: np.random.Generator) -> Order:
    """All examples, in a random order."""
    return generator.permutation(count).astype(np.int64)


def by_entropy(logits: NDArray[np.floating]) -> Order:
    """The most uncertain first: largest entropy of the predicted distribution, (n, C) logits."""
    chances = probabilities(logits)
    terms = np.where(chances > 0.0, chances * np.log(np.maximum(chances, 1e-300)), 0.0)
    return np.argsort(terms.sum(axis=1), kind="stable").astype(np.int64)


def by_gap(logits: NDArray[np.floating]) -> Order:
    """The closest calls first: smallest gap between the two largest probabilities."""
    top = np.sort(probabilities(logits), axis=1)[:, -2:]
    return np.argsort(top[:, 1] - top[:, 0], kind="stable").astype(np.int64)


def by_k_centre(
    features: NDArray[np.floating], own_features: NDArray[np.floating], count: int
) -> Order:
    """Greedy k-centre: again and again the example farthest from all own or chosen ones.

    features (n, d) of the pool, own_features (m, d) of the party's training data, from the layer
    before the logits (Sener and Savarese, ICLR 2018). The first `count` positions.
    """
    if features.ndim != 2 or own_features.shape[1:] != features.shape[1:]:
        raise ConfigError(
            f"features have shapes {features.shape} and {own_features.shape}; give (n, d), (m, d)"
        )
    points, nearest = features.astype(np.float64), np.full(len(features), np.inf)
    for centre in own_features.astype(np.float64):
        np.minimum(nearest, _squared_distances(points, centre), out=nearest)
    chosen = np.empty(min(count, len(points)), dtype=np.int64)
    for place in range(len(chosen)):
        chosen[place] = farthest = int(np.argmax(nearest))
        np.minimum(nearest, _squared_distances(points, points[farthest]), out=nearest)
        nearest[farthest] = -np.inf
    return chosen


def _squared_distances(points: Float64, centre: Float64) -> Float64:
    difference = points - centre
    return np.asarray(np.einsum("nd,nd->n", difference, difference), dtype=np.float64)
