"""Models of one architecture, trained side by side: Keras on JAX, mapped over the parties.

Each party starts from the same weights, and sees its examples in the same order, as in a process
of its own (`capc.learning.training`). Sums are taken in another order, so the bits differ.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import normalised
from capc.errors import ModelError
from capc.graph.tensorflow.loader import load_keras_on_jax
from capc.learning.architectures import build_model
from capc.learning.experiment import Training
from capc.learning.splits import Indices
from capc.learning.vectorised.checkpoints import Checkpoint
from capc.learning.vectorised.optimizers import Rule, rule_for
from capc.learning.weights import LearningRate, Weights, fresh_weights
from capc.machine import memory_bytes

_PREDICTION_BATCH = 500
_KEPT_PER_ACTIVATION = 3  # its value, its gradient, and what a layer needs besides
_SHARE_OF_MEMORY = 0.5
_FLOAT_BYTES = 4

Stacked = list[Any]
"""One array per variable, in Keras's order, the parties on axis 0."""


@lru_cache(maxsize=2)
def vectorised_trainer_for(
    model_type: str,
    sample_shape: tuple[int, ...],
    classes: int,
    training: Training,
    multi_label: bool = False,
) -> VectorisedTrainer:
    """One compiled epoch per architecture and process, used for group after group."""
    return VectorisedTrainer(model_type, sample_shape, classes, training, multi_label)


class VectorisedTrainer:
    """A model and its compiled epoch for any number of parties.

    `multi_label` as for `capc.learning.training.Trainer`.
    """

    def __init__(
        self,
        model_type: str,
        sample_shape: tuple[int, ...],
        classes: int,
        training: Training,
        multi_label: bool = False,
    ) -> None:
        self._keras = load_keras_on_jax()
        self._jax = importlib.import_module("jax")
        self._label = model_type
        self._classes = classes
        self._training = training
        self._multi_label = multi_label
        self.model = build_model(model_type, sample_shape, classes)
        variables = self.model.variables
        self._built = [np.asarray(variable) for variable in variables]
        self._trainable = _places(variables, self.model.trainable_variables)
        self._other = _places(variables, self.model.non_trainable_variables)
        self._rule: Rule = rule_for(self._jax.numpy, training)
        self._epoch = self._jax.jit(self._one_epoch, donate_argnums=0)
        self._logits = self._mapped(self.model)
        before = self.model.layers[-1].input
        self._features = self._mapped(self._keras.Model(self.model.inputs, before))

    def fit(
        self,
        samples: NDArray[Any],
        labels: NDArray[np.int64],
        shards: Sequence[Indices],
        seeds: Sequence[int],
        checkpoint: Checkpoint | None = None,
    ) -> list[Weights]:
        """Train one model per shard from fresh weights; their variables, in Keras's order.

        `samples` (n, ...) uint8 or float32 and `labels` (n,) are everybody's; a shard holds the
        places of one party's. All shards must give the same size of batch. Raises ModelError
        where the weights of a party are no longer finite.
        """
        sizes = {min(self._training.batch_size, len(shard)) for shard in shards}
        if len(sizes) != 1:
            raise ValueError(f"the shards have batches of {sorted(sizes)} examples")
        batch = sizes.pop()
        generators = [np.random.default_rng(seed) for seed in seeds]
        weights = [fresh_weights(self._built, generator) for generator in generators]
        stacked = [np.stack(values) for values in zip(*weights, strict=True)]
        state = self._state(stacked)
        heard = np.zeros((self._training.epochs, len(shards)), dtype=np.float32)  # losses
        start = 0
        if checkpoint is not None and (found := checkpoint.load((state, heard))) is not None:
            start, (state, heard) = found
        examples = self._jax.device_put((samples, self._answers(labels)))
        learning_rates = [LearningRate(self._training) for _ in shards]
        for epoch in range(self._training.epochs):
            orders, active = _orders(shards, generators, batch)
            if epoch >= start:  # before, the generators and rates go where they were
                rates = np.array([of_one.at(epoch) for of_one in learning_rates], dtype=np.float32)
                state, losses = self._epoch(state, examples, orders, active, rates)
                heard[epoch] = losses
            for of_one, loss in zip(learning_rates, heard[epoch], strict=True):
                of_one.heard(float(loss))
            if checkpoint is not None and epoch >= start:
                checkpoint.offer(epoch + 1, (state, heard))
        trained = self._weights(state)
        for party, values in enumerate(trained):
            if not all(bool(np.all(np.isfinite(value))) for value in values):
                raise ModelError(
                    f"training of {self._label} diverged (the {party + 1}. of {len(shards)} that "
                    "are trained together); lower training.learning_rate, or set "
                    "training.clip_norm"
                )
        return trained

    def logits(self, weights: Sequence[Weights], samples: NDArray[Any]) -> NDArray[np.float32]:
        """Logits (parties, n, C) of samples (n, ...) that all parties see."""
        return self._in_batches(self._logits, weights, samples)

    def features_of_one(self, weights: Weights, samples: NDArray[Any]) -> NDArray[np.float32]:
        """What goes into one party's last layer, (n, d)."""
        features: NDArray[np.float32] = self._in_batches(self._features, [weights], samples)[0]
        return features

    def most_parties(self, memory: int | None = None) -> int:
        """How many models fit side by side into half of `memory` bytes, at least one.

        None: the device's memory. An estimate: weights, their gradients and the optimizer's
        state, and three values for each activation of a batch.
        """
        memory = memory or self._device_memory()
        if memory is None:
            return 1
        weights = sum(value.size for value in self._built) * (2 + self._rule.states)
        outputs = [layer.output for layer in self.model.layers]
        activations = sum(math.prod(output.shape[1:]) for output in outputs)
        activations *= self._training.batch_size * _KEPT_PER_ACTIVATION
        each = _FLOAT_BYTES * (weights + activations)
        return max(1, int(_SHARE_OF_MEMORY * memory / each))

    @property
    def device(self) -> str:
        """What it trains on, as JAX names it."""
        return str(self._jax.devices()[0].device_kind)

    def _device_memory(self) -> int | None:
        stats = self._jax.devices()[0].memory_stats() or {}
        limit: int | None = stats.get("bytes_limit")
        return limit or memory_bytes()

    def _answers(self, labels: NDArray[np.int64]) -> NDArray[Any]:
        """Classes (n,), or for sets of labels a row (n, C) of zeros and ones each."""
        if not self._multi_label:
            return labels.astype(np.int32)
        return ((labels[:, None] >> np.arange(self._classes)) & 1).astype(np.float32)

    def _state(self, stacked: Stacked) -> Any:
        trainable = [stacked[place] for place in self._trainable]
        others = [stacked[place] for place in self._other]
        return trainable, others, self._rule.fresh(trainable)

    def _weights(self, state: Any) -> list[Weights]:
        """Per party, all variables in Keras's order."""
        trainable, others, _ = state
        stacked: list[Any] = [None] * len(self._built)
        for place, values in zip(self._trainable, trainable, strict=True):
            stacked[place] = np.asarray(values)
        for place, values in zip(self._other, others, strict=True):
            stacked[place] = np.asarray(values)
        return [list(party) for party in zip(*stacked, strict=True)]

    def _one_epoch(self, state: Any, examples: Any, orders: Any, active: Any, rates: Any) -> Any:
        """All steps of an epoch; `orders` (steps, parties, batch), `active` (steps, parties).

        The state after them, and each party's mean loss.
        """
        jax = self._jax
        step = jax.vmap(self._step, in_axes=(0, None, 0, 0, 0))

        def go_on(carried: Any, inputs: Any) -> Any:
            return step(carried, examples, *inputs, rates)

        after, losses = jax.lax.scan(go_on, state, (orders, active))
        return after, (losses * active).sum(axis=0) / active.sum(axis=0)

    def _step(self, state: Any, examples: Any, chosen: Any, active: Any, rate: Any) -> Any:
        """One step of one party on the `chosen` examples; nothing moves unless it is active.

        The state after it, and the loss before it.
        """
        jax, np_ = self._jax, self._jax.numpy
        table, labels = examples
        trainable, others, moments = state
        samples = _as_floats(np_, table[chosen])

        def loss(values: Any) -> Any:
            logits, updated = self.model.stateless_call(values, others, samples, training=True)
            return np_.mean(self._losses(labels[chosen], logits)), updated

        (cost, updated), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        gradients = self._clipped(gradients)
        decay = self._training.weight_decay
        decayed = [g + decay * v for g, v in zip(gradients, trainable, strict=True)]
        moved, moments_after = self._rule.step(trainable, decayed, moments, rate)
        after = (moved, list(updated), moments_after)
        return jax.tree.map(lambda new, old: np_.where(active, new, old), after, state), cost

    def _clipped(self, gradients: list[Any]) -> list[Any]:
        most = self._training.clip_norm
        if most is None:
            return gradients
        np_ = self._jax.numpy
        norm = np_.sqrt(sum(np_.sum(np_.square(gradient)) for gradient in gradients))
        return [gradient * most / np_.maximum(norm, most) for gradient in gradients]

    def _losses(self, labels: Any, logits: Any) -> Any:
        np_ = self._jax.numpy
        if not self._multi_label:
            certain = self._jax.nn.log_softmax(logits)
            return -np_.take_along_axis(certain, labels[:, None], axis=1)[:, 0]
        softplus = self._jax.nn.softplus
        return labels * softplus(-logits) + (1.0 - labels) * softplus(logits)

    def _mapped(self, model: Any) -> Callable[..., Any]:
        """A model's outputs (parties, n, ...), compiled; its variables are some of the whole's."""
        variables = self.model.variables
        trainable = _places(variables, model.trainable_variables)
        others = _places(variables, model.non_trainable_variables)

        def outputs(values: Stacked, samples: Any) -> Any:
            of_party = ([values[i] for i in trainable], [values[i] for i in others])
            return model.stateless_call(*of_party, samples, training=False)[0]

        compiled: Callable[..., Any] = self._jax.jit(self._jax.vmap(outputs, in_axes=(0, None)))
        return compiled

    def _in_batches(
        self, function: Callable[..., Any], weights: Sequence[Weights], samples: NDArray[Any]
    ) -> NDArray[np.float32]:
        stacked = [np.stack(values) for values in zip(*weights, strict=True)]
        on_device = self._jax.device_put(stacked)
        parts = [
            np.asarray(function(on_device, normalised(samples[at : at + _PREDICTION_BATCH])))
            for at in range(0, len(samples), _PREDICTION_BATCH)
        ]
        joined: NDArray[np.float32] = np.concatenate(parts, axis=1)
        return joined


def _places(variables: Sequence[Any], some: Sequence[Any]) -> list[int]:
    """Where some of the variables stand among all."""
    places = {id(variable): place for place, variable in enumerate(variables)}
    return [places[id(variable)] for variable in some]


def _as_floats(np_: Any, samples: Any) -> Any:
    """As `capc.data.datasets.normalised`, on the device."""
    values = samples.astype(np_.float32)
    return values / np.float32(255) if samples.dtype == np.uint8 else values


def _orders(
    shards: Sequence[Indices], generators: Sequence[np.random.Generator], batch: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Each party's examples of one epoch, (steps, parties, batch), and which steps it takes.

    As in a process of its own, the last, incomplete batch is left out.
    """
    steps = [len(shard) // batch for shard in shards]
    orders = np.zeros((max(steps), len(shards), batch), dtype=np.int32)
    for party, (shard, generator, count) in enumerate(zip(shards, generators, steps, strict=True)):
        chosen = shard[generator.permutation(len(shard))[: count * batch]]
        orders[:count, party] = chosen.reshape(count, batch)
    return orders, np.arange(max(steps))[:, None] < np.array(steps)
