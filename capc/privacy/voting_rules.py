"""How a party's logits become its vote, and how noisy counts become the answer.

One label: the vote is the class of the largest logit (plurality). Several labels, as in "Private
Multi-Winner Voting for Machine Learning" (PoPETs 2023): a label is voted for where its logit is
above 0, so where its sigmoid passes one half.

- binary: each of k labels is voted on by itself, and given where more than half vote for it.
- tau: as binary, but a vote names at most t labels, those with the largest logits: its L2 norm is
  at most tau = sqrt(t).
- powerset: one vote for one of the 2^k sets of labels.

No party may see a vote, so a circuit makes it from shares. Every rule uses the circuit of the
largest score: a score is a sum of logits, which each side forms of its own shares, as each side
forms its shares of the counts from its shares of the circuit's output. A set of labels is a number
here: label j is bit 2^j.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS, Int64, modulo
from capc.label_sets import set_text

Voting = Literal["plurality", "binary", "tau", "powerset"]
MULTI_LABEL: tuple[Voting, ...] = get_args(Voting)[1:]

MAX_LABELS = 62  # a set of labels is one signed 64-bit number
MAX_CANDIDATES = 1000  # of one vote for a set: the circuits of a query grow with them


@dataclass(frozen=True)
class VotingRule:
    """The rule of a run with models of `outputs` logits; `max_labels` is t of tau-voting.

    Raises ConfigError where the rule is impossible with so many labels.
    """

    voting: Voting
    outputs: int
    max_labels: int | None = None

    def __post_init__(self) -> None:
        if (self.voting == "tau") != (self.max_labels is not None):
            raise ConfigError("--max_labels goes with --voting tau, and tau needs it")
        if not self.multi_label:
            return
        if not 2 <= self.outputs <= MAX_LABELS:
            raise ConfigError(
                f"the models give {self.outputs} labels; --task multi-label takes 2 to {MAX_LABELS}"
            )
        if self.max_labels is not None and not 1 <= self.max_labels < self.outputs:
            raise ConfigError(
                f"--max_labels is {self.max_labels}; allowed is 1 to {self.outputs - 1}: all "
                f"{self.outputs} labels are --voting binary"
            )
        if self.candidates > MAX_CANDIDATES:
            hint = "a smaller --max_labels" if self.voting == "tau" else "--voting binary or tau"
            raise ConfigError(
                f"--voting {self.voting} with {self.outputs} labels has {self.candidates} sets to "
                f"choose from; at most {MAX_CANDIDATES} fit: use {hint}"
            )

    @property
    def multi_label(self) -> bool:
        """Whether an answer is a set of labels."""
        return self.voting != "plurality"

    @property
    def by_label(self) -> bool:
        """Whether each label is counted by itself."""
        return self.voting in ("binary", "tau")

    # -- sizes, each for one query -----------------------------------------------------------

    @property
    def ballots(self) -> int:
        """Instances of the circuit of step 1c."""
        return self.outputs if self.voting == "binary" else 1

    @property
    def candidates(self) -> int:
        """What such an instance chooses from."""
        if self.voting == "plurality":
            return self.outputs
        if self.voting == "binary":
            return 2
        most = self.outputs if self.max_labels is None else self.max_labels
        return sum(math.comb(self.outputs, size) for size in range(most + 1))

    @property
    def counts(self) -> int:
        """Counts that step 2 adds up, each with noise of its own."""
        return self.outputs if self.by_label else self.candidates

    @property
    def decisions(self) -> int:
        """Instances of the circuit of step 3."""
        return self.outputs if self.by_label else 1

    @property
    def options(self) -> int:
        """What such an instance chooses from."""
        return 2 if self.by_label else self.counts

    @property
    def terms(self) -> int:
        """The most logits that one score adds up; the ring has to hold their sum."""
        return {"tau": self.max_labels or 1, "powerset": self.outputs}.get(self.voting, 1)

    @property
    def changes(self) -> int | None:
        """How many counts change, by 1 each, when one party's data are replaced.

        The L2 sensitivity is the root of it. None: one vote moves from one count to another. The
        whole vector of labels may change: k counts for binary voting. For tau-voting two vectors of
        at most t ones differ in 2t places, or in all k.
        """
        if not self.by_label:
            return None
        return min(2 * (self.max_labels or self.outputs), self.outputs)

    # -- what each side does with its own shares ---------------------------------------------

    @cached_property
    def _sets(self) -> Int64:
        """The sets to choose from, (candidates, outputs), so that the first of a tie is right.

        A label whose logit is exactly 0 is not voted for, and of equal logits the lower label is.
        """
        if self.voting == "powerset":
            return members(range(self.candidates), self.outputs)
        rows: Int64 = np.zeros((self.candidates, self.outputs), dtype=np.int64)
        chosen = (
            named
            for size in range((self.max_labels or 0) + 1)
            for named in combinations(range(self.outputs), size)
        )
        for row, named in enumerate(chosen):
            rows[row, list(named)] = 1
        return rows

    def scores(self, logits: Int64, ring_bits: int) -> Int64:
        """Shares of the scores (n * ballots, candidates), of shares of the logits (n, outputs)."""
        if self.voting == "plurality":
            return logits
        if self.voting == "binary":
            return _beside(0, logits)
        return modulo(ring_bits, logits @ self._sets.T)

    def tallied(self, votes: Int64) -> Int64:
        """Shares of the counts (n, counts), of shares of the votes (n * ballots, candidates)."""
        if self.voting == "binary":
            return np.ascontiguousarray(votes[:, 1].reshape(-1, self.outputs))
        if self.voting == "tau":
            return modulo(VOTE_BITS, votes @ self._sets)
        return votes

    def decided(self, counts: Int64, beside: int = 0) -> Int64:
        """The words of step 3 (n * decisions, options), of counts, noise or shares (n, counts).

        Where each label is decided by itself, `beside` is the word that its count has to pass.
        """
        return _beside(beside, counts) if self.by_label else counts

    def majority(self, voters: int) -> int:
        """A label is given where its noisy count is above this: half of the voters."""
        return voters // 2

    def label(self, chosen: Iterable[int]) -> int:
        """The answer, of what the `decisions` of one query chose: a class, or a set of labels."""
        if not self.by_label:
            return int(next(iter(chosen)))
        return sum(1 << place for place, given in enumerate(chosen) if given)

    # -- the same in the clear ---------------------------------------------------------------

    def votes(self, logits: NDArray[Any]) -> Int64:
        """The counts (n, counts) of one party's vote on logits (n, outputs), real or integer."""
        if self.by_label:
            return self._named(logits)
        chosen = logits.argmax(axis=1)
        if self.voting == "powerset":
            chosen = numbered(logits > 0)
        votes: Int64 = np.zeros((len(logits), self.counts), dtype=np.int64)
        votes[np.arange(len(logits)), chosen] = 1
        return votes

    def _named(self, logits: NDArray[Any]) -> Int64:
        """The labels with a logit above 0, (n, outputs); at most the `max_labels` largest."""
        named = logits > 0
        if self.max_labels is not None:
            places = np.argsort(-logits, axis=1, kind="stable").argsort(axis=1)
            named &= places < self.max_labels
        return named.astype(np.int64)

    def answers(self, noisy: Int64, voters: int) -> Int64:
        """The answer to each query, (n,), of counts with their noise (n, counts).

        `voters` is what a unanimous count is, in the same parts of a vote.
        """
        if not self.by_label:
            return np.asarray(noisy.argmax(axis=1), dtype=np.int64)
        return numbered(noisy > self.majority(voters))

    def text(self, label: int) -> int | str:
        """An answer as tables show it: a class, or the labels of a set with blanks between them."""
        if not self.multi_label:
            return label
        return set_text(label)


def numbered(sets: NDArray[Any]) -> Int64:
    """Sets of labels, rows (n, k) of 0 and 1, as numbers (n,): label j is the bit 2^j."""
    places = np.left_shift(np.int64(1), np.arange(sets.shape[1], dtype=np.int64))
    return np.asarray(sets.astype(np.int64) @ places, dtype=np.int64)


def members(sets: Iterable[int], labels: int) -> Int64:
    """Numbers (n,) as sets of labels (n, labels), 1 for each label in them."""
    given = np.array(list(sets), dtype=np.int64).reshape(-1, 1)
    return np.asarray(given >> np.arange(labels, dtype=np.int64) & 1, dtype=np.int64)


def _beside(first: int, values: Int64) -> Int64:
    """Each value as a row of its own (n, 2), after the number `first`."""
    column = values.reshape(-1, 1)
    return np.concatenate([np.full_like(column, first), column], axis=1)
