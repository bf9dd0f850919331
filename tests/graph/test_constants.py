"""Parts of a graph that do not depend on the query: TensorFlow itself says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import import Body, conv, dense, imported, tf, weights, write_graph

from capc.errors import ModelError
from capc.graph.tensorflow.importer import import_network

EVEN = np.array([True, False])


def constant(*shape: int) -> Any:
    return tf.constant(weights(*shape))


FOLDED: dict[str, Body] = {
    "absolute": lambda x: dense(x + tf.abs(constant(2))),
    "chain": lambda x: dense(conv(x) * tf.exp(tf.sin(tf.cumsum(constant(2))))),
    "selected": lambda x: dense(x + tf.where(tf.constant(EVEN), constant(2), constant(2))),
    "rounded": lambda x: dense(x + tf.cast(tf.cast(tf.constant([2.7, -2.7]), tf.int32), x.dtype)),
    "normalised kernel": lambda x: dense(
        tf.nn.conv2d(x, tf.nn.l2_normalize(constant(3, 3, 2, 2), [0, 1, 2]), 1, "SAME")
    ),
    "signs": lambda x: tf.matmul(
        tf.reshape(x, [-1, 60]), tf.sign(constant(60, 3)), name="output/BiasAdd"
    ),
    "split weights": lambda x: dense(x + tf.split(constant(4), 2)[1]),
    "unstacked": lambda x: dense(x + tf.unstack(constant(3, 2))[2]),
    "half precision": lambda x: dense(x + tf.cast(tf.cast(constant(2), tf.float16), tf.float32)),
    "comparison": lambda x: dense(x + tf.cast(tf.greater(constant(2), 0.0), tf.float32)),
    "softmax of constants": lambda x: dense(x * tf.nn.softmax(constant(2))),
    "product": lambda x: dense(x * tf.reshape(tf.matmul(constant(1, 3), constant(3, 2)), [2])),
    "one hot": lambda x: dense(x + tf.one_hot(1, 2)),
    "floor": lambda x: dense(tf.reshape(x, [-1, tf.math.floordiv(tf.constant(121), 2)])),
}


@pytest.mark.parametrize("name", FOLDED)
def test_constants_equal_tensorflow(tmp_path: Path, name: str) -> None:
    assert imported(tmp_path / "graph.pb", FOLDED[name])[1] < 1e-5


REFUSED: dict[str, tuple[Body, str]] = {
    "random": (
        lambda x: dense(x + tf.random.uniform([2], seed=1, name="noise")),
        "node 'noise/RandomUniform' is of type RandomUniform.*training=False",
    ),
    "impossible": (
        lambda x: dense(x + tf.raw_ops.GatherV2(params=weights(2), indices=[7, 9], axis=0,
                                                name="outside")),
        "node 'outside' .GatherV2. cannot be folded: .*indices",
    ),
    "of the batch size": (
        lambda x: dense(x * tf.cast(tf.abs(tf.shape(x, name="shape")[0], name="size"), x.dtype)),
        "node 'size' is of type Abs|node 'size' .Abs. depends on the batch size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_constant_is_refused(tmp_path: Path, name: str) -> None:
    body, message = REFUSED[name]
    write_graph(tmp_path / "graph.pb", body)
    with pytest.raises(ModelError, match=message):
        import_network(tmp_path / "graph.pb")
