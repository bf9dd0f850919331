"""Training: the same bits whatever came before, the published schedules, exact freezing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Int64
from capc.graph.float_reference import evaluate_float
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_tensorflow
from capc.learning.architectures import build_model, model_types
from capc.learning.experiment import Training
from capc.learning.optimizers import optimizer_for
from capc.learning.training import Trainer, trainer_for
from capc.learning.weights import LearningRate, fresh_weights, load_weights, save_weights

Float32 = NDArray[np.float32]

SHAPE = (12, 12, 1)
SHORT = Training(optimizer="adam", learning_rate=0.01, epochs=2, batch_size=16, weight_decay=1e-4)


def made(count: int = 64, seed: int = 0) -> tuple[Float32, Int64]:
    """Images whose class is the quadrant of their bright spot."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, count)
    images = generator.uniform(0.0, 0.4, (count, *SHAPE)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = 6 * (label // 2), 6 * (label % 2)
        image[row + 1 : row + 5, column + 1 : column + 5] += 0.6
    return images, labels.astype(np.int64)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return trainer_for("vgg-5:2", (16, 16, 1), 4, SHORT)


def padded(images: Float32) -> Float32:
    return np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))


def test_training_does_not_depend_on_what_came_before(trainer: Trainer) -> None:
    images, labels = made()
    trainer.fit(padded(images), labels, seed=5)
    first = trainer.weights()
    trainer.fit(padded(images[:20]), labels[:20], seed=6)
    other = trainer.weights()
    trainer.fit(padded(images), labels, seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(first, trainer.weights(), strict=True))
    assert not np.array_equal(first[0], other[0])


def test_it_learns() -> None:
    trainer = Trainer(
        "vgg-5:4", (16, 16, 1), 4, Training(optimizer="adam", learning_rate=0.01, epochs=6)
    )
    images, labels = made(256)
    trainer.fit(padded(images), labels, seed=1)
    images, labels = made(100, seed=9)
    assert (trainer.logits(padded(images)).argmax(axis=1) == labels).mean() > 0.9


def test_fewer_examples_than_a_batch_still_train(trainer: Trainer) -> None:
    images, labels = made(5)
    trainer.fit(padded(images), labels, seed=1)
    assert np.all(np.isfinite(trainer.logits(padded(images))))


def test_divergence_is_an_error() -> None:
    trainer = Trainer("vgg-5:1", (16, 16, 1), 4, Training(learning_rate=1e30, epochs=2))
    images, labels = made()
    with pytest.raises(ModelError, match=r"diverged; lower training\.learning_rate"):
        trainer.fit(padded(images), labels, seed=1)


def test_weights_survive_the_disk(trainer: Trainer, tmp_path: Path) -> None:
    images, labels = made()
    trainer.fit(padded(images), labels, seed=3)
    expected = trainer.logits(padded(images))
    save_weights(trainer.weights(), tmp_path / "w.npz")
    trainer.fit(padded(images), labels, seed=4)
    trainer.set_weights(load_weights(tmp_path / "w.npz"))
    assert np.array_equal(trainer.logits(padded(images)), expected)
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_weights(tmp_path / "bad.npz")


def test_features_go_into_the_last_layer(trainer: Trainer) -> None:
    images = padded(made(3)[0])
    features = trainer.features(images)
    kernel, bias = trainer.weights()[-2:] if trainer.weights()[-1].ndim == 1 else (None, None)
    last = trainer.model.layers[-1]
    kernel, bias = last.kernel.numpy(), last.bias.numpy()
    assert np.allclose(features @ kernel + bias, trainer.logits(images), atol=1e-5)


@pytest.mark.parametrize("model_type", ["vgg-5:2", "resnet-8:2"])
def test_a_frozen_model_gives_the_same_logits(model_type: str, tmp_path: Path) -> None:
    trainer = Trainer(model_type, (16, 16, 1), 4, SHORT)
    images, labels = made(32)
    trainer.fit(padded(images), labels, seed=2)
    trainer.freeze(tmp_path / "0.pb")
    network = import_network(tmp_path / "0.pb", "import/input:0", "import/output/BiasAdd:0")
    expected = trainer.logits(padded(images))
    assert np.allclose(evaluate_float(network, padded(images)), expected, atol=1e-4)


def test_depths_are_what_the_names_say() -> None:
    keras = load_tensorflow().keras
    for name in model_types():
        kind, _, depth = name.partition("-")
        if kind not in ("vgg", "resnet"):
            continue
        layers = build_model(f"{name}:1", (32, 32, 3), 10).layers
        weighted = [
            layer
            for layer in layers
            if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
            and not layer.name.endswith("shortcut")
        ]
        absent = 2 if kind == "vgg" and int(depth) > 7 else 0  # of the published dense layers
        assert len(weighted) == int(depth) - absent, name
    assert build_model("vgg-19:1", (28, 28, 1), 10).output_shape == (
        None,
        10,
    )  # five pools are many


def test_first_weights_keep_biases_and_bound_kernels() -> None:
    built = [np.zeros((3, 3, 2, 4), np.float32), np.ones(4, np.float32)]
    kernel, rest = fresh_weights(built, np.random.default_rng(1))
    limit = np.sqrt(6 / (9 * 2 + 9 * 4))
    assert np.array_equal(rest, built[1])
    assert kernel.shape == (3, 3, 2, 4)
    assert 0.5 * limit < np.abs(kernel).max() <= limit


def rates(training: Training) -> list[float]:
    learning_rate = LearningRate(training)
    return [learning_rate.at(epoch) for epoch in range(training.epochs)]


def test_the_rate_falls_where_the_loss_stays() -> None:
    learning_rate = LearningRate(Training(learning_rate=1.0, epochs=60, schedule="plateau"))
    losses = [2.0, 1.0, *([1.0] * 5), 0.5, *([0.49999] * 22)]
    found = []
    for epoch, loss in enumerate(losses):
        found.append(learning_rate.at(epoch))
        learning_rate.heard(loss)
    # the last gain is at epoch 7; then eleven epochs without one, and eleven more
    assert found[:19] == [1.0] * 19
    assert np.allclose(found[19:], 0.1)
    assert learning_rate.at(30) == pytest.approx(0.01)


def test_rates_follow_the_published_schedule() -> None:
    found = rates(Training(learning_rate=1.0, epochs=20, schedule="steps"))
    assert found[:10] == [1.0] * 10
    assert np.allclose(found[10:15], 0.1)
    assert np.allclose(found[15:18], 0.01)
    assert np.allclose(found[18:], 0.001)
    assert rates(Training(learning_rate=0.3, epochs=2, schedule="constant")) == [0.3, 0.3]
    cosine = rates(Training(learning_rate=1.0, epochs=4, schedule="cosine"))
    assert np.allclose(cosine, [1.0, 0.853553, 0.5, 0.146447], atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_optimizers_against_keras(name: Literal["sgd", "adam"]) -> None:
    tf = load_tensorflow()
    start = np.array([1.0, -2.0, 0.5], np.float32)
    ours, theirs = tf.Variable(start), tf.Variable(start)
    optimizer = optimizer_for(tf, Training(optimizer=name, momentum=0.9), [ours])
    reference = (
        tf.keras.optimizers.SGD(0.1, momentum=0.9)
        if name == "sgd"
        else tf.keras.optimizers.Adam(0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    )
    for repeat in range(2):
        optimizer.reset()
        for step in range(5):
            optimizer.apply([ours * (step + 1)], 0.1)
            if repeat == 0:
                reference.apply_gradients([(theirs * (step + 1), theirs)])
        if repeat == 0:
            first = ours.numpy()
            assert np.allclose(first, theirs.numpy(), atol=1e-5)
            ours.assign(start)
    assert np.allclose(ours.numpy(), first, atol=1e-6)
