"""The models that run encrypted, and one query of each between two processes.

The models are random but for two things, so that their ranges and labels mean something without an
hour of training: batch statistics are those of MNIST images, and the last layer is fitted to their
labels by ridge regression. Time and bytes depend on the weights through the ring alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.bench.two_parties import run_encrypted
from capc.data.datasets import load_dataset, normalised
from capc.errors import ConfigError
from capc.files import REPOSITORY
from capc.fixed_point import MAX_LOGIT, Float64
from capc.gc.lookup_layers import LookupLayer
from capc.graph.calibration import Calibration, calibrated
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.prepared import save_network
from capc.graph.ring_choice import to_ring
from capc.graph.tensorflow.importer import network_of_keras
from capc.graph.tensorflow.loader import load_keras, load_tensorflow
from capc.he.parameters import EncryptionParameters
from capc.inference.arrangement import arranged
from capc.inference.choice import GARBLED, NonlinearChoice
from capc.inference.costs import check_encrypted
from capc.inference.protocols import functions_of
from capc.inference.reference import evaluate
from capc.learning.architectures import build_model

CONFIGS = ("config/fast.json", "config/deep.json")
INPUT_RANGE = (0.0, 1.0)
_SEED = 1
_FITTED_IMAGES = 512
_EXAMPLES = 128  # of the training images, for calibration
_RIDGE = 10.0  # times the mean square of a feature
_GREY, _COLOUR = (28, 28, 1), (32, 32, 3)


def _architecture(name: str, shape: tuple[int, int, int]) -> Callable[[], Any]:
    return lambda: build_model(name, shape, 10)


def _mobilenet() -> Any:
    return load_keras().applications.MobileNetV2(
        _COLOUR, alpha=0.35, weights=None, classes=10, classifier_activation=None
    )


def _gelu() -> Any:
    """CryptoNets with GELU: smooth activations inside a classifier."""
    keras = load_keras()
    return keras.Sequential(
        [
            keras.Input(_GREY),
            keras.layers.Conv2D(5, 5, strides=2, padding="same", activation="gelu"),
            keras.layers.Flatten(),
            keras.layers.Dense(100, activation="gelu"),
            keras.layers.Dense(10),
        ]
    )


def _resnet_10_relu6() -> Any:
    """ResNet-10 with Relu6 for every ReLU, which bounds all that follows."""
    layers = load_keras().layers

    def copied(layer: Any) -> Any:
        if isinstance(layer, layers.ReLU):
            return layers.ReLU(max_value=6.0, name=layer.name)
        return type(layer).from_config(layer.get_config())

    plain = build_model("resnet-10", _COLOUR, 10)
    return load_keras().models.clone_model(plain, clone_function=copied)


MODELS: dict[str, Callable[[], Any]] = {
    "cryptonets-relu": _architecture("cryptonets-relu", _GREY),
    "cryptonets": _architecture("cryptonets", _GREY),
    "mlp": _architecture("mlp", _GREY),
    "cryptonets-gelu": _gelu,
    "mobilenet-v2-0.35": _mobilenet,
    "resnet-8": _architecture("resnet-8", _COLOUR),
    "vgg-7": _architecture("vgg-7", _COLOUR),
    "resnet-10": _architecture("resnet-10", _COLOUR),
    "resnet-10-relu6": _resnet_10_relu6,
    "resnet-8-calibrated": _architecture("resnet-8", _COLOUR),
    "vgg-7-calibrated": _architecture("vgg-7", _COLOUR),
    "resnet-10-calibrated": _architecture("resnet-10", _COLOUR),
}


@dataclass(frozen=True)
class ModelRow:
    """One encrypted query; bytes are those of both directions, headers included.

    `agrees` is True where all logits of all `queries` encrypted images equal the plain reference.
    `images` plain ones are compared with TensorFlow: how many labels are equal, how many different
    labels there are among them, and the largest distance of a logit. Seconds are medians over the
    queries, at the querying party (set-up happens once), bytes those of one query, memory the
    peak of the answering party's process.
    """

    model: str
    layers: int
    non_linear_values: int
    and_gates: int
    ring_bits: int
    fraction_bits: int
    config: str
    queries: int
    agrees: bool
    images: int
    labels_equal: int
    distinct_labels: int
    max_logit: float
    max_logit_error: float
    setup_s: float
    offline_s: float
    online_s: float
    setup_bytes: int
    offline_bytes: int
    online_bytes: int
    answering_peak_mib: int
    nonlinear: str


def cryptonets() -> Network:
    """CryptoNets with squares, its last layer fitted to MNIST."""
    return network_of_keras(built("cryptonets"), "cryptonets")


def measure_model(
    name: str, images: int, queries: int, choice: NonlinearChoice = GARBLED
) -> ModelRow:
    """Import, choose ring and parameters, compare with TensorFlow, run encrypted queries."""
    model = built(name)
    network = network_of_keras(model, name)
    batch = resized(load_dataset("mnist").test_images[:images], model)
    expected = np.asarray(model.predict(batch.astype(np.float32), verbose=0), dtype=np.float64)
    drift = float(np.abs(evaluate_float(network, batch[:1]) - expected[:1]).max())
    if drift > 1e-3 * max(1.0, float(np.abs(expected).max())):
        raise ConfigError(f"{name}: the imported model is {drift:g} away from TensorFlow's")
    network = as_encrypted(name, network, model)
    integers = to_ring(network, INPUT_RANGE, MAX_LOGIT)
    config = fitting_config(integers)
    logits = evaluate(integers, batch)
    reals = integers.model_logits(logits)
    with tempfile.TemporaryDirectory(prefix="capc-models-") as folder:
        prepared = Path(folder) / "model.npz"
        save_network(network, prepared)
        run = run_encrypted(
            integers, prepared, encryption_parameters(config), batch[:queries], choice=choice
        )
    values, gates = _nonlinear_work(integers, choice)
    return ModelRow(
        model=name,
        layers=len(integers.layers),
        non_linear_values=values,
        and_gates=gates,
        ring_bits=integers.fixed_point.ring_bits,
        fraction_bits=integers.fixed_point.fraction_bits,
        config=config,
        queries=len(run.logits),
        agrees=bool(np.array_equal(run.logits, logits[:queries])),
        images=images,
        labels_equal=int(np.sum(reals.argmax(axis=1) == expected.argmax(axis=1))),
        distinct_labels=len(set(expected.argmax(axis=1).tolist())),
        max_logit=float(np.abs(expected).max()),
        max_logit_error=float(np.abs(reals - expected).max()),
        setup_s=run.costs.setup.seconds,
        offline_s=run.costs.offline.seconds,
        online_s=run.costs.online.seconds,
        setup_bytes=run.costs.setup.traffic_bytes,
        offline_bytes=run.costs.offline.traffic_bytes,
        online_bytes=run.costs.online.traffic_bytes,
        answering_peak_mib=run.answering_peak_mib,
        nonlinear=choice.way,
    )


def as_encrypted(name: str, network: Network, model: Any) -> Network:
    """The imported network as it runs: calibrated with training images where its name says so."""
    if not name.endswith("-calibrated"):
        return network
    images = resized(load_dataset("mnist").train_images[:_EXAMPLES], model)
    with tempfile.TemporaryDirectory(prefix="capc-models-") as folder:
        examples = Path(folder) / "examples.npy"
        np.save(examples, images.astype(np.float32))
        return calibrated(network, Calibration(examples))


def built(name: str) -> Any:
    """A Keras model of the table, random but for its statistics and its last layer."""
    load_keras().utils.set_random_seed(_SEED)
    model = MODELS[name]()
    data = load_dataset("mnist")
    _fit(model, resized(data.train_images[:_FITTED_IMAGES], model), data.train_labels)
    return model


def resized(images: Any, model: Any) -> Float64:
    """Bytes (n, H, W, 1) as pixels in [0, 1] of the size and channels that the model takes."""
    height, width, channels = model.input_shape[1:]
    pixels = normalised(images)
    if pixels.shape[1:3] != (height, width):
        pixels = load_tensorflow().image.resize(pixels, (height, width)).numpy()
    return np.clip(np.repeat(np.asarray(pixels, dtype=np.float64), channels, axis=3), 0, 1)


def _fit(model: Any, images: Float64, labels: Any) -> None:
    """Batch statistics from one pass over `images`, then the last layer by ridge regression."""
    keras = load_keras()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images.astype(np.float32), training=True)
    last = model.layers[-1]
    features = keras.Model(model.inputs, last.input).predict(images.astype(np.float32), verbose=0)
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    wanted = np.eye(last.units)[labels[: len(images)]] - 1 / last.units
    ridge = _RIDGE * float(np.mean(centred**2)) * np.eye(centred.shape[1])
    weight = np.linalg.solve(centred.T @ centred + ridge, centred.T @ wanted)
    last.set_weights([weight, -mean @ weight])


def encryption_parameters(config: str) -> EncryptionParameters:
    """A shipped file."""
    return EncryptionParameters.from_json(str(REPOSITORY / config))


def fitting_config(network: QuantizedNetwork) -> str:
    """The first of CONFIGS under which the network runs, exactly and hiding its weights."""
    for config in CONFIGS[:-1]:
        try:
            check_encrypted(network, encryption_parameters(config))
        except ConfigError:
            continue
        return config
    check_encrypted(network, encryption_parameters(CONFIGS[-1]))
    return CONFIGS[-1]


def _nonlinear_work(network: QuantizedNetwork, choice: NonlinearChoice) -> tuple[int, int]:
    """Values that pass through circuits or look-ups, and the AND gates of all circuits."""
    evaluated = arranged(network, choice)
    values = gates = 0
    for name, function in functions_of(evaluated, choice.transfers(evaluated)).items():
        count = int(np.prod(evaluated.layer(name).shape))
        values += count
        gates += 0 if isinstance(function, LookupLayer) else count * function.and_count
    return values, gates
