"""What the import of a graph refuses, by its message."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_import import Body, conv, dense, tf, weights, write_graph

from capc.errors import ModelError
from capc.graph.tensorflow.importer import import_network

REFUSALS: dict[str, tuple[Body, str]] = {
    "unsupported operation": (
        lambda x: dense(tf.sin(x, name="wave")),
        "node 'wave' is of type Sin, which is not supported; replace it .*; supported are .*Conv2D",
    ),
    "variable": (
        lambda x: tf.add(
            dense(x)[:, :1],
            tf.compat.v1.get_variable(
                "v", (1,), use_resource=False, initializer=tf.zeros_initializer()
            ),
            name="sum",
        ),
        "which is not supported",
    ),
    "two ranks multiplied": (lambda x: dense(x * tf.reduce_mean(x, [1])), "broadcast"),
    "another placeholder": (
        lambda x: dense(x + tf.compat.v1.placeholder(tf.float32, (None, 5, 6, 2), name="more")),
        "node 'more' is of type Placeholder",
    ),
    "channels first": (
        lambda x: dense(tf.nn.max_pool2d(x, 2, 1, "VALID", data_format="NCHW")),
        "data_format NCHW",
    ),
    "power of three": (lambda x: dense(tf.pow(x, 3.0)), "exponent 2"),
    "mean over the batch": (
        lambda x: dense(tf.reduce_mean(x, [0, 3])),
        "mixes the images of a batch",
    ),
    "batch moved": (lambda x: dense(tf.reshape(x, [5, 60])), "must keep the batch axis"),
    "transposed batch": (
        lambda x: dense(tf.reshape(tf.transpose(x, [1, 0, 2, 3]), [-1, 12])),
        "moves the batch axis",
    ),
    "batch norm in training": (
        lambda x: dense(
            tf.compat.v1.nn.fused_batch_norm(x, weights(2), weights(2), is_training=True)[0]
        ),
        "freeze the model for inference",
    ),
    "sum of other ranks": (lambda x: dense(x + tf.reduce_mean(x, [1])), "do not broadcast|to"),
    "factor for more": (lambda x: dense(x[:, :1] * weights(5, 6, 2)), "by a constant of shape"),
    "leaky with a large slope": (lambda x: dense(tf.nn.leaky_relu(x, 1.5)), r"allowed is \[0, 1\)"),
    "not logits": (lambda x: tf.identity(conv(x), name="output/BiasAdd"), "logits have one axis"),
    "nothing from the query": (
        lambda x: tf.constant(weights(1, 3), name="output/BiasAdd"),
        "does not depend on 'input'",
    ),
    "relu inside space to batch": (
        lambda x: dense(
            tf.batch_to_space(
                tf.nn.relu(tf.space_to_batch(x, [1, 2], [[0, 0], [0, 0]])), [1, 2], [[0, 0]] * 2
            )
        ),
        "only a convolution is supported",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_names_the_node(tmp_path: Path, name: str) -> None:
    body, message = REFUSALS[name]
    path = tmp_path / "graph.pb"
    write_graph(path, body)
    output = "sum" if name == "variable" else "output/BiasAdd"
    with pytest.raises(ModelError, match=message) as refusal:
        import_network(path, "input", output)
    assert "\n" not in str(refusal.value)


def test_missing_nodes_are_listed_with_those_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: dense(conv(x)))
    with pytest.raises(ModelError, match="no node 'images'; its placeholders are 'input'"):
        import_network(path, "images")
    with pytest.raises(ModelError, match=r"its last nodes are 'output/BiasAdd'.*--output_node"):
        import_network(path, "input", "logits:0")
    with pytest.raises(ModelError, match="not a Placeholder: name another with --input_node"):
        import_network(path, "output/MatMul")


@pytest.mark.parametrize("shape", [(None, 6, 2), (), (5, 6, None)])
def test_an_input_of_unknown_shape_is_refused(tmp_path: Path, shape: tuple[int | None]) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: tf.identity(x, name="output/BiasAdd"), shape)
    with pytest.raises(ModelError, match="every size but the batch known"):
        import_network(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x0a\x03abc", bytes(range(256)) * 40])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a frozen TensorFlow graph"):
        import_network(path)
    with pytest.raises(ModelError, match="there is no model at"):
        import_network(tmp_path / "absent.pb")


def test_a_truncated_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: dense(conv(x)))
    whole = path.read_bytes()
    for cut in range(1, len(whole), max(len(whole) // 40, 1)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError):
            import_network(path)
