"""Statistical tests on what a party sees; each gives the probability of a finding by chance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from capc.fixed_point import Int64

BINS = 16
BLOCK_BYTES = 16


def uniform_p(places: NDArray[np.integer], bins: int = BINS) -> float:
    """The p-value of Pearson's chi-square test that places in [0, bins) are uniform."""
    counts = np.bincount(places.reshape(-1), minlength=bins)
    return float(stats.chisquare(counts).pvalue)


def independent_p(places: NDArray[np.integer], groups: NDArray[np.integer]) -> float:
    """The p-value of the chi-square test that places in [0, BINS) do not depend on the group.

    Both have the same shape. Groups with too few members to say anything are left out.
    """
    table = np.zeros((int(groups.max()) + 1, BINS))
    np.add.at(table, (groups.reshape(-1), places.reshape(-1)), 1)
    table = table[table.sum(axis=1) >= 2 * BINS]
    if len(table) < 2:
        raise ValueError("fewer than two groups are large enough for a test: ask more queries")
    return float(stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)


def high(words: Int64, bits: int) -> Int64:
    """The bin of each word of [0, 2^bits) by its highest bits."""
    return words >> (bits - 4)


def low(words: Int64) -> Int64:
    """The bin of each word by its lowest bits."""
    return words & (BINS - 1)


def repeated_blocks(messages: Iterable[bytes]) -> int:
    """How many blocks of 16 bytes, counted from each message's start, stand in them twice.

    Keys, labels, masks and ciphertexts are random: one that comes again is one used again.
    """
    joined = b"".join(message[: len(message) // BLOCK_BYTES * BLOCK_BYTES] for message in messages)
    blocks = np.frombuffer(joined, dtype="<u8").reshape(-1, 2)
    # Two 64-bit words as one: their order does not matter, only whether they are alike.
    mixed = blocks[:, 0] * np.uint64(0x9E3779B97F4A7C15) + blocks[:, 1]
    return int(mixed.size - np.unique(mixed).size)
