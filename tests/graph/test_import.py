"""Every supported operation against TensorFlow itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Conv2D, Dense, Network, Reshape
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.logits import tensorflow_logits

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
tf: Any = load_tensorflow()
RANDOM = np.random.default_rng(7)

Body = Callable[[Any], Any]


def weights(*shape: int) -> NDArray[Any]:
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def dense(values: Any, width: int = 3) -> Any:
    """A last layer named output, after flattening."""
    size = int(np.prod(values.shape[1:]))
    flat = tf.reshape(values, [-1, size])
    product = tf.matmul(flat, weights(size, width), name="output/MatMul")
    return tf.nn.bias_add(product, weights(width), name="output/BiasAdd")


def write_graph(path: Path, body: Body, shape: tuple[int | None, ...] = (5, 6, 2)) -> Any:
    """Write the graph of `body`; returns a function from images to what TensorFlow computes."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, (None, *shape), name="input")
        output = body(images)
    path.write_bytes(graph.as_graph_def().SerializeToString())

    def run(values: NDArray[Any]) -> NDArray[Any]:
        with tf.compat.v1.Session(graph=graph) as session:
            result: NDArray[Any] = session.run(output, {images: values})
            return result

    return run


def imported(path: Path, body: Body, **names: str) -> tuple[Network, float]:
    """The network of `body`, and its largest error as a share of TensorFlow's largest logit."""
    shape = names.pop("shape", (5, 6, 2))
    run = write_graph(path, body, shape)  # type: ignore[arg-type]
    network = import_network(path, **names)
    images = RANDOM.normal(0, 1, (4, *network.input.shape)).astype(np.float32)
    expected = run(images)
    error = np.abs(evaluate_float(network, images) - expected).max()
    return network, float(error / max(1.0, np.abs(expected).max()))


def norm(x: Any) -> Any:
    scale, offset, mean = weights(2), weights(2), weights(2)
    variance = np.abs(weights(2)) + 0.5
    return tf.compat.v1.nn.fused_batch_norm(
        x, scale, offset, mean, variance, epsilon=0.01, is_training=False
    )[0]


def conv(x: Any, filters: int = 2, size: int = 3, **options: Any) -> Any:
    options = {"strides": 1, "padding": "SAME", **options}
    depth = int(options.pop("depth", x.shape[-1]))
    return tf.nn.conv2d(x, weights(size, size, depth, filters), **options)


def shared_conv(use: Body) -> Body:
    """A convolution whose output `use` takes more than once."""
    return lambda x: dense(use(conv(x)))


BODIES: dict[str, Body] = {
    "conv same": lambda x: dense(conv(x)),
    "conv valid stride": lambda x: dense(conv(x, 3, 2, strides=2, padding="VALID")),
    "conv same uneven stride": lambda x: dense(conv(x, 3, 2, strides=[1, 2, 3, 1])),
    "conv even kernel": lambda x: dense(conv(x, 1, 4, strides=3)),
    "conv dilated": lambda x: dense(conv(x, dilations=2)),
    "conv explicit": lambda x: dense(conv(x, padding=[[0, 0], [2, 1], [0, 3], [0, 0]])),
    "conv grouped": lambda x: dense(conv(x, 4, depth=1)),
    "conv relu conv": lambda x: dense(conv(tf.nn.relu(conv(x)))),
    "depthwise": lambda x: dense(
        tf.nn.depthwise_conv2d(x, weights(3, 2, 2, 3), [1, 2, 2, 1], "SAME")
    ),
    "bias by add": lambda x: dense(tf.nn.relu(conv(x) + weights(2))),
    "bias of one number": lambda x: dense(tf.nn.relu(conv(x) + np.float32(0.5))),
    "constant first": lambda x: dense(tf.nn.relu(weights(2) + conv(x))),
    "bias per pixel": lambda x: dense(tf.nn.relu(conv(x) + weights(1, 5, 6, 2))),
    "bias on the input": lambda x: dense(tf.nn.relu(x + weights(2))),
    "bias used twice": shared_conv(lambda c: tf.nn.relu(c + weights(2)) + c),
    "matmul transposed": lambda x: tf.matmul(
        tf.reshape(x, [-1, 60]), weights(3, 60), transpose_b=True, name="output/BiasAdd"
    ),
    "relu6": lambda x: dense(tf.nn.relu6(5 * conv(x))),
    "leaky relu": lambda x: dense(tf.nn.leaky_relu(conv(x), 0.3)),
    "square": lambda x: dense(tf.square(conv(x))),
    "x times x": shared_conv(lambda c: c * c),
    "power of two": lambda x: dense(tf.pow(conv(x), 2.0)),
    "max pool same": lambda x: dense(tf.nn.max_pool2d(x, 3, 2, "SAME")),
    "max pool valid": lambda x: dense(tf.nn.max_pool2d(x, (2, 3), (1, 2), "VALID")),
    "average pool same": lambda x: dense(tf.nn.relu(tf.nn.avg_pool2d(x, 3, 2, "SAME"))),
    "average pool valid": lambda x: dense(tf.nn.relu(tf.nn.avg_pool2d(x, 2, 2, "VALID"))),
    "batch norm after conv": lambda x: dense(tf.nn.relu(norm(conv(x)))),
    "batch norm alone": lambda x: dense(conv(norm(tf.nn.relu(x)))),
    "batch norm of a shared conv": shared_conv(lambda c: tf.nn.relu(norm(c)) + c),
    "scale and shift": lambda x: dense(tf.nn.relu((3 * conv(x) - 1.5) / weights(2))),
    "constant minus": lambda x: dense(tf.nn.relu(1 - conv(x))),
    "difference": lambda x: dense(tf.nn.relu(conv(x) - conv(x))),
    "minus itself": shared_conv(lambda c: tf.nn.relu(c) - c),
    "negative": lambda x: dense(tf.nn.relu(-conv(x))),
    "residual": lambda x: dense(tf.nn.relu(conv(tf.nn.relu(conv(x))) + x)),
    "add n": lambda x: dense(tf.nn.relu(tf.add_n([conv(x), x]))),
    "concat channels": lambda x: dense(tf.concat([tf.nn.relu(conv(x, 3)), x], -1)),
    "concat rows": lambda x: dense(tf.concat([tf.nn.relu(conv(x)), x], 1)),
    "pad then conv": lambda x: dense(
        conv(tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]), padding="VALID", strides=2)
    ),
    "pad then pool": lambda x: dense(
        tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2, 2, "VALID")
    ),
    "transpose": lambda x: dense(tf.transpose(tf.nn.relu(x), [0, 3, 1, 2])),
    "mean over space": lambda x: dense(tf.reduce_mean(tf.nn.relu(x), [1, 2])),
    "mean keeping axes": lambda x: dense(conv(tf.reduce_mean(x, [-3, -2], keepdims=True), size=1)),
    "reshape twice": lambda x: dense(tf.reshape(tf.reshape(tf.nn.relu(x), [-1, 60]), [-1, 4, 15])),
    "squeeze and expand": lambda x: dense(tf.squeeze(tf.expand_dims(tf.nn.relu(x), 2), [2])),
    "flatten by shape": lambda x: tf.matmul(
        tf.reshape(x, tf.stack([tf.shape(x)[0], 60])), weights(60, 2), name="output/BiasAdd"
    ),
    "flatten by product": lambda x: tf.matmul(
        tf.reshape(x, tf.stack([-1, tf.reduce_prod(tf.shape(x)[1:])])),
        weights(60, 2),
        name="output/BiasAdd",
    ),
    "identities": lambda x: tf.identity(dense(tf.stop_gradient(conv(tf.identity(x))))),
    "space to batch": lambda x: dense(
        tf.batch_to_space(
            conv(tf.space_to_batch(x, [2, 3], [[2, 3], [3, 3]]), padding="VALID"),
            [2, 3],
            [[0, 1], [0, 0]],
        )
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_operation_equals_tensorflow(tmp_path: Path, name: str) -> None:
    _, error = imported(tmp_path / "graph.pb", BODIES[name])
    assert error < 1e-5


def test_names_may_leave_out_prefix_and_index(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: dense(conv(x)))
    for first, last in [
        ("import/input:0", "import/output/BiasAdd:0"),
        ("input", "output/BiasAdd"),
        ("import/input", "output/BiasAdd:0"),
    ]:
        assert import_network(path, first, last).output.shape == (3,)


def test_a_graph_that_was_imported_keeps_its_prefix(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"

    def body(images: Any) -> Any:
        with tf.name_scope("import"):
            again = tf.compat.v1.placeholder(tf.float32, (None, 4), name="input")
            tf.matmul(again, weights(4, 2), name="output/BiasAdd")
        return dense(images)

    write_graph(path, body)
    assert import_network(path).input.shape == (4,)


def test_what_training_left_behind_is_ignored(tmp_path: Path) -> None:
    def body(images: Any) -> Any:
        logits = dense(conv(images))
        labels = tf.compat.v1.placeholder(tf.int32, (None,), name="labels")
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits, name="loss")
        tf.sin(logits)
        return logits

    assert imported(tmp_path / "graph.pb", body)[1] < 1e-5


@pytest.mark.parametrize("end", ["softmax", "log_softmax", "sigmoid"])
def test_a_monotone_end_is_dropped_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    path = tmp_path / "graph.pb"
    width = 1 if end == "sigmoid" else 3
    write_graph(path, lambda x: getattr(tf.nn, end)(dense(x, width), name="probabilities"))
    with caplog.at_level("INFO"):
        network = import_network(path, "input", "probabilities")
    names = ["output/MatMul", "output/MatMul/classes"] if width == 1 else ["output/MatMul"]
    assert network.output.name == names[-1]
    assert "node 'probabilities'" in caplog.text


def test_tensorflow_itself_is_asked_for_the_logits(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: tf.nn.softmax(dense(tf.nn.relu(conv(x))), name="probabilities"))
    network = import_network(path, "input", "probabilities")
    images = np.random.default_rng(1).uniform(-1, 1, (251, *network.input.shape))
    told: list[int] = []
    logits = tensorflow_logits(path, "input", "probabilities", images, told.append)
    np.testing.assert_allclose(logits, evaluate_float(network, images), atol=1e-5)
    assert told == [250, 1]
    with pytest.raises(ModelError, match="TensorFlow cannot run"):
        tensorflow_logits(path, "input", "probabilities", images[:, :1])


def test_published_model_is_six_layers(tmp_path: Path) -> None:
    if not REFERENCE.is_dir():
        pytest.skip("the reference model is not beside the repository")
    network = import_network(REFERENCE / "cryptonets-relu.pb")
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Input", "Conv2D", "Relu", "Reshape", "Dense", "Relu", "Dense"]
    convolution = network.layers[1]
    assert isinstance(convolution, Conv2D)
    assert (convolution.strides, convolution.padding) == ((2, 2), ((1, 2), (1, 2)))
    with np.load(REFERENCE / "cryptonets-relu-example.npz") as example:
        error = np.abs(evaluate_float(network, example["image"]) - example["logits"]).max()
    assert error < 1e-4


def test_linear_layers_in_a_row_become_one(tmp_path: Path) -> None:
    def body(images: Any) -> Any:
        pooled = tf.nn.avg_pool2d(tf.nn.relu(conv(images, 4)), 3, 1, "SAME")
        return dense(tf.nn.avg_pool2d(conv(pooled, 6, strides=2), 3, 1, "SAME"))

    network, error = imported(tmp_path / "graph.pb", body)
    kinds = [type(layer) for layer in network.layers[3:]]
    assert kinds == [Reshape, Dense]
    assert network.output.weight.shape == (120, 3)  # type: ignore[attr-defined]
    assert error < 1e-5


def test_asking_a_shape_does_not_keep_layers_apart(tmp_path: Path) -> None:
    def body(images: Any) -> Any:
        product = conv(images)
        flat = tf.reshape(tf.nn.relu(product + weights(2)), tf.stack([tf.shape(product)[0], 60]))
        return dense(flat)

    network, error = imported(tmp_path / "graph.pb", body)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Input", "Conv2D", "Relu", "Reshape", "Dense"]
    assert error < 1e-5


def test_a_batch_norm_before_convolutions_costs_nothing(tmp_path: Path) -> None:
    def body(images: Any) -> Any:
        first = tf.nn.relu(conv(images, 4))
        scale, offset = [1.0, -2.0, 0.5, 3.0], [0.5, 0.0, -1.0, 2.0]
        normal = tf.compat.v1.nn.fused_batch_norm(
            first, scale, offset, offset, [1.0, 2.0, 1.5, 1.0], is_training=False
        )[0]
        return dense(tf.nn.relu(conv(normal, 6)) + tf.nn.relu(conv(normal, 6, depth=2)))

    network, error = imported(tmp_path / "graph.pb", body)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("Conv2D") == 3
    assert kinds.count("Bias") == 1
    assert error < 1e-5


def test_a_linear_value_used_twice_is_not_folded_away(tmp_path: Path) -> None:
    def body(images: Any) -> Any:
        hidden = dense(images, 4)
        return tf.add(
            tf.matmul(hidden, weights(4, 3)),
            tf.matmul(tf.nn.relu(hidden), weights(4, 3)),
            name="sum",
        )

    path = tmp_path / "graph.pb"
    network, error = imported(path, body, output_node="sum")
    assert [type(layer).__name__ for layer in network.layers].count("Dense") == 3
    assert error < 1e-5


def two_results(x: Any) -> tuple[Any, Any]:
    return tf.nn.relu(x), conv(tf.nn.relu6(x))


def nested(x: Any) -> tuple[Any, Any]:
    first, second = tf.function(two_results)(x)
    return second, first


def inner_mean(x: Any) -> Any:
    normal = tf.compat.v1.nn.fused_batch_norm(
        x, weights(2), weights(2), weights(2), weights(2) ** 2 + 1, is_training=False
    )
    return x + normal[1]


def second_result(function: Body, x: Any) -> Any:
    """A dense layer on the second result of a function."""
    return dense(tf.function(function)(x)[1])


def test_functions_are_inlined(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    for function in (two_results, nested):
        error = imported(path, partial(second_result, function))[1]
        assert b"PartitionedCall" in path.read_bytes()
        assert error < 1e-5
        images = RANDOM.normal(0, 1, (4, 5, 6, 2)).astype(np.float32)
        logits = evaluate_float(import_network(path), images)
        found = tensorflow_logits(path, "input", "output/BiasAdd", images)
        np.testing.assert_allclose(found, logits, atol=1e-4)
    write_graph(path, lambda x: dense(tf.function(inner_mean)(x)))
    with pytest.raises(ModelError, match=r"FusedBatchNormV3:batch_mean'.*first output"):
        import_network(path)
