"""Small ONNX graphs, made node by node, and what onnxruntime itself says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.graph.layers import Network
from capc.graph.onnx import verification
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT
OPSET = 18


def node(op: str, *inputs: str, out: str | Sequence[str] = "y", **attributes: Any) -> Any:
    """A node; `out` names its outputs."""
    outputs = [out] if isinstance(out, str) else list(out)
    return helper.make_node(op, list(inputs), outputs, **attributes)


def uniform(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    """Weights in [-1, 1)."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def model(
    nodes: Sequence[Any],
    shape: Sequence[int | str],
    constants: dict[str, Any] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = OPSET,
    kind: int = FLOAT,
    domains: dict[str, int] | None = None,
) -> Any:
    """A model of the input x with `shape`, the batch counted, and constants by name."""
    versions = {"": opset, "ai.onnx.ml": 3, "com.microsoft": 1, **(domains or {})}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in (constants or {}).items()
        ],
    )
    graph = onnx.shape_inference.infer_shapes(_versioned(graph, versions)).graph
    for output in graph.output:  # of what ONNX does not know: some type, and no axes
        tensor = output.type.tensor_type
        if not output.type.WhichOneof("value"):
            tensor.elem_type = FLOAT
    return _versioned(graph, versions)


def _versioned(graph: Any, versions: dict[str, int]) -> Any:
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def write(made: Any, path: Path) -> Path:
    """Save a model; its path."""
    path.write_bytes(made.SerializeToString())
    return path


def read(
    path: Path,
    input_node: str = DEFAULT_INPUT,
    output_node: str = DEFAULT_OUTPUT,
    input_range: tuple[float, float] = (-1.0, 1.0),
) -> Network:
    """The model's layers, compared with onnxruntime as a run does it."""
    return verification.import_verified(path, input_node, output_node, input_range)[0]


def run(path: Path, images: NDArray[Any], output: str | None = None) -> NDArray[Any]:
    """What onnxruntime computes of a file, without any code of this project."""
    options = onnxruntime.SessionOptions()
    # Its optimisations compute with eight bits where weights have been quantised.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = output or session.get_outputs()[0].name
    found: NDArray[Any] = session.run([wanted], {session.get_inputs()[0].name: images})[0]
    return found
