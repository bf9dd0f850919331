"""Graphs at random as programs for TensorFlow 1 build them, operation by operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from random_draws import Random, chosen, coin, number

from capc.graph.tensorflow.loader import load_tensorflow

Grow = Callable[[Random, Any], Any]

tf: Any = load_tensorflow()
v1 = tf.compat.v1
raw = tf.raw_ops


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph with constants for weights, and its tensors."""

    graph: Any
    images: Any
    output: Any
    logits: Any


def tf1_graph(random: Random) -> Graph:
    """A classifier; the first axis of its placeholder is open, or four."""
    height, width, channels = (number(random, *ends) for ends in ((5, 9), (5, 9), (1, 3)))
    batch = chosen(random, [None, None, None, 4, 1])
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, (batch, height, width, channels), name="images")
        x = images
        for _ in range(number(random, 2, 6)):
            x = chosen(random, _GROWTHS.get(x.shape.rank, _ANY))(random, x)
        if x.shape.rank != 2 or coin(random):
            x = _flat(random, x)
        logits = _ended(random, _matmul(random, x, number(random, 2, 5)))
        output = chosen(random, [tf.identity, tf.nn.softmax, tf.nn.log_softmax])(logits)
        output = tf.identity(output, name="scores")
    return Graph(graph, images, output, logits)


def _weights(random: Random, *shape: int) -> Any:
    wide = np.sqrt(2 / max(math.prod(shape[:-1]), 1))
    return tf.constant(random.normal(0, wide, shape).astype(np.float32))


def _values(random: Random, *shape: int) -> Any:
    return tf.constant(random.normal(0, 0.5, shape).astype(np.float32))


def _flat(random: Random, x: Any) -> Any:
    size = int(np.prod(x.shape[1:]))
    ways = [
        lambda: tf.reshape(x, [-1, size]),
        lambda: tf.reshape(x, tf.stack([tf.shape(x)[0], size])),
        lambda: tf.reshape(x, tf.concat([tf.shape(x)[:1], [-1]], 0)),
        lambda: tf.reshape(x, [tf.shape(x)[0], -1]),
    ]
    if x.shape[0] is not None:
        ways.append(lambda: tf.reshape(x, [x.shape[0], size]))
    return tf.ensure_shape(chosen(random, ways)(), [x.shape[0], size])


def _matmul(random: Random, x: Any, width: int) -> Any:
    depth = int(x.shape[-1])
    if coin(random):
        y = tf.matmul(x, _weights(random, width, depth), transpose_b=True)
    else:
        y = tf.matmul(x, _weights(random, depth, width))
    return _biased(random, y) if coin(random) else y


def _ended(random: Random, logits: Any) -> Any:
    """Logits as they are, or under another shape of the same numbers."""
    width = int(logits.shape[-1])
    ways = [
        lambda: logits,
        lambda: logits,
        lambda: tf.reshape(logits, [-1, width]),
        lambda: tf.squeeze(tf.reshape(logits, [-1, 1, 1, width]), [1, 2]),
        lambda: logits[..., :width],
    ]
    return chosen(random, ways)()


def _biased(random: Random, x: Any) -> Any:
    offset = _values(random, int(x.shape[-1]))
    ways = [
        lambda: tf.nn.bias_add(x, offset),
        lambda: x + offset,
        lambda: offset + x,
        lambda: x - offset,
        lambda: offset - x,
        lambda: v1.add_n([x, tf.ensure_shape(tf.broadcast_to(offset, tf.shape(x)), x.shape)]),
        lambda: raw.Add(x=x, y=offset),
    ]
    return chosen(random, ways)()


def _scaled(random: Random, x: Any) -> Any:
    factor = _values(random, int(x.shape[-1]))
    ways = [lambda: x * factor, lambda: x / 1.7, lambda: -x, lambda: factor * x, lambda: 0.3 * x]
    return chosen(random, ways)()


def _activated(random: Random, x: Any) -> Any:
    ways = [
        tf.nn.relu,
        tf.nn.relu,
        tf.nn.relu6,
        tf.nn.elu,
        tf.nn.selu,
        tf.nn.sigmoid,
        tf.nn.tanh,
        tf.nn.softplus,
        tf.nn.swish,
        tf.nn.softsign,
        tf.abs,
        tf.square,
        tf.sign,
        lambda y: tf.nn.leaky_relu(y, 0.2),
        lambda y: tf.nn.leaky_relu(y, 0.05),
        lambda y: tf.maximum(y, 0.0),
        lambda y: tf.maximum(0.1 * y, y),
        lambda y: tf.minimum(tf.maximum(y, 0.0), 1.0),
        lambda y: tf.clip_by_value(y, -1.0, 1.0),
        lambda y: tf.pow(y, 2.0),
        lambda y: y * y,
        lambda y: tf.nn.gelu(y, approximate=True),
        lambda y: y * tf.nn.relu6(y + 3.0) / 6.0,
        lambda y: tf.cast(y > 0.1, tf.float32),
    ]
    return chosen(random, ways)(x)


def _conv(random: Random, x: Any) -> Any:
    height, width, depth = (int(size) for size in x.shape[1:])
    rows, columns = (number(random, 1, min(side, 4)) for side in (height, width))
    filters = number(random, 1, 5)
    stride = number(random, 1, 2)
    kind = number(random, 0, 4)
    if kind == 0:
        kernel = _weights(random, rows, columns, depth, 2)
        padding = chosen(random, ["SAME", "VALID"])
        return v1.nn.depthwise_conv2d_native(x, kernel, [1, stride, stride, 1], padding)
    kernel = _weights(random, rows, columns, depth, filters)
    if kind == 1:
        margins = [[0, 0], [1, 2], [0, 1], [0, 0]]
        return v1.nn.conv2d(x, kernel, [1, stride, stride, 1], padding=margins)
    if kind == 2:
        return v1.nn.conv2d(x, kernel, 1, padding="SAME", dilations=[1, 2, 2, 1])
    if kind == 3:
        return tf.nn.atrous_conv2d(x, kernel, 2, "SAME")
    return v1.nn.conv2d(x, kernel, stride, padding=chosen(random, ["SAME", "VALID"]))


def _normalised(random: Random, x: Any) -> Any:
    size = int(x.shape[-1])
    variance = tf.constant(random.uniform(0.2, 3, size).astype(np.float32))
    others = [_values(random, size) for _ in range(3)]
    kind = chosen(random, [raw.FusedBatchNorm, raw.FusedBatchNormV2, raw.FusedBatchNormV3, None])
    if kind is None:
        return tf.nn.batch_normalization(x, others[0], variance, others[1], others[2], 1e-3)
    fields = dict(zip(("scale", "offset", "mean"), others, strict=True))
    epsilon = chosen(random, [1e-4, 1e-3])  # the operation's default, and Keras's
    return kind(x=x, variance=variance, is_training=False, epsilon=epsilon, **fields)[0]


def _channels_first(random: Random, x: Any) -> Any:
    """An operation on (batch, channels, height, width), as far as it runs on a processor."""
    first = tf.transpose(x, [0, 3, 1, 2])
    size = int(x.shape[-1])
    if coin(random):
        y = tf.nn.bias_add(first, _values(random, size), data_format="NCHW")
    else:
        variance = tf.constant(random.uniform(0.2, 3, size).astype(np.float32))
        mean, scale, offset = (_values(random, size) for _ in range(3))
        fields = {"x": first, "scale": scale, "offset": offset, "mean": mean, "variance": variance}
        y = raw.FusedBatchNormV3(**fields, is_training=False, data_format="NCHW")[0]
    # Back at once: TensorFlow's own optimiser mistakes the layout of a convolution that follows.
    return tf.transpose(y, [0, 2, 3, 1])


def _pool(random: Random, x: Any) -> Any:
    height, width = (int(size) for size in x.shape[1:3])
    window = [number(random, 1, min(side, 3)) for side in (height, width)]
    kind = chosen(random, [tf.nn.max_pool2d, tf.nn.avg_pool2d])
    return kind(x, window, number(random, 1, 2), chosen(random, ["SAME", "VALID"]))


def _reduced(random: Random, x: Any) -> Any:
    kind = chosen(random, [tf.reduce_mean, tf.reduce_mean, tf.reduce_sum, tf.reduce_max])
    axes = chosen(random, [[1, 2], [1], [-1], [2, 3], [1, -2]])
    return kind(x, axes, keepdims=coin(random))


def _padded(random: Random, x: Any) -> Any:
    margins = [[0, 0], *([number(random, 0, 2) for _ in range(2)] for _ in x.shape[1:])]
    margins[-1] = [0, 0]  # TensorFlow cannot run a convolution after a pad of channels
    ways = [
        lambda: tf.pad(x, margins),
        lambda: raw.Pad(input=x, paddings=margins),
        lambda: raw.PadV2(input=x, paddings=margins, constant_values=0.0),
        lambda: tf.pad(x, margins, constant_values=chosen(random, [0.0, 0.5])),
        lambda: tf.pad(x, [[0, 0], *([1, 1] for _ in x.shape[1:])], "SYMMETRIC"),
    ]
    return chosen(random, ways)()


def _moved(random: Random, x: Any) -> Any:
    rank = x.shape.rank
    last = int(x.shape[-1])
    order = [0, *(1 + random.permutation(rank - 1))]
    size = int(x.shape[1])
    ways: list[Callable[[], Any]] = [
        lambda: tf.transpose(x, [int(axis) for axis in order]),
        lambda: x[:, ::-1],
        lambda: x[:, ::2],
        lambda: x[..., :1],
        lambda: x[:, max(size - 3, 0) :],
        lambda: x[:, tf.newaxis, ..., -1],
        lambda: x[:, :, tf.newaxis],
        lambda: tf.squeeze(tf.expand_dims(x, -1), [-1]),
        lambda: tf.concat([x, 2 * x], chosen(random, [1, -1])),
        lambda: tf.concat(tf.split(x, [1, last - 1], -1)[::-1], -1) if last > 1 else x,
        lambda: tf.gather(x, [0, size - 1], axis=1),
        lambda: tf.reverse(x, [1]),
        lambda: tf.tile(x, [1, 2, *[1] * (rank - 2)]),
        lambda: tf.stack([x, tf.nn.relu(x)], axis=chosen(random, [1, -1])),
        lambda: tf.slice(x, [0, size - 1, *[0] * (rank - 2)], [-1] * rank),
    ]
    return chosen(random, ways)()


def _residual(random: Random, x: Any) -> Any:
    other = _activated(random, _scaled(random, x))
    return chosen(random, [tf.add, tf.add, tf.subtract, tf.maximum, tf.multiply])(x, other)


def _dense(random: Random, x: Any) -> Any:
    return _matmul(random, x, number(random, 3, 11))


_ANY: tuple[Grow, ...] = (
    *(_activated, _activated, _biased, _scaled, _moved, _padded, _residual),
    *(_flat, _reduced),
)
_GROWTHS: dict[int, tuple[Grow, ...]] = {
    2: (_activated, _activated, _biased, _scaled, _moved, _residual, _dense, _dense),
    3: (_activated, _biased, _scaled, _moved, _padded, _flat, _residual),
    4: (*_ANY, _conv, _conv, _conv, _conv, _normalised, _normalised, _channels_first, _pool, _pool),
}
