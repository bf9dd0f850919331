"""Training of private models, the same bits whatever the number of workers.

A process trains on one thread with deterministic operations. First weights and the order of the
examples come from a seed through NumPy, never from what the process trained before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.tensorflow.export import save_keras
from capc.graph.tensorflow.loader import load_keras, load_tensorflow
from capc.learning.architectures import build_model
from capc.learning.experiment import Training
from capc.learning.optimizers import optimizer_for
from capc.learning.weights import LearningRate, Weights, fresh_weights

Images = NDArray[np.float32]

_PREDICTION_BATCH = 500


@lru_cache(maxsize=8)
def trainer_for(
    model_type: str,
    image_shape: tuple[int, ...],
    classes: int,
    training: Training,
    multi_label: bool = False,
) -> Trainer:
    """One compiled training step per architecture and process, used for party after party."""
    return Trainer(model_type, image_shape, classes, training, multi_label)


@lru_cache(maxsize=1)
def single_threaded_tensorflow() -> Any:
    """TensorFlow with one thread per process, deterministic. Workers give the parallelism."""
    tf = load_tensorflow()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
    except RuntimeError:
        # Somebody in this process has already run TensorFlow: its threads stay as they are.
        tf.config.experimental.enable_op_determinism()
    return tf


class Trainer:
    """A model, its optimizer and its compiled epoch.

    `multi_label`: a label is a set of classes as a number, bit 2^j for class j, and each logit is
    trained by itself, under a sigmoid.
    """

    def __init__(
        self,
        model_type: str,
        image_shape: tuple[int, ...],
        classes: int,
        training: Training,
        multi_label: bool = False,
    ) -> None:
        self._classes = classes
        self._multi_label = multi_label
        self._tf = single_threaded_tensorflow()
        self._training = training
        self._label = model_type
        self.model = build_model(model_type, image_shape, classes)
        self._built = [variable.numpy() for variable in self.model.variables]
        self._optimizer = optimizer_for(self._tf, training, self.model.trainable_variables)
        images = self._tf.TensorSpec((None, *image_shape), self._tf.float32)
        vector = self._tf.TensorSpec((None,), self._tf.int64)
        number = self._tf.TensorSpec((), self._tf.int64)
        rate = self._tf.TensorSpec((), self._tf.float32)
        self._epoch = self._tf.function(
            self._one_epoch, input_signature=[images, vector, vector, number, rate]
        )
        self._logits = self._tf.function(
            lambda batch: self.model(batch, training=False), input_signature=[images]
        )
        before = self.model.layers[-1].input
        features = load_keras().Model(self.model.inputs, before)
        self._features = self._tf.function(
            lambda batch: features(batch, training=False), input_signature=[images]
        )

    def fit(self, images: Images, labels: NDArray[np.int64], seed: int) -> None:
        """Train from fresh weights on images (n, H, W, C) in [0, 1] and labels (n,).

        The last, incomplete batch of an epoch is left out; another order follows. Raises
        ModelError where the weights are no longer finite.
        """
        generator = np.random.default_rng(seed)
        self.set_weights(fresh_weights(self._built, generator))
        self._optimizer.reset()
        batch = min(self._training.batch_size, len(labels))
        all_images, all_labels = self._tf.constant(images), self._tf.constant(labels)
        learning_rate = LearningRate(self._training)
        for epoch in range(self._training.epochs):
            order = generator.permutation(len(labels))[: len(labels) // batch * batch]
            rate = np.float32(learning_rate.at(epoch))
            loss = self._epoch(all_images, all_labels, order, np.int64(batch), rate)
            learning_rate.heard(float(loss))
        if not all(bool(np.all(np.isfinite(weight))) for weight in self.weights()):
            raise ModelError(
                f"training of {self._label} diverged; lower training.learning_rate, or set "
                "training.clip_norm"
            )

    def logits(self, images: Images) -> NDArray[np.float32]:
        """Logits (n, C) of images (n, H, W, C)."""
        return self._in_batches(self._logits, images)

    def features(self, images: Images) -> NDArray[np.float32]:
        """What goes into the last layer, (n, d)."""
        return self._in_batches(self._features, images)

    def weights(self) -> Weights:
        """The model's variables, in Keras's order."""
        return [variable.numpy() for variable in self.model.variables]

    def set_weights(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Put variables back in Keras's order."""
        for variable, value in zip(self.model.variables, weights, strict=True):
            variable.assign(value)

    def freeze(self, path: Path) -> None:
        """Write a frozen graph for the protocol, with the original's node names."""
        save_keras(self.model, self._label, path)

    def _one_epoch(self, images: Any, labels: Any, order: Any, batch: Any, rate: Any) -> Any:
        """All steps of an epoch; the mean of their losses."""
        tf = self._tf
        place, total = tf.zeros((), tf.int64), tf.zeros(())
        while place < tf.size(order, tf.int64):  # a loop in the graph: autograph turns it
            chosen = order[place : place + batch]
            total += self._step(tf.gather(images, chosen), tf.gather(labels, chosen), rate)
            place += batch
        return total * tf.cast(batch, tf.float32) / tf.cast(place, tf.float32)

    def _step(self, images: Any, labels: Any, rate: Any) -> Any:
        tf, training = self._tf, self._training
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            loss = tf.reduce_mean(self._losses(labels, logits))
        gradients = tape.gradient(loss, variables)
        if training.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, training.clip_norm)
        decay = training.weight_decay
        decayed = [g + decay * v for g, v in zip(gradients, variables, strict=True)]
        self._optimizer.apply(decayed, rate)
        return loss

    def _losses(self, labels: Any, logits: Any) -> Any:
        tf = self._tf
        if not self._multi_label:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        places = tf.range(self._classes, dtype=tf.int64)
        given = tf.bitwise.bitwise_and(tf.bitwise.right_shift(labels[:, None], places), 1)
        return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(given, tf.float32), logits)

    def _in_batches(self, function: Any, images: Images) -> NDArray[np.float32]:
        parts = [
            function(self._tf.constant(images[start : start + _PREDICTION_BATCH])).numpy()
            for start in range(0, len(images), _PREDICTION_BATCH)
        ]
        joined: NDArray[np.float32] = np.concatenate(parts)
        return joined
