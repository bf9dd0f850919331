"""What is not understood of an ONNX model is refused by its name, with a way out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import helper, model, node, onnx, read, uniform, write

from capc.errors import ModelError

IMAGE = ("N", 4, 7, 6)
ROW = ("N", 12)
K3 = {"w": uniform(6, 4, 3, 3)}
NORM = {name: np.ones(4, np.float32) for name in ("s", "t", "m", "v")}


def condition() -> list[Any]:
    branch = helper.make_graph(
        [node("Relu", "x", out="z")], "branch", [], [onnx.ValueInfoProto(name="z")]
    )
    return [node("If", "c", then_branch=branch, else_branch=branch)]


def numbers(*values: int) -> Any:
    return np.array(values, np.int64)


# The nodes, the input's shape, the constants, and what the refusal says.
REFUSED: dict[str, tuple[Sequence[Any], Sequence[int | str], dict[str, Any], str]] = {
    "operation": (
        [node("LayerNormalization", "x", "s")],
        ("N", 3, 4),
        {"s": np.ones(4, np.float32)},
        r"node 'y' is of type LayerNormalization, which is not supported; use batch normal",
    ),
    "recurrent": ([node("Softsign", "x")], ROW, {}, r"type Softsign.*supported are Abs, Add"),
    "deconvolution": (
        [node("ConvTranspose", "x", "w")],
        IMAGE,
        {"w": uniform(4, 6, 3, 3)},
        "ConvTr",
    ),
    "control flow": (condition(), ROW, {"c": np.array(True)}, r"'y' is of type If.*control flow"),
    "random": ([node("RandomUniformLike", "x")], ROW, {}, r"RandomUniformLike.*model\.eval\(\)"),
    "softmax inside": (
        [node("Softmax", "x", out="s"), node("Relu", "s")],
        ROW,
        {},
        r"'s' is of type Softmax.*only at the end",
    ),
    "two values multiplied": (
        [node("Relu", "x", out="r"), node("MatMul", "x", "r")],
        ("N", 4, 4),
        {},
        r"'y' \(MatMul\) multiplies.*attention does not run",
    ),
    "divided by a value": ([node("Div", "k", "x")], ROW, {"k": uniform(12)}, r"\(Div\) divides"),
    "weights that are no constant": (
        [node("Gemm", "x", "x")],
        ("N", 4),
        {},
        r"input 1, which must",
    ),
    "transposed batch": ([node("Gemm", "x", "w", transA=1)], ROW, {"w": uniform(3, 5)}, "transA"),
    "training": (
        [node("BatchNormalization", "x", *NORM, out=["y", "a", "b"], training_mode=1)],
        IMAGE,
        NORM,
        r"\(BatchNormalization\) is in training mode",
    ),
    "dropout in training": (
        [node("Dropout", "x", "", "t")],
        ROW,
        {"t": np.array(True)},
        r"\(Dropout\) is in training mode",
    ),
    "pooled indices": (
        [node("MaxPool", "x", out=["p", "i"], kernel_shape=[2, 2]), node("Cast", "i", to=1)],
        IMAGE,
        {},
        r"takes 'i', which is an output of 'p' that no layer has",
    ),
    "dilated pool": (
        [node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2])],
        IMAGE,
        {},
        r"\(MaxPool\) has dilations",
    ),
    "slope": ([node("LeakyRelu", "x", alpha=1.5)], ROW, {}, r"slope 1\.5; allowed is \[0, 1\)"),
    "elu": ([node("Elu", "x", alpha=0.5)], ROW, {}, r"\(Elu\) has alpha 0\.5; supported is 1"),
    "power": ([node("Pow", "x", "k")], ROW, {"k": np.float32(3)}, "another exponent than 2"),
    "batch reshaped": ([node("Reshape", "x", "k")], ROW, {"k": numbers(-1, 6)}, "keep the batch"),
    "batch reduced": ([node("ReduceMean", "x", "k")], ROW, {"k": numbers(0)}, "the batch axis"),
    "all reduced": ([node("ReduceMean", "x", keepdims=0)], ROW, {}, "is over all axes"),
    "batch joined": ([node("Concat", "x", "x", axis=0)], ROW, {}, "works on the batch axis"),
    "batch moved": ([node("Transpose", "x", perm=[1, 0])], ROW, {}, "moves the batch axis"),
    "batch flattened": ([node("Flatten", "x", axis=2)], ("N", 3, 4), {}, "into the batch"),
    "batch cut": (
        [node("Slice", "x", "a", "b", "c")],
        ROW,
        {"a": numbers(1), "b": numbers(9), "c": numbers(0)},
        "works on the batch axis",
    ),
    "axes of other images": (
        [node("ReduceMean", "x", "k", out="m", keepdims=0), node("Add", "x", "m")],
        IMAGE,
        {"k": numbers(1, 2)},
        "would be those of other images",
    ),
    "constant for each image": (
        [node("Add", "x", "k")],
        ROW,
        {"k": uniform(2, 12)},
        "the same for each image",
    ),
    "padded with ones": (
        [node("Pad", "x", "p", "k")],
        ROW,
        {"p": numbers(0, 1, 0, 1), "k": np.float32(1)},
        "pads in mode constant with 1",
    ),
    "kernel of another size": (
        [node("Conv", "x", "w", kernel_shape=[2, 2])],
        IMAGE,
        K3,
        r"kernel_shape \[2, 2\] and weights",
    ),
    "rounded": (
        [node("Cast", "x", to=7, out="i"), node("Cast", "i", to=1)],
        ROW,
        {},
        "rounds a value",
    ),
    "dangling": ([node("Add", "x", "nowhere")], ROW, {}, r"nowhere"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_layer_is_refused_by_name(tmp_path: Path, name: str) -> None:
    nodes, shape, constants, said = REFUSED[name]
    try:
        made = model(nodes, shape, constants)
    except onnx.shape_inference.InferenceError:
        pytest.fail("the graph of the test is not one of ONNX")
    with pytest.raises(ModelError, match=said):
        read(write(made, tmp_path / "model.onnx"))


def test_an_attribute_that_is_not_understood_is_refused_by_name(tmp_path: Path) -> None:
    made = model([node("Relu", "x")], ROW)
    made.graph.node[0].op_type = "Tile"
    made.graph.node[0].input.append("k")
    made.graph.initializer.append(onnx.numpy_helper.from_array(numbers(1, 2), "k"))
    custom = helper.make_attribute("mirrored", 1)
    made.graph.node[0].attribute.append(custom)
    with pytest.raises(ModelError, match="mirrored"):
        read(write(made, tmp_path / "model.onnx"))


def test_an_operation_of_another_set_is_refused_with_the_name_of_the_set(tmp_path: Path) -> None:
    made = model([node("FusedConv", "x", "w", domain="com.microsoft")], IMAGE, K3)
    with pytest.raises(ModelError, match=r"type com\.microsoft\.FusedConv, which is not supported"):
        read(write(made, tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        (("N", 3, "H", "W"), 1, "export the model with a fixed image size"),
        (("N",), 1, "every size but the first"),
        (("N", 4), 2, "takes uint8, and queries are pixels in floating point"),
    ],
)
def test_inputs_that_are_no_images_of_one_size(
    tmp_path: Path, shape: Sequence[int | str], kind: int, said: str
) -> None:
    nodes = [node("Cast", "x", out="c", to=1), node("Relu", "c")]
    with pytest.raises(ModelError, match=said):
        read(write(model(nodes, shape, kind=kind), tmp_path / "model.onnx"))


def test_operations_older_than_broadcasting_are_refused(tmp_path: Path) -> None:
    made = model([node("Relu", "x")], ROW, opset=6)
    with pytest.raises(ModelError, match=r"version 6 of ONNX's operations.*opset_version=17"):
        read(write(made, tmp_path / "model.onnx"))


def test_two_inputs_are_listed(tmp_path: Path) -> None:
    made = model([node("Add", "x", "z")], ROW)
    made.graph.input.append(helper.make_tensor_value_info("z", 1, ["N", 12]))
    path = write(made, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"its inputs are 'x', 'z'.*--input_node"):
        read(path)
    with pytest.raises(ModelError, match=r"takes 'z', which is another input; a classifier"):
        read(path, input_node="x")
