"""Every architecture by name: those of `private_models`, VGG-5 to 19, ResNet-6 to 18.

VGG (Simonyan and Zisserman, ICLR 2015) and ResNet with basic blocks (He et al., CVPR 2016,
section 3.3) with batch normalisation, cut down as the paper's section 4 does: VGG-5 and VGG-7 have
4 and 6 convolutions, and VGG-11 to VGG-19 those of configurations A, B, D and E; all have one dense
layer. ResNet-n has (n - 2) / 2 blocks over four widths. A name may carry the first width, 64 unless
given: `resnet-8:16`.
"""

from __future__ import annotations

from typing import Any

from capc.errors import ConfigError
from capc.graph.tensorflow.loader import load_keras
from capc.learning.private_models import MODEL_TYPES, ImageShape
from capc.learning.private_models import build_model as build_private_model

WIDTH = 64

# Convolutions per stage, as multiples of the first width; a max pool follows each stage, as long as
# there is more than one pixel.
_VGG: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg-5": ((1,), (2,), (4,), (8,)),
    "vgg-7": ((1,), (2,), (4, 4), (8, 8)),
    "vgg-11": ((1,), (2,), (4,) * 2, (8,) * 2, (8,) * 2),
    "vgg-13": ((1,) * 2, (2,) * 2, (4,) * 2, (8,) * 2, (8,) * 2),
    "vgg-16": ((1,) * 2, (2,) * 2, (4,) * 3, (8,) * 3, (8,) * 3),
    "vgg-19": ((1,) * 2, (2,) * 2, (4,) * 4, (8,) * 4, (8,) * 4),
}

# Basic blocks per stage; the width doubles and the side halves from stage to stage.
_RESNET: dict[str, tuple[int, ...]] = {
    "resnet-6": (1, 1),
    "resnet-8": (1, 1, 1),
    "resnet-10": (1, 1, 1, 1),
    "resnet-12": (2, 1, 1, 1),
    "resnet-14": (2, 2, 1, 1),
    "resnet-16": (2, 2, 2, 1),
    "resnet-18": (2, 2, 2, 2),
}

BATCH_NORM_MOMENTUM = 0.9  # shards are small: Keras's 0.99 lags behind for hundreds of steps


def model_types() -> list[str]:
    """The names of all architectures."""
    return sorted([*MODEL_TYPES, *_VGG, *_RESNET])


def check_model_type(model_type: str) -> None:
    """Raise ConfigError unless `build_model` knows the name."""
    _parse(model_type)


def build_model(model_type: str, image_shape: ImageShape, num_classes: int) -> Any:
    """An untrained Keras model from images (n, H, W, C) in [0, 1] to logits (n, num_classes).

    Raises ConfigError for an unknown name.
    """
    name, width = _parse(model_type)
    if name in MODEL_TYPES:
        return build_private_model(name, image_shape, num_classes)
    if len(image_shape) != 3:
        raise ConfigError(
            f"{name} takes images (height, width, channels), and the data has samples of shape "
            f"{image_shape}; use the model dense, or conv1d for signals"
        )
    keras = load_keras()
    images = keras.Input(image_shape, name="input")
    values = _vgg(images, name, width) if name in _VGG else _resnet(images, name, width)
    logits = keras.layers.Dense(num_classes, name="output")(values)
    return keras.Model(images, logits, name=name.replace("-", "_"))


def _parse(model_type: str) -> tuple[str, int]:
    name, given, text = model_type.partition(":")
    if name not in model_types():
        raise ConfigError(f"models names '{name}'; known are {', '.join(model_types())}")
    if not given:
        return name, WIDTH
    if name in MODEL_TYPES:
        raise ConfigError(f"models names '{model_type}', but {name} has no width to choose")
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise ConfigError(f"models names '{model_type}'; its width must be from 1 to 1024")
    return name, int(text)


def _vgg(values: Any, name: str, width: int) -> Any:
    layers = load_keras().layers
    for stage, convolutions in enumerate(_VGG[name], start=1):
        for place, factor in enumerate(convolutions, start=1):
            label = f"conv{stage}_{place}"
            values = _convolution(values, width * factor, label)
            values = layers.ReLU(name=f"{label}_relu")(values)
        if min(values.shape[1:3]) > 1:
            values = layers.MaxPooling2D(2, name=f"pool{stage}")(values)
    return layers.Flatten(name="flatten")(values)


def _resnet(values: Any, name: str, width: int) -> Any:
    layers = load_keras().layers
    values = layers.ReLU(name="stem_relu")(_convolution(values, width, "stem"))
    for stage, blocks in enumerate(_RESNET[name]):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            values = _basic_block(values, width << stage, strides, f"block{stage + 1}_{block + 1}")
    side = int(values.shape[1])
    pooled = layers.AveragePooling2D(side, strides=side, name="pool")(values)
    return layers.Flatten(name="flatten")(pooled)


def _basic_block(values: Any, filters: int, strides: int, label: str) -> Any:
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where shapes differ."""
    layers = load_keras().layers
    first = layers.ReLU(name=f"{label}_relu1")(
        _convolution(values, filters, f"{label}_conv1", strides)
    )
    second = _convolution(first, filters, f"{label}_conv2")
    if strides != 1 or int(values.shape[-1]) != filters:
        values = _convolution(values, filters, f"{label}_shortcut", strides, size=1)
    total = layers.Add(name=f"{label}_add")([second, values])
    return layers.ReLU(name=f"{label}_relu2")(total)


def _convolution(values: Any, filters: int, label: str, strides: int = 1, size: int = 3) -> Any:
    """A convolution without bias and its batch normalisation."""
    layers = load_keras().layers
    values = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, name=label
    )(values)
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{label}_norm")(values)
