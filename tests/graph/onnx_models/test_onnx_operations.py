"""Each operation and attribute of ONNX that is read, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_cases import CASES, IMAGE, K3, Case, pads
from onnx_graphs import model, node, read, run, uniform, write

from capc.graph.float_reference import evaluate_float


def flattened(case: Case) -> list[Any]:
    """The nodes of a case, whose output y is made one axis."""
    nodes = [*case.nodes, node("Flatten", "y", out="flat", axis=1)]
    return nodes


@pytest.mark.parametrize("name", CASES)
def test_an_operation_gives_what_onnxruntime_gives(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    made = model(flattened(case), case.shape, case.constants, outputs=["flat"], opset=case.opset)
    path = write(made, tmp_path / "model.onnx")
    images = (
        np.random.default_rng(7).uniform(-2, 2, (3, *map(int, case.shape[1:]))).astype(np.float32)
    )
    network = read(path)
    assert network.input.shape == tuple(case.shape[1:])
    np.testing.assert_allclose(
        evaluate_float(network, images), run(path, images), rtol=1e-4, atol=2e-5
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_that_is_a_number(tmp_path: Path, batch: int) -> None:
    nodes = [
        node("Conv", "x", "w", out="c"),
        node("Add", "c", "k", out="a"),
        node("Reshape", "a", "s"),
    ]
    constants = {
        "w": K3,
        "k": np.repeat(uniform(1, 6, 1, 1), batch, axis=0),
        "s": pads(batch, 120),
    }
    path = write(model(nodes, (batch, 4, 7, 6), constants), tmp_path / "model.onnx")
    images = np.random.default_rng(7).uniform(-2, 2, (batch, 4, 7, 6)).astype(np.float32)
    np.testing.assert_allclose(
        evaluate_float(read(path), images), run(path, images), rtol=1e-4, atol=2e-5
    )


def test_two_users_of_a_transposed_value_keep_theirs(tmp_path: Path) -> None:
    """A scale after a transpose must not be merged into a convolution that another value takes."""
    nodes = [
        node("Conv", "x", "w", out="c"),
        node("Transpose", "c", out="t", perm=[0, 2, 3, 1]),
        node("Transpose", "t", out="back", perm=[0, 3, 1, 2]),
        node("Mul", "back", "k", out="m"),
        node("Transpose", "t", out="again", perm=[0, 3, 1, 2]),
        node("Add", "m", "again", out="y"),
        node("Flatten", "y", out="flat"),
    ]
    made = model(nodes, IMAGE, {"w": K3, "k": uniform(6, 1, 1)}, outputs=["flat"])
    path = write(made, tmp_path / "model.onnx")
    images = uniform(2, 4, 7, 6)
    np.testing.assert_allclose(
        evaluate_float(read(path), images), run(path, images), rtol=1e-4, atol=2e-5
    )


def test_layers_keep_channels_last_between_convolutions(tmp_path: Path) -> None:
    """One transpose at the beginning; none where a graph goes back and forth."""
    nodes = [
        node("Transpose", "x", out="n", perm=[0, 3, 1, 2]),
        node("Conv", "n", "w", out="c"),
        node("Transpose", "c", out="l", perm=[0, 2, 3, 1]),
        node("Relu", "l", out="r"),
        node("Transpose", "r", out="o", perm=[0, 3, 1, 2]),
        node("Conv", "o", "v", out="d"),
        node("GlobalAveragePool", "d", out="g"),
        node("Flatten", "g"),
    ]
    constants = {"w": K3, "v": uniform(5, 6, 3, 3)}
    network = read(write(model(nodes, ("N", 7, 6, 4), constants), tmp_path / "model.onnx"))
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Input", "Conv2D", "Relu", "Conv2D", "AvgPool", "Reshape"]
