"""Every operation of he-transformer's list, over axes of every kind: (name, shape, function)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Make = Callable[[Any], Any]

ROWS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
ROW = np.array([0.5, -1.0, 2.0], np.float32)
COLUMN = np.array([[0.5], [-1.0], [2.0], [0.25]], np.float32)
IMAGE = (4, 5, 5, 2)
KERNEL = np.linspace(-1, 1, 3 * 3 * 2 * 3, dtype=np.float32).reshape(3, 3, 2, 3)
AXES: list[Any] = [0, 1, -1, -2, [0, 1]]


def _concat(axis: int) -> Make:
    return lambda x: tf.concat([x, 2 * x], axis)


def _concat_constant(axis: int) -> Make:
    return lambda x: tf.concat([ROWS, x], axis)


def _max(axis: Any) -> Make:
    return lambda x: tf.reduce_max(x, axis)


def _sum(axis: Any) -> Make:
    return lambda x: tf.reduce_sum(x, axis)


CASES: dict[str, tuple[tuple[int, ...], Make]] = {
    "add_row": ((4, 3), lambda x: x + ROW),
    "add_rows": ((4, 3), lambda x: x + ROWS),
    "add_column": ((4, 3), lambda x: COLUMN + x),
    "add_leading_axis": ((4, 3), lambda x: x + np.ones((2, 4, 3), np.float32)),
    "add_self_turned": ((4, 4), lambda x: x + tf.transpose(x)),
    "add_square_rows": ((4, 4), lambda x: x + np.arange(4, dtype=np.float32)),
    "add_square_column": ((4, 4), lambda x: x + np.arange(4, dtype=np.float32)[:, None]),
    "vector_add": ((4,), lambda x: x + np.arange(4, dtype=np.float32)),
    "avg_pool": (IMAGE, lambda x: tf.nn.avg_pool2d(x, 2, 2, "SAME")),
    "avg_pool_valid": (IMAGE, lambda x: tf.nn.avg_pool2d(x, 3, 1, "VALID")),
    "batch_norm": (
        IMAGE,
        lambda x: tf.compat.v1.nn.fused_batch_norm(
            x, [1.0, 2.0], [0.5, 0.0], [0.1, 0.2], [1.0, 4.0], is_training=False
        )[0],
    ),
    "bounded_relu": ((4, 3), lambda x: tf.nn.relu6(x * 10)),
    "bounded_relu_alone": ((4, 3), tf.nn.relu6),
    "broadcast_new_axis": ((4, 3), lambda x: tf.broadcast_to(x, [2, 4, 3])),
    "broadcast_batch": ((1, 3), lambda x: tf.broadcast_to(x, [4, 3])),
    "broadcast_last": ((4, 1), lambda x: tf.broadcast_to(x, [4, 3])),
    "tile_batch": ((4, 3), lambda x: tf.tile(x, [2, 1])),
    "tile_last": ((4, 3), lambda x: tf.tile(x, [1, 2])),
    **{f"concat_{axis}": ((4, 3), _concat(axis)) for axis in (0, 1, -1, -2)},
    **{f"concat_constant_{axis}": ((4, 3), _concat_constant(axis)) for axis in (0, 1)},
    "concat_relu_constant": ((4, 3), lambda x: tf.concat([tf.nn.relu(x), ROWS], 1)),
    "stack_0": ((4, 3), lambda x: tf.stack([x, -x], 0)),
    "stack_last": ((4, 3), lambda x: tf.stack([x, -x], -1)),
    "constant_alone": ((4, 3), lambda x: tf.constant(ROWS)),
    "convolution": (IMAGE, lambda x: tf.nn.conv2d(x, KERNEL, 2, "SAME")),
    "convolution_after_reverse": (
        IMAGE,
        lambda x: tf.nn.conv2d(tf.reverse(x, [0]), KERNEL, 1, "VALID"),
    ),
    "divide_row": ((4, 3), lambda x: x / ROW),
    "divide_column": ((4, 3), lambda x: x / COLUMN),
    "divide_by_encrypted": ((4, 3), lambda x: ROW / (x + 3)),
    "dot": ((4, 3), lambda x: tf.matmul(x, ROWS.T)),
    "dot_from_left": ((4, 3), lambda x: tf.matmul(ROWS.T, x)),
    "dot_turned": ((4, 3), lambda x: tf.matmul(x, ROWS[:, :2], transpose_a=True)),
    "dot_self": ((4, 3), lambda x: tf.matmul(x, x, transpose_b=True)),
    "exp_end": ((4, 3), tf.exp),
    "exp_inside": ((4, 3), lambda x: tf.exp(x) + 1),
    **{f"max_{axis}": ((4, 3), _max(axis)) for axis in AXES},
    "max_keep": (IMAGE, lambda x: tf.reduce_max(x, [1, -1], keepdims=True)),
    "max_pool": (IMAGE, lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID")),
    "max_pool_after_pad": (
        IMAGE,
        lambda x: tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [0, 1], [0, 0]]), 2, 2, "SAME"),
    ),
    "minimum_row": ((4, 3), lambda x: tf.minimum(x, ROW / 4)),
    "minimum_rows": ((4, 3), lambda x: tf.minimum(x, ROWS)),
    "minimum_column": ((4, 3), lambda x: tf.minimum(COLUMN, x)),
    "minimum_of_two": ((4, 3), lambda x: tf.minimum(x, x * x)),
    "maximum_number": ((4, 3), lambda x: tf.maximum(x, 0.25)),
    "multiply_row": ((4, 3), lambda x: x * ROW),
    "multiply_rows": ((4, 3), lambda x: x * ROWS),
    "multiply_column": ((4, 3), lambda x: COLUMN * x),
    "multiply_self": ((4, 3), lambda x: x * x),
    "multiply_self_reversed": ((4, 3), lambda x: x * tf.reverse(x, [0])),
    "negative": ((4, 3), lambda x: -x),
    "pad_last": ((4, 3), lambda x: tf.pad(x, [[0, 0], [1, 2]])),
    "pad_batch": ((4, 3), lambda x: tf.pad(x, [[1, 0], [0, 0]])),
    "pad_value": ((4, 3), lambda x: tf.pad(x, [[0, 0], [1, 0]], constant_values=0.5)),
    "power_2": ((4, 3), lambda x: tf.pow(x, 2.0)),
    "power_3": ((4, 3), lambda x: tf.pow(x, 3.0)),
    "relu_first": ((4, 3), tf.nn.relu),
    "relu_after_sum": ((4, 3), lambda x: tf.nn.relu(x + ROW)),
    "relu_after_small_weights": ((4, 3), lambda x: tf.nn.relu(tf.matmul(x, ROWS.T / 3000))),
    "relu_between_small_and_large_weights": (
        (4, 3),
        lambda x: tf.matmul(tf.nn.relu(tf.matmul(x, ROWS.T / 1000)), 1000 * ROWS),
    ),
    "relu_between_large_and_small_weights": (
        (4, 3),
        lambda x: tf.matmul(tf.nn.relu(tf.matmul(x, ROWS.T * 1e4)), ROWS / 1e4),
    ),
    "relu_after_reduce_sum": ((4, 3), lambda x: tf.nn.relu(tf.reduce_sum(x, 1, keepdims=True))),
    "relu_after_pad": ((4, 3), lambda x: tf.nn.relu(tf.pad(x, [[0, 0], [1, 0]]) - 0.1)),
    "relu_after_dot": ((4, 3), lambda x: tf.nn.relu(tf.matmul(x, ROWS.T))),
    "relu_of_vector": ((4,), tf.nn.relu),
    "reshape_rest": ((4, 3), lambda x: tf.reshape(x, [-1, 3, 1])),
    "reshape_fixed": (IMAGE, lambda x: tf.reshape(x, [4, 50])),
    "reshape_mixes": ((4, 6), lambda x: tf.reshape(x, [8, 3])),
    "reshape_flat": ((4, 3), lambda x: tf.reshape(x, [-1])),
    "reshape_square": ((4, 4), lambda x: tf.reshape(x, [2, 2, 4])),
    "reverse_0": ((4, 3), lambda x: tf.reverse(x, [0])),
    "reverse_1": ((4, 3), lambda x: tf.reverse(x, [-1])),
    "reverse_both": ((4, 3), lambda x: tf.reverse(x, [0, 1])),
    "slice_last": ((4, 3), lambda x: x[:, 1:]),
    "slice_batch": ((4, 3), lambda x: x[1:3]),
    "slice_op": ((4, 3), lambda x: tf.slice(x, [1, 0], [2, 2])),
    "slice_row": ((4, 3), lambda x: x[2]),
    "slice_steps": ((4, 3), lambda x: x[::2, ::-1]),
    "gather_batch": ((4, 3), lambda x: tf.gather(x, [3, 0, 1, 2])),
    "softmax_end": ((4, 3), tf.nn.softmax),
    "softmax_inside": ((4, 3), lambda x: tf.nn.softmax(x) + 1),
    "softmax_of_image": (IMAGE, tf.nn.softmax),
    "subtract_row": ((4, 3), lambda x: ROW - x),
    "subtract_column": ((4, 3), lambda x: x - COLUMN),
    **{f"sum_{axis}": ((4, 3), _sum(axis)) for axis in AXES},
    "sum_keep": (IMAGE, lambda x: tf.reduce_sum(x, [1, -1], keepdims=True)),
    "mean_0": ((4, 3), lambda x: tf.reduce_mean(x, 0)),
    "transpose": ((4, 3), tf.transpose),
    "transpose_square": ((4, 4), tf.transpose),
    "transpose_inner": (IMAGE, lambda x: tf.transpose(x, [0, 3, 1, 2])),
    "transpose_batch_inside": (IMAGE, lambda x: tf.transpose(x, [1, 0, 2, 3])),
}
