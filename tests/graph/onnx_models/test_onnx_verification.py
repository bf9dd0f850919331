"""A mistake in reading an ONNX model is found by onnxruntime, with the first node that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, onnx, read, uniform, write

from capc.errors import ModelError
from capc.graph.comparison import Stages
from capc.graph.layers import Conv2D, LeakyRelu
from capc.graph.onnx import importer, operations, verification
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.reader import Reader, Tensor, Value
from capc.graph.onnx.sources import read_onnx
from capc.graph.prepared import load_network, prepare
from capc.graph.prepared import verification as tried
from capc.graph.simplify import simplify

IMAGE = ("N", 4, 7, 6)
Change = Callable[[Node], Node]


def network(path: Path) -> Path:
    """Conv, LeakyRelu, a padded pool, flatten, Gemm: each node with its own output's name."""
    nodes = [
        node("Conv", "x", "k", out="conv", pads=[1, 1, 1, 1]),
        node("LeakyRelu", "conv", out="leaky", alpha=0.3),
        node("AveragePool", "leaky", out="pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Flatten", "pool", out="flat"),
        node("Gemm", "flat", "w", out="logits", alpha=0.5),
    ]
    constants = {"k": uniform(5, 4, 3, 3), "w": uniform(210, 3, seed=2)}
    return write(model(nodes, IMAGE, constants, outputs=["logits"]), path)


def misread(monkeypatch: pytest.MonkeyPatch, operation: str, **attributes: Any) -> None:
    """From now on an operation is read as if its attributes were others."""
    right = operations.OPERATIONS[operation]

    def wrong(reader: Reader, given: Node, values: Sequence[Value]) -> Any:
        changed = replace(given, attributes={**given.attributes, **attributes})
        return right.convert(reader, changed, values)

    monkeypatch.setitem(operations.OPERATIONS, operation, replace(right, convert=wrong))


def test_a_model_that_is_read_rightly_says_how_near_it_is(tmp_path: Path) -> None:
    found, agreement = verification.import_verified(
        network(tmp_path / "model.onnx"), "import/input:0", "import/output/BiasAdd:0", (0.0, 1.0)
    )
    assert agreement.images == 8
    assert agreement.error < 1e-6
    assert found.output.shape == (3,)


@pytest.mark.parametrize(
    ("operation", "attributes", "layer"),
    [
        ("Conv", {"pads": [2, 2, 0, 0]}, "conv"),
        ("LeakyRelu", {"alpha": 0.01}, "leaky"),
        ("AveragePool", {"count_include_pad": 1}, "pool"),
        ("Gemm", {"alpha": 1.0}, "logits"),
    ],
)
def test_a_misread_attribute_is_refused_with_the_first_node(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    attributes: dict[str, Any],
    layer: str,
) -> None:
    misread(monkeypatch, operation, **attributes)
    said = (
        rf"layer '{layer}' is read otherwise than onnxruntime computes it: logits of .*model\.onnx"
    )
    with pytest.raises(ModelError, match=said):
        read(network(tmp_path / "model.onnx"))


def test_a_value_that_lies_otherwise_than_believed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of a flattened image in the order of the layer, not of ONNX."""
    right = operations.OPERATIONS["Flatten"]

    def unturned(reader: Reader, given: Node, values: Sequence[Value]) -> Tensor:
        (source,) = (value for value in values if isinstance(value, Tensor))
        return Tensor(reader.reshaped(source.layer, (210,)))

    monkeypatch.setitem(operations.OPERATIONS, "Flatten", replace(right, convert=unturned))
    with pytest.raises(ModelError, match=r"layer 'flat' is read otherwise"):
        read(network(tmp_path / "model.onnx"))


def test_a_wrong_simplification_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(given: Any) -> Any:
        layers = [
            replace(layer, slope=0.0) if isinstance(layer, LeakyRelu) else layer
            for layer in simplify(given).layers
        ]
        return type(given)(tuple(layers))

    monkeypatch.setattr(importer, "simplify", wrong)
    with pytest.raises(ModelError, match=r"layer 'logits' is read otherwise"):
        read(network(tmp_path / "model.onnx"))


def test_every_layer_that_stands_for_a_node_is_compared(tmp_path: Path) -> None:
    """Values are arranged as the layers have them, so that each can be named."""
    graph = read_onnx(network(tmp_path / "model.onnx"), "import/input:0", "import/output/BiasAdd:0")
    stages: Stages = verification._Exported(graph, "it").stages(np.ones((2, 4, 7, 6)))
    compared = {
        stages.nodes[layer.name]: stages.values[layer.name].shape[1:] == layer.shape
        for layer in stages.network.layers
        if layer.name in stages.values
    }
    assert compared == dict.fromkeys(["conv", "leaky", "pool", "flat", "logits"], True)
    assert isinstance(stages.network.layer("conv"), Conv2D)


def test_half_precision_has_a_tolerance_of_its_own(tmp_path: Path) -> None:
    half = onnx.TensorProto.FLOAT16
    nodes = [node("Cast", "x", out="h", to=half), node("Gemm", "h", "w")]
    constants = {"w": uniform(12, 5).astype(np.float16)}
    path = write(model(nodes, ("N", 12), constants), tmp_path / "model.onnx")
    assert read(path).output.shape == (5,)


def test_a_prepared_model_says_how_it_was_tried(tmp_path: Path) -> None:
    prepared = prepare(
        network(tmp_path / "model.onnx"), cache_dir=tmp_path, input_range=(-1.0, 2.0)
    )
    found = tried(prepared)
    assert (found["images"], found["input_range"]) == (8, [-1.0, 2.0])
    assert load_network(prepared).input.shape == (4, 7, 6)
