"""SGD with momentum and Adam, with a state that goes back to zero for the next party."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from capc.learning.experiment import Training

SECOND_DECAY, SMALLEST = 0.999, 1e-7


def optimizer_for(tf: Any, training: Training, variables: Sequence[Any]) -> Momentum | Adam:
    """The optimizer that `training.optimizer` names, for these variables."""
    kind = Adam if training.optimizer == "adam" else Momentum
    return kind(tf, training.momentum, variables)


class Momentum:
    """v <- momentum v + g; w <- w - rate v (Sutskever et al., ICML 2013, as PyTorch writes it)."""

    def __init__(self, tf: Any, momentum: float, variables: Sequence[Any]) -> None:
        self._tf = tf
        self._momentum = momentum
        self._variables = list(variables)
        self._velocities = [_zeros(tf, variable) for variable in variables]

    def reset(self) -> None:
        """Forget all gradients so far."""
        for velocity in self._velocities:
            velocity.assign(self._tf.zeros_like(velocity))

    def apply(self, gradients: Sequence[Any], rate: Any) -> None:
        """One step; part of a compiled graph."""
        for variable, gradient, velocity in zip(
            self._variables, gradients, self._velocities, strict=True
        ):
            velocity.assign(self._momentum * velocity + gradient)
            variable.assign_sub(rate * velocity)


class Adam:
    """Kingma and Ba, ICLR 2015, Algorithm 1."""

    def __init__(self, tf: Any, first_decay: float, variables: Sequence[Any]) -> None:
        self._tf = tf
        self._first_decay = first_decay
        self._variables = list(variables)
        self._means = [_zeros(tf, variable) for variable in variables]
        self._squares = [_zeros(tf, variable) for variable in variables]
        self._steps = tf.Variable(0.0, trainable=False)

    def reset(self) -> None:
        """Forget all gradients so far."""
        for state in [*self._means, *self._squares, self._steps]:
            state.assign(self._tf.zeros_like(state))

    def apply(self, gradients: Sequence[Any], rate: Any) -> None:
        """One step; part of a compiled graph."""
        tf, first, second = self._tf, self._first_decay, SECOND_DECAY
        steps = self._steps.assign_add(1.0)
        scale = rate * tf.sqrt(1.0 - second**steps) / (1.0 - first**steps)
        for variable, gradient, mean, square in zip(
            self._variables, gradients, self._means, self._squares, strict=True
        ):
            mean.assign(first * mean + (1.0 - first) * gradient)
            square.assign(second * square + (1.0 - second) * tf.square(gradient))
            variable.assign_sub(scale * mean / (tf.sqrt(square) + SMALLEST))


def _zeros(tf: Any, variable: Any) -> Any:
    return tf.Variable(tf.zeros_like(variable), trainable=False)
