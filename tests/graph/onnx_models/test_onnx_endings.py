"""What may stand after the logits of an ONNX model, and which output is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, onnx, read, run, uniform, write

from capc.errors import ModelError
from capc.graph.float_reference import evaluate_float

ROW = ("N", 12)
LAST = node("Gemm", "x", "w", out="logits")
ONE = {"w": uniform(12, 1)}
FIVE = {"w": uniform(12, 5)}
SHAPE = {"k": np.array([-1, 5, 1], np.int64)}
POOLED = [node("Conv", "x", "w", out="c"), node("GlobalAveragePool", "c", out="logits")]
CHANNELS = {"w": uniform(5, 4, 3, 3)}

# Nodes, the input's shape, constants, opset; the logits are the value of that name.
ENDS: dict[str, tuple[Sequence[Any], Sequence[int | str], dict[str, Any], int]] = {
    "softmax": ([LAST, node("Softmax", "logits")], ROW, FIVE, 18),
    "softmax of version 11": ([LAST, node("Softmax", "logits")], ROW, FIVE, 11),
    "log softmax": ([LAST, node("LogSoftmax", "logits", axis=1)], ROW, FIVE, 18),
    "softmax, reshaped": (
        [LAST, node("Softmax", "logits", out="s"), node("Reshape", "s", "k")],
        ROW,
        FIVE | SHAPE,
        18,
    ),
    "one by one": (POOLED, ("N", 4, 7, 6), CHANNELS, 18),
    "softmax of one by one": (
        [*POOLED, node("Softmax", "logits", axis=1)],
        ("N", 4, 7, 6),
        CHANNELS,
        18,
    ),
    "softmax of one by one, version 11": (
        [*POOLED, node("Softmax", "logits", axis=1, out="s"), node("Flatten", "s")],
        ("N", 4, 7, 6),
        CHANNELS,
        11,
    ),
    "passed on": (
        [LAST, node("Identity", "logits", out="i"), node("Dropout", "i")],
        ROW,
        FIVE,
        18,
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_keeps_the_order_of_the_classes_is_dropped(tmp_path: Path, name: str) -> None:
    nodes, shape, constants, opset = ENDS[name]
    last = nodes[-1].output[0]
    made = model(nodes, shape, constants, outputs=[last], opset=opset)
    path = write(made, tmp_path / "model.onnx")
    network = read(path)
    made.graph.output[0].name = "logits"
    made.graph.output[0].type.tensor_type.ClearField("shape")
    logits = write(made, tmp_path / "logits.onnx")
    images = uniform(4, *[int(size) for size in shape[1:]])
    assert network.output.shape == (5,)
    np.testing.assert_allclose(
        evaluate_float(network, images), run(logits, images).reshape(4, 5), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("sigmoid", [False, True])
def test_one_output_is_two_classes(tmp_path: Path, sigmoid: bool) -> None:
    nodes = [LAST, *([node("Sigmoid", "logits")] if sigmoid else [])]
    made = model(nodes, ROW, ONE, outputs=["y" if sigmoid else "logits"])
    network = read(write(made, tmp_path / "model.onnx"))
    images = uniform(4, 12)
    expected = images @ ONE["w"]
    np.testing.assert_allclose(
        evaluate_float(network, images),
        np.concatenate([np.zeros_like(expected), expected], axis=1),
        atol=1e-6,
    )


def refused(tmp_path: Path, nodes: Sequence[Any], constants: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read(write(model(nodes, ROW, constants), tmp_path / "model.onnx"))


def test_several_sigmoids_are_several_labels(tmp_path: Path) -> None:
    nodes = [LAST, node("Sigmoid", "logits")]
    refused(tmp_path, nodes, FIVE, r"several labels.*--output_node logits")


def test_a_softmax_over_some_of_the_classes_is_refused(tmp_path: Path) -> None:
    shape = {"k": np.array([-1, 2, 3], np.int64)}
    nodes = [
        LAST,
        node("Reshape", "logits", "k", out="r"),
        node("Softmax", "r", out="s"),
        node("Flatten", "s"),
    ]
    constants = {"w": uniform(12, 6)} | shape
    refused(tmp_path, nodes, constants, r"output 'r' has the shape \(2, 3\) per image")


def test_an_argmax_is_refused_with_the_name_of_the_logits(tmp_path: Path) -> None:
    nodes = [LAST, node("ArgMax", "logits", axis=1)]
    refused(tmp_path, nodes, FIVE, r"'y' \(ArgMax\) gives labels.*--output_node logits$")


def test_the_output_that_is_no_label_is_taken(tmp_path: Path) -> None:
    nodes = [LAST, node("ArgMax", "logits", out="label", axis=1), node("Softmax", "logits")]
    made = model(nodes, ROW, FIVE, outputs=["label", "y"])
    network = read(write(made, tmp_path / "model.onnx"))
    assert network.output.shape == (5,)


def test_of_two_outputs_one_must_be_named(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x", "w", out="logits", name="last"), node("Relu", "logits")]
    made = model(nodes, ROW, FIVE, outputs=["logits", "y"])
    path = write(made, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"its outputs are 'logits', 'y': name the logits"):
        read(path)
    for name in ("logits", "last", "import/logits:0"):
        assert [type(layer).__name__ for layer in read(path, output_node=name).layers] == [
            "Input",
            "Dense",
        ]
    with pytest.raises(ModelError, match="no one output 'nowhere'"):
        read(path, output_node="nowhere")


def scikit(transform: str, classes: int = 3) -> Any:
    """What skl2onnx writes for a scaler and a logistic regression."""
    weights = uniform(classes, 12)
    nodes = [
        node(
            "Scaler",
            "x",
            out="scaled",
            domain="ai.onnx.ml",
            offset=uniform(12, seed=2).tolist(),
            scale=(uniform(12, seed=3) + np.float32(2)).tolist(),
        ),
        node(
            "LinearClassifier",
            "scaled",
            out=["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=weights.ravel().tolist(),
            intercepts=uniform(classes, seed=4).tolist(),
            classlabels_ints=list(range(classes)),
            multi_class=1,
            post_transform=transform,
        ),
        node("Normalizer", "scores", out="normal", domain="ai.onnx.ml", norm="L1"),
        node(
            "ZipMap",
            "normal",
            out="zipped",
            domain="ai.onnx.ml",
            classlabels_int64s=list(range(classes)),
        ),
    ]
    made = model(nodes, ROW, outputs=["label", "zipped"])
    made.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    return made


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_a_linear_model_of_scikit_learn(tmp_path: Path, transform: str) -> None:
    path = write(scikit(transform), tmp_path / "model.onnx")
    images = np.abs(uniform(50, 12, seed=9))
    network = read(path)
    assert [type(layer).__name__ for layer in network.layers] == ["Input", "Bias", "Dense"]
    labels = evaluate_float(network, images).argmax(axis=1)
    np.testing.assert_array_equal(labels, run(path, images, "label"))
    with pytest.raises(ModelError, match=r"LinearClassifier\) gives labels.*--output_node scores"):
        read(path, output_node="label")


def test_a_model_that_does_not_depend_on_its_input(tmp_path: Path) -> None:
    nodes = [node("Constant", value_floats=[1.0, 2.0])]
    refused(tmp_path, nodes, {}, "does not depend on 'x'")
