"""What onnxruntime computes: the yardstick of the import, and every constant of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capc.errors import CapcError, ModelError
from capc.fixed_point import Float64
from capc.graph.onnx.loader import load_onnx, load_onnxruntime
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.sources import MAX_BYTES, OnnxGraph, first_line

_BATCH = 250


def values_of(
    graph: OnnxGraph,
    wanted: Sequence[str],
    images: ArrayLike,
    source: str,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Float64]:
    """Values of the graph for images (n, *shape); `advance` is told how many images are done.

    Raises ModelError where onnxruntime refuses; `source` is what it calls the model.
    """
    onnx = load_onnx()
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    kind = next(one for one in model.graph.input if one.name == graph.input_name)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.type.tensor_type.elem_type)
    batch = np.asarray(images).astype(dtype)
    size = graph.batch or _BATCH
    parts = []
    try:
        session = _session(model)
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            missing = 0 if graph.batch is None else size - len(part)
            filled = np.pad(part, [(0, missing)] + [(0, 0)] * (part.ndim - 1))
            found = session.run(list(wanted), {graph.input_name: filled})
            parts.append([value[: len(part)] for value in found])
            advance(len(part))
    except CapcError:
        raise
    except Exception as error:  # onnxruntime's classes have no base of their own
        raise ModelError(
            f"onnxruntime cannot run {source}: {first_line(error)}; export the model again for "
            "inference"
        ) from error
    return [
        np.concatenate([np.asarray(value, dtype=np.float64) for value in values])
        for values in zip(*parts, strict=True)
    ]


def computed(graph: OnnxGraph, node: Node, inputs: Sequence[NDArray[Any] | None]) -> list[Any]:
    """The outputs of a node whose inputs are constants; None where one is left out."""
    onnx = load_onnx()
    given = {
        name: np.asarray(value)
        for name, value in zip(node.inputs, inputs, strict=True)
        if value is not None
    }
    named = [name for name in node.outputs if name]
    part = onnx.GraphProto(name="constants", node=[node.definition])
    part.input.extend(
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in given.items()
    )
    part.output.extend(onnx.ValueInfoProto(name=name) for name in named)
    model = onnx.ModelProto(
        graph=part, ir_version=graph.model.ir_version, opset_import=graph.model.opset_import
    )
    try:
        found = dict(zip(named, _session(model).run(named, given), strict=True))
    except CapcError:
        raise
    except Exception as error:
        raise ModelError(
            f"node '{node.name}' ({node.op}) cannot be folded: {first_line(error)}; correct the "
            "constants and export the model again"
        ) from error
    return [found.get(name) for name in node.outputs]


def _session(model: Any) -> Any:
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    # Values on the way are asked for, and a constant is one node: there is nothing to optimise.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if model.ByteSize() > MAX_BYTES:
        raise ModelError("the model has more than 2 GiB of weights: none of that size runs here")
    return runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
