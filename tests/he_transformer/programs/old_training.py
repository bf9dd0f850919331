# ruff: noqa: T201, PTH118  a user's program prints, and knows no pathlib
"""Trains a small network on made data as programs for TensorFlow 1.14 do, and saves it frozen."""

import argparse
import os
import random
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.keras import backend, losses
from tensorflow.keras.layers import (
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
)
from tensorflow.keras.models import Model
from tensorflow.keras.optimizers import SGD, Adam
from tensorflow.python.framework import graph_util

parser = argparse.ArgumentParser()
parser.add_argument("--model", choices=["cryptonets", "cryptonets-relu", "mlp"])
parser.add_argument("--folder")
FLAGS = parser.parse_args()


def activate(y: Any) -> Any:
    """The activation of the model asked for."""
    if FLAGS.model == "cryptonets":
        return tf.keras.layers.Lambda(lambda v: v * v)(y)
    return Activation("relu")(y)


def network(x: Any) -> Any:
    """A convolution, a pool, and two dense layers."""
    y = activate(Conv2D(3, 3, strides=2, padding="same", name="conv")(x))
    pool = MaxPooling2D if FLAGS.model == "mlp" else AveragePooling2D
    y = Flatten()(pool(2, strides=2)(y))
    y = activate(Dense(8, name="hidden")(y))
    return Dense(3, name="output")(y)


def loss(labels: Any, logits: Any) -> Any:
    """Cross entropy of logits."""
    return losses.categorical_crossentropy(labels, logits, from_logits=True)


generator = np.random.default_rng(0)
classes = generator.integers(0, 3, 300)
images = generator.normal(0, 0.1, (300, 8, 8, 1)).astype(np.float32)
images[np.arange(300), classes * 2, :, 0] += 1.0
labels = tf.keras.utils.to_categorical(classes, 3)

# Keras 2 draws first weights by `random` and shuffles by NumPy: some draws train to chance.
tf.set_random_seed(1)
random.seed(0)
np.random.seed(0)
x = Input(shape=(8, 8, 1), name="input")
model = Model(inputs=x, outputs=network(x))
optimizer = Adam(lr=0.01) if FLAGS.model == "mlp" else SGD(lr=0.02, momentum=0.9)
model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
model.fit(images, labels, epochs=10, batch_size=30, verbose=0)
print("accuracy", model.evaluate(images, labels, verbose=0)[1])

session = tf.compat.v1.keras.backend.get_session()
assert session is backend.get_session()
weights = session.run(model.trainable_weights)
before = model.predict(images[:5])

# The trained weights in a fresh graph, as a checkpoint and frozen.
tf.reset_default_graph()
backend.clear_session()
x = Input(shape=(8, 8, 1), name="input")
again = Model(inputs=x, outputs=network(x))
session = backend.get_session()
session.run(tf.compat.v1.global_variables_initializer())
again.set_weights(weights)

stem = os.path.join(FLAGS.folder, FLAGS.model)
tf.io.write_graph(session.graph_def, FLAGS.folder, f"{FLAGS.model}.pbtxt")
tf.compat.v1.train.Saver().save(session, f"{stem}.ckpt")
frozen = tf.graph_util.remove_training_nodes(
    graph_util.convert_variables_to_constants(session, session.graph_def, ["output/BiasAdd"])
)
with tf.gfile.GFile(f"{stem}.pb", "wb") as file:
    file.write(frozen.SerializeToString())
np.savez(f"{stem}.npz", images=images[:5], logits=before)
