"""Keras classifiers at random, of the layers that people use, odd sizes included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from random_draws import Random, chosen, coin, number

from capc.graph.tensorflow.loader import load_keras

Grow = Callable[[Random, Any], Any]

keras: Any = load_keras()
L = keras.layers

_ACTIVATIONS = (
    *("relu", "relu", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "swish", "mish"),
    *("sigmoid", "tanh", "softplus", "softsign", "hard_sigmoid", "hard_swish", "exponential"),
    *("linear", "relu", "silu", "hard_tanh"),
)


def keras_model(random: Random) -> tuple[Any, Any]:
    """(model, logits): a model with weights at random, and the same without its last function."""
    shape = _shape(random)
    images = L.Input(shape) if random.random() < 0.8 else L.Input(batch_shape=(4, *shape))
    x = _before(random, images)
    for _ in range(number(random, 2, 6)):
        x = chosen(random, _GROWTHS[len(x.shape) - 1])(random, x)
    if len(x.shape) > 2:
        ends = [L.Flatten(), L.GlobalAveragePooling2D(), L.GlobalMaxPooling2D()]
        x = (chosen(random, ends) if len(x.shape) == 4 else L.Flatten())(x)
    if random.random() < 0.5:
        x = _dense(random, x)
    logits = L.Dense(number(random, 2, 5), use_bias=coin(random))(x)
    last = chosen(random, [None, None, "softmax", "log_softmax"])
    output = logits if last is None else L.Activation(last)(logits)
    model = keras.Model(images, output)
    _fill(random, model)
    return model, keras.Model(images, logits)


def _shape(random: Random) -> tuple[int, ...]:
    side = number(random, 5, 10)
    shapes = [(side, number(random, 5, 10), number(random, 1, 3))] * 6
    return tuple(chosen(random, [*shapes, (side, 3), (3 * side,)]))


def _before(random: Random, x: Any) -> Any:
    """What models do to pixels before the first layer."""
    kind = number(random, 0, 4)
    if kind == 0:
        return L.Rescaling(2.0, offset=-1.0)(x)
    if kind == 1:
        size = x.shape[-1]
        mean, variance = random.random(size), random.uniform(0.1, 2, size)
        return L.Normalization(axis=-1, mean=mean, variance=variance)(x)
    return x


def _fill(random: Random, model: Any) -> None:
    """Weights of the size that training gives; no statistic or offset is left at 0 or 1."""
    for variable in model.variables:
        size = variable.shape
        if not variable.dtype.startswith("float"):
            continue
        if "variance" in variable.path:
            variable.assign(random.uniform(0.2, 3, size))
        elif "gamma" in variable.path:
            variable.assign(random.normal(1, 0.5, size))
        elif len(size) > 1:
            wide = np.sqrt(2 / max(np.prod(size[:-1]), 1))
            variable.assign(random.normal(0, wide, size))
        else:
            variable.assign(random.normal(0, 0.3, size))


def _activation(random: Random, x: Any) -> Any:
    kind = number(random, 0, 5)
    if kind == 0:
        return L.LeakyReLU(negative_slope=float(random.uniform(0.01, 0.5)))(x)
    if kind == 1:
        cap = chosen(random, [None, 1.0, 6.0, 2.5])
        slope = chosen(random, [0.0, 0.0, 0.1])
        return L.ReLU(max_value=cap, negative_slope=slope)(x)
    if kind == 2:
        return L.PReLU(shared_axes=list(range(1, len(x.shape) - 1)) or None)(x)
    return L.Activation(chosen(random, _ACTIVATIONS))(x)


def _norm(random: Random, x: Any) -> Any:
    return L.BatchNormalization(
        scale=coin(random), center=coin(random), epsilon=chosen(random, [1e-3, 1e-5])
    )(x)


def _dropout(random: Random, x: Any) -> Any:
    kinds = [
        L.Dropout(0.3),
        L.GaussianNoise(0.1),
        L.GaussianDropout(0.2),
        L.ActivityRegularization(),
    ]
    return chosen(random, kinds)(x)


def _windows(random: Random, x: Any) -> dict[str, Any]:
    """Kernel, strides and dilation that fit the image of a 2-D layer."""
    height, width = x.shape[1:3]
    padding = chosen(random, ["same", "valid"])
    rows, columns = (number(random, 1, min(side, 4)) for side in (height, width))
    stride = number(random, 1, 2)
    fields: dict[str, Any] = {"kernel_size": (rows, columns), "padding": padding}
    if stride == 1 and padding == "same" and coin(random):
        fields["dilation_rate"] = number(random, 1, 2)
    else:
        fields["strides"] = stride
    return fields


def _conv(random: Random, x: Any) -> Any:
    channels = x.shape[-1]
    groups = chosen(random, [count for count in (1, 1, 2, 3) if channels % count == 0])
    filters = groups * number(random, 1, 4)
    kind = chosen(random, [None, "relu", "tanh"])
    fields = _windows(random, x)
    return L.Conv2D(filters, groups=groups, activation=kind, use_bias=coin(random), **fields)(x)


def _depthwise(random: Random, x: Any) -> Any:
    fields = _windows(random, x)
    return L.DepthwiseConv2D(depth_multiplier=number(random, 1, 2), **fields)(x)


def _separable(random: Random, x: Any) -> Any:
    return L.SeparableConv2D(number(random, 1, 5), **_windows(random, x))(x)


def _transposed(random: Random, x: Any) -> Any:
    return L.Conv2DTranspose(3, 2, strides=2)(x)


def _pool(random: Random, x: Any) -> Any:
    kind = chosen(random, [L.MaxPooling2D, L.AveragePooling2D])
    fields = _windows(random, x)
    strides = chosen(random, [None, 1, 2])
    return kind(fields["kernel_size"], strides=strides, padding=fields["padding"])(x)


def _residual(random: Random, x: Any) -> Any:
    join = chosen(
        random, [L.Add, L.Add, L.Concatenate, L.Subtract, L.Average, L.Maximum, L.Multiply]
    )
    if len(x.shape) == 4:
        y = L.Conv2D(x.shape[-1], 3, padding="same", activation="relu")(x)
    else:
        y = L.Dense(x.shape[-1], activation="relu")(x)
    return join()([x, _norm(random, y)])


def _excited(random: Random, x: Any) -> Any:
    channels = x.shape[-1]
    gate = L.Reshape((1, 1, channels))(L.GlobalAveragePooling2D()(x))
    return L.Multiply()([x, L.Dense(channels, activation="sigmoid")(gate)])


def _moved(random: Random, x: Any) -> Any:
    height, width, channels = x.shape[1:]
    margins = tuple((number(random, 0, 2), number(random, 0, 2)) for _ in range(2))
    moves = [
        L.ZeroPadding2D(margins),
        L.Permute((2, 1, 3)),
        L.Permute((3, 1, 2)),
        L.Reshape((width, height, channels)),
        L.Reshape((height * width, channels)),
        L.Reshape((-1, width * channels)),
        L.UpSampling2D((1, 2)),
    ]
    if min(height, width) > 2:
        moves.append(L.Cropping2D(((1, 0), (0, 1))))
    return chosen(random, moves)(x)


def _pooled_away(random: Random, x: Any) -> Any:
    kind = chosen(random, [L.GlobalAveragePooling2D, L.GlobalMaxPooling2D])
    return kind(keepdims=coin(random))(x)


def _dense(random: Random, x: Any) -> Any:
    kind = chosen(random, [None, "relu", "sigmoid", "tanh", "elu", "relu6"])
    return L.Dense(number(random, 3, 16), activation=kind, use_bias=coin(random))(x)


def _signal(random: Random, x: Any) -> Any:
    """A layer over (steps, channels)."""
    steps = x.shape[1]
    size = number(random, 1, min(steps, 4))
    layers = [
        L.Conv1D(number(random, 1, 4), size, activation="relu"),
        L.Conv1D(3, size, padding="causal"),
        L.Conv1D(3, size, padding="same", strides=2),
        L.Conv1D(3, size, padding="same", dilation_rate=2),
        L.SeparableConv1D(3, size),
        L.DepthwiseConv1D(size),
        L.MaxPooling1D(size),
        L.AveragePooling1D(size, padding="same"),
        L.ZeroPadding1D((1, 2)),
        L.UpSampling1D(2),
        L.Permute((2, 1)),
        L.GlobalAveragePooling1D(),
        L.GlobalMaxPooling1D(),
        L.Flatten(),
    ]
    return chosen(random, layers)(x)


def _vector(random: Random, x: Any) -> Any:
    layers = [L.Reshape((x.shape[-1], 1)), L.RepeatVector(2), L.UnitNormalization(), L.Flatten()]
    return chosen(random, layers)(x)


_ANY = (_activation, _activation, _norm, _dropout, _residual)
_GROWTHS: dict[int, tuple[Grow, ...]] = {
    1: (*_ANY, _dense, _dense, _dense, _vector),
    2: (*_ANY, _dense, _signal, _signal, _signal),
    3: (
        *(*_ANY, _conv, _conv, _conv, _conv, _depthwise, _separable, _transposed, _pool, _pool),
        *(_excited, _moved, _moved, _pooled_away),
    ),
}
