"""ONNX files as graphs of nodes: read whole, external weights included, and checked."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.files import read_bounded
from capc.graph.kernels import Shape
from capc.graph.onnx.loader import load_onnx
from capc.graph.onnx.names import input_and_output
from capc.graph.onnx.nodes import STANDARD, Node, node_of

MAX_BYTES = (2 << 30) - 1  # protobuf holds no more
_OLDEST = 7  # the first version of the operations whose operands broadcast as NumPy's do


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """Nodes by the name of their first output, each after its inputs.

    `makers` has the node of every value. The input takes images of `shape`, `batch` at a time where
    that is a number. `model` is the ModelProto, with all weights in it. `multi_label`: each output
    is a label of its own, there where its sigmoid passes one half.
    """

    model: Any
    nodes: Mapping[str, Node]
    constants: Mapping[str, Any]
    input_name: str
    output_name: str
    shape: Shape
    batch: int | None
    makers: Mapping[str, str] = field(default_factory=dict)
    multi_label: bool = False

    def constant(self, name: str) -> NDArray[Any]:
        """The value of an initializer."""
        return np.asarray(load_onnx().numpy_helper.to_array(self.constants[name]))


def read_onnx(path: Path, input_node: str, output_node: str) -> OnnxGraph:
    """Load an ONNX file.

    Without names, the one input that is no constant and the one output that is no label are taken.
    Raises ModelError where the file is not a model, lacks the names, or needs an older version of
    ONNX's operations than 7.
    """
    onnx = load_onnx()
    model = _with_weights(path, _model(path))
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        for output in model.graph.output:  # the checker asks for its shape, which nobody needs
            if output.type.HasField("tensor_type"):
                output.type.tensor_type.shape.SetInParent()
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not a valid ONNX model: {first_line(error)}; export it again"
        ) from error
    versions = {
        "" if one.domain in STANDARD else one.domain: int(one.version) for one in model.opset_import
    }
    if versions.get("", _OLDEST) < _OLDEST:
        raise ModelError(
            f"{path} uses version {versions['']} of ONNX's operations (opset), and supported are "
            f"{_OLDEST} and later: export it again with opset_version=17"
        )
    nodes = [node_of(definition, versions) for definition in model.graph.node]
    nodes = [node for node in nodes if node.name]
    makers = {name: node.name for node in nodes for name in node.outputs if name}
    first, last = input_and_output(path.name, model.graph, nodes, input_node, output_node)
    shape, batch = _input_shape(first)
    return OnnxGraph(
        model=model,
        nodes={node.name: node for node in nodes},
        constants={one.name: one for one in model.graph.initializer},
        input_name=first.name,
        output_name=last,
        shape=shape,
        batch=batch,
        makers=makers,
    )


def files_of(path: Path) -> list[tuple[str, Path]]:
    """The files that hold a model, by name beside it: itself, and those of its weights.

    Raises ModelError as `read_onnx` does.
    """
    locations = {location for _, location in _external(path, _model(path))}
    return [("", path), *((name, path.parent / name) for name in sorted(locations))]


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _model(path: Path) -> Any:
    onnx = load_onnx()
    try:
        content = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        if type(error).__name__ != "DecodeError":
            raise
        raise ModelError(_not_onnx(path)) from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(_not_onnx(path))
    return model


def _not_onnx(path: Path) -> str:
    return f"{path} is not an ONNX model: give a file that torch.onnx.export or its like wrote"


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"{path} cannot be read: {error.strerror}; check the path and its permissions"
    )


def _tensors(graph: Any) -> Iterator[Any]:
    """The constants of a graph, wherever they stand."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _external(path: Path, model: Any) -> list[tuple[Any, str]]:
    """The constants whose numbers lie in other files, with the names of these beside the model."""
    found = []
    for tensor in _tensors(model.graph):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        keys = {entry.key: entry.value for entry in tensor.external_data}
        location = keys.get("location", "")
        place = PurePosixPath(location)
        if not location or place.is_absolute() or ".." in place.parts:
            raise ModelError(
                f"{path} has weights in '{location}': supported are files beside it, or below; "
                "export the model again, with its weights inside"
            )
        found.append((tensor, location))
    return found


def _with_weights(path: Path, model: Any) -> Any:
    """The model with the numbers of other files in it."""
    onnx = load_onnx()
    external = _external(path, model)
    total = 0
    for location in sorted({location for _, location in external}):
        file = path.parent / location
        try:
            found = file.stat()
        except OSError as error:
            raise ModelError(
                f"{path} has weights in {location}, which cannot be read ({error.strerror}): keep "
                "the two files together, or export the model again, with its weights inside"
            ) from error
        total += found.st_size
        if not stat.S_ISREG(found.st_mode) or total > MAX_BYTES:
            raise ModelError(
                f"{path} has weights in {location}, which is no regular file, or has more than "
                "2 GiB with others: no model of that size runs here"
            )
    if external:
        try:
            onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(
                f"{path} has weights in other files that cannot be read: {first_line(error)}; "
                "export the model again, with its weights inside"
            ) from error
    return model


def _input_shape(value: Any) -> tuple[Shape, int | None]:
    """The shape of one image, and the batch size where it is a number."""
    onnx = load_onnx()
    kind = value.type.tensor_type
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16}
    if kind.elem_type not in floats:
        name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
        raise ModelError(
            f"input '{value.name}' takes {name}, and queries are pixels in floating point: export "
            "the model with a float32 input"
        )
    sizes = [int(size.dim_value) for size in kind.shape.dim]
    if len(sizes) < 2 or any(size < 1 for size in sizes[1:]):
        raise ModelError(
            f"input '{value.name}' has the shape {[size or '?' for size in sizes] or 'unknown'}; "
            "every size but the first, the batch, must be known: export the model with a fixed "
            "image size"
        )
    return tuple(sizes[1:]), sizes[0] or None
