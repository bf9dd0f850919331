"""A model that is read otherwise than TensorFlow computes it is refused when it is prepared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph import comparison
from capc.graph.layers import Dense, LeakyRelu, Network
from capc.graph.prepared import load_network, prepare, verification
from capc.graph.probes import probe_images
from capc.graph.simplify import simplify
from capc.graph.tensorflow import importer, inlining, operations
from capc.graph.tensorflow.loader import load_tensorflow

tf: Any = load_tensorflow()
NODES = "input", "output"


def write_model(path: Path, body: Callable[[Any], Any], dtype: Any = tf.float32) -> Path:
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(dtype, (None, 5, 6, 2), name="input")
        tf.identity(body(images), name="output")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def weights(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(3).normal(0, 0.5, shape).astype(dtype)


def leaky(x: Any) -> Any:
    convolved = tf.nn.conv2d(x, weights(3, 3, 2, 4), 1, "SAME", name="conv")
    slow = tf.nn.leaky_relu(convolved, alpha=0.3, name="leaky")
    pooled = tf.nn.max_pool2d(slow, 2, 2, "VALID")
    hidden = tf.nn.relu(tf.matmul(tf.reshape(pooled, [-1, 24]), weights(24, 8)), name="hidden")
    return tf.nn.bias_add(tf.matmul(hidden, weights(8, 3)), weights(3), name="logits")


def test_the_probes_are_inputs_of_the_range_and_always_the_same() -> None:
    images = probe_images((4, 3, 1), (-1.0, 2.0))
    assert images.shape == (8, 4, 3, 1)
    assert images.min() == -1
    assert images.max() == 2
    assert not images[0].any()
    assert set(images[3].flat) == {-1.0, 2.0}
    np.testing.assert_array_equal(images, probe_images((4, 3, 1), (-1.0, 2.0)))
    assert probe_images((4,), (0.5, 1.0)).min() == 0.5


def test_what_is_prepared_says_how_it_was_tried(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.pb", leaky)
    ready = prepare(model, *NODES, cache_dir=tmp_path)
    tried = verification(ready)
    assert tried["input_range"] == [0.0, 1.0]
    assert tried["images"] == 8
    assert 0 < tried["error"] < 1e-5
    stamp = ready.stat().st_mtime_ns
    assert prepare(model, *NODES, cache_dir=tmp_path) == ready
    assert ready.stat().st_mtime_ns == stamp
    assert prepare(model, *NODES, cache_dir=tmp_path, input_range=(-1.0, 1.0)) == ready
    assert verification(ready)["input_range"] == [-1.0, 1.0]
    assert verification(tmp_path / "absent.npz") == {}


def dropped_alpha(builder: Any, node: Any, values: Any) -> Any:
    source = values[0]
    return builder.add(LeakyRelu(node.name, (source,), builder.shape(source), slope=0.0))


def test_a_wrong_conversion_is_refused_by_its_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(operations.OPERATIONS, "LeakyRelu", dropped_alpha)
    model = write_model(tmp_path / "model.pb", leaky)
    with pytest.raises(ModelError, match="layer 'leaky' is read otherwise than TensorFlow"):
        prepare(model, *NODES, cache_dir=tmp_path)
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize("operation", ["BiasAdd", "MaxPool", "MatMul", "Conv2D"])
def test_any_wrong_conversion_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    right = operations.OPERATIONS[operation]

    def wrong(builder: Any, node: Any, values: Any) -> Any:
        return builder.scaled(f"{node.name}/wrong", right(builder, node, values), np.array(1.01))

    monkeypatch.setitem(operations.OPERATIONS, operation, wrong)
    model = write_model(tmp_path / "model.pb", leaky)
    expected = {"BiasAdd": "logits", "MatMul": "MatMul", "Conv2D": "conv", "MaxPool": "MaxPool2d"}
    with pytest.raises(ModelError, match=f"layer '{expected[operation]}' is read otherwise"):
        prepare(model, *NODES, cache_dir=tmp_path)


def test_a_wrong_simplification_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = simplify

    def wrong(network: Network) -> Network:
        *layers, last = right(network).layers
        assert isinstance(last, Dense)
        return Network((*layers, replace(last, weight=last.weight * 0.999)))

    monkeypatch.setattr(importer, "simplify", wrong)
    with pytest.raises(ModelError, match="is read otherwise"):
        prepare(write_model(tmp_path / "model.pb", leaky), *NODES, cache_dir=tmp_path)


def test_logits_far_below_the_hidden_values_are_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(x: Any) -> Any:
        return tf.nn.bias_add(leaky(x) * 3e-4, weights(3) * 1e-3, name="shifted")

    model = write_model(tmp_path / "model.pb", small)
    assert verification(prepare(model, *NODES, cache_dir=tmp_path))["error"] < 1e-5
    right = operations.OPERATIONS["Mul"]

    def wrong(builder: Any, node: Any, values: Any) -> Any:
        return builder.scaled(node.name, right(builder, node, values), np.array(1.5))

    monkeypatch.setitem(operations.OPERATIONS, "Mul", wrong)
    with pytest.raises(ModelError, match="is read otherwise"):
        prepare(model, *NODES, cache_dir=tmp_path, input_range=(0.0, 0.9))


def binary(x: Any) -> Any:
    flat = tf.reshape(x, [-1, 60])
    hidden = tf.sign(tf.matmul(flat, np.sign(weights(60, 16))))
    return tf.matmul(hidden, weights(16, 3), name="logits")


def half(x: Any) -> Any:
    product = tf.matmul(tf.reshape(tf.cast(x, tf.float16), [-1, 60]), weights(60, 3, dtype="f2"))
    return tf.cast(product, tf.float32)


@pytest.mark.parametrize("body", [binary, half], ids=["step", "half"])
def test_close_calls_and_half_precision_are_no_defect(tmp_path: Path, body: Any) -> None:
    ready = prepare(write_model(tmp_path / "model.pb", body), *NODES, cache_dir=tmp_path)
    assert verification(ready)["images"] > 0
    assert load_network(ready).output.shape == (3,)


def test_a_model_that_no_probe_tells_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(comparison, "_NEAR_A_STEP", 2.0)
    ready = prepare(write_model(tmp_path / "model.pb", binary), *NODES, cache_dir=tmp_path)
    assert verification(ready)["images"] == 0
    assert "could not be compared with TensorFlow" in caplog.text


def test_a_wrongly_inlined_function_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = inlining._copied

    def wrong(node: Any, name: str, inputs: list[str]) -> Any:
        copy = right(node, name, inputs)
        if copy.op == "LeakyRelu":
            copy.attr["alpha"].f = 0.0
        return copy

    model = write_model(tmp_path / "model.pb", tf.function(leaky, autograph=False))
    assert verification(prepare(model, *NODES, cache_dir=tmp_path))["images"] == 8
    monkeypatch.setattr(inlining, "_copied", wrong)
    with pytest.raises(ModelError, match="layer 'output' is read otherwise than TensorFlow"):
        prepare(model, *NODES, cache_dir=tmp_path, input_range=(-1.0, 1.0))


def test_calls_within_the_graph_run_in_tensorflow_too(tmp_path: Path) -> None:
    inner = tf.function(lambda x: (tf.nn.relu(x) + 1.0, x * 2.0), autograph=False)

    def body(x: Any) -> Any:
        first, second = inner(x)
        return tf.matmul(tf.reshape(first - second, [-1, 60]), weights(60, 3))

    ready = prepare(write_model(tmp_path / "model.pb", body), *NODES, cache_dir=tmp_path)
    assert verification(ready)["error"] < 1e-5
