"""The optimizers of `capc.learning.optimizers` as functions, for one party's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from capc.learning.experiment import Training
from capc.learning.optimizers import SECOND_DECAY, SMALLEST


class Rule(Protocol):
    """How gradients move weights."""

    @property
    def states(self) -> int:
        """Arrays of state for each array of weights."""

    def fresh(self, stacked: list[Any]) -> Any:
        """The state before the first step, for weights with the parties on axis 0."""

    def step(
        self, weights: list[Any], gradients: list[Any], state: Any, rate: Any
    ) -> tuple[list[Any], Any]:
        """One party's weights and state after a step."""


def rule_for(np_: Any, training: Training) -> Rule:
    """The optimizer that `training.optimizer` names, in `np_`, JAX's NumPy."""
    kind = AdamRule if training.optimizer == "adam" else MomentumRule
    return kind(np_, training.momentum)


@dataclass(frozen=True)
class MomentumRule:
    """As `capc.learning.optimizers.Momentum`."""

    np_: Any
    momentum: float
    states: int = 1

    def fresh(self, stacked: list[Any]) -> Any:
        """Velocities of zero."""
        return [np.zeros_like(values) for values in stacked]

    def step(
        self, weights: list[Any], gradients: list[Any], state: Any, rate: Any
    ) -> tuple[list[Any], Any]:
        """One party's weights and velocities after a step."""
        moved = [self.momentum * v + g for v, g in zip(state, gradients, strict=True)]
        return [w - rate * v for w, v in zip(weights, moved, strict=True)], moved


@dataclass(frozen=True)
class AdamRule:
    """As `capc.learning.optimizers.Adam`."""

    np_: Any
    first_decay: float
    states: int = 2

    def fresh(self, stacked: list[Any]) -> Any:
        """Means and squares of zero, and each party's number of steps."""
        zeros = [np.zeros_like(values) for values in stacked]
        steps = np.zeros(len(stacked[0]), dtype=np.float32)
        return zeros, [np.zeros_like(values) for values in stacked], steps

    def step(
        self, weights: list[Any], gradients: list[Any], state: Any, rate: Any
    ) -> tuple[list[Any], Any]:
        """One party's weights, and means, squares and steps, after a step."""
        np_, first, second = self.np_, self.first_decay, SECOND_DECAY
        means, squares, steps = state
        steps = steps + 1.0
        scale = rate * np_.sqrt(1.0 - second**steps) / (1.0 - first**steps)
        means = [first * m + (1.0 - first) * g for m, g in zip(means, gradients, strict=True)]
        squares = [
            second * s + (1.0 - second) * np_.square(g)
            for s, g in zip(squares, gradients, strict=True)
        ]
        moved = [
            w - scale * m / (np_.sqrt(s) + SMALLEST)
            for w, m, s in zip(weights, means, squares, strict=True)
        ]
        return moved, (means, squares, steps)
