"""Model files as frozen graphs: GraphDef .pb, SavedModel folder, Keras .keras, .h5 and .hdf5."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capc.errors import CapcError, ModelError
from capc.files import open_bounded, read_bounded
from capc.graph.tensorflow.inlining import inlined_nodes
from capc.graph.tensorflow.loader import load_keras, load_tensorflow
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT, input_and_output
from capc.graph.tensorflow.saved_models import Frozen, ends, first_line, freeze, read_saved_model

_SUFFIXES = {".keras": ".keras", ".h5": ".h5", ".hdf5": ".h5", ".onnx": "onnx"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
MAX_GRAPH_BYTES = 2 << 30  # protobuf reads no more

# How Keras says that a file needs a Lambda's code, or a class that nobody has registered.
_NEEDS_CODE = ("safe_mode", "Could not locate", "custom_object_scope")


@dataclass(frozen=True, eq=False)
class FrozenGraph:
    """NodeDef messages by name, without variables, and the names of input and output.

    `definition` is the GraphDef with the functions that the nodes were inlined from, if any were.
    `multi_label`: each output is a label of its own, present where its sigmoid passes one half.
    """

    nodes: dict[str, Any]
    input_name: str
    output_name: str
    definition: Any = None
    multi_label: bool = False


def fixed_batch(placeholder: Any) -> int | None:
    """How many images a placeholder takes at a time, where that is a constant; else None."""
    sizes = placeholder.attr["shape"].shape.dim
    return int(sizes[0].size) if len(sizes) and sizes[0].size > 0 else None


def model_path(path: Path) -> Path:
    """What is read for a path: the folder where it is a SavedModel's own file."""
    return path.parent if path.name == "saved_model.pb" else path


def kind_of(path: Path) -> str:
    """How a model is read: folder, .keras, .h5, onnx or graph. Its name decides alone."""
    return "folder" if path.is_dir() else _SUFFIXES.get(path.suffix.lower(), "graph")


def read_graph(path: Path, input_node: str, output_node: str) -> FrozenGraph:
    """Load any supported file.

    Where the node names do not occur, a SavedModel or a Keras file is used from its one input to
    its one output, and another graph, if the names are the defaults, from its only placeholder to
    its only last node. Raises ModelError where the file is not a model or lacks the nodes.
    """
    path = model_path(path)
    if not path.exists():
        raise ModelError(f"there is no model at {path}; check the path")
    _require_regular(path)
    kind = kind_of(path)
    if kind == "graph":
        graph = _graph_def(path)
        nodes = inlined_nodes(graph)
        outer = [node.name for node in graph.node]
        names = input_and_output(path.name, nodes, outer, input_node, output_node)
        return FrozenGraph(nodes, *names, _called(graph))
    frozen = read_saved_model(path, output_node) if kind == "folder" else _keras(path, kind)
    nodes = inlined_nodes(frozen.graph)
    first, last = ends(str(path), nodes, frozen, (input_node, output_node))
    return FrozenGraph(nodes, first, last, _called(frozen.graph))


def _called(graph: Any) -> Any:
    """The graph before its calls were inlined, where it has any."""
    return graph if graph.library.function else None


def _require_regular(path: Path) -> None:
    """Raises ModelError for a pipe, a device or a file too large, before anything waits for it."""
    files = [path] if not path.is_dir() else [path / "saved_model.pb"]
    try:
        for file in files:
            if file.exists():
                with open_bounded(file, MAX_GRAPH_BYTES):
                    pass
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}; check the path and its permissions"
        ) from error


def _graph_def(path: Path) -> Any:
    tf = load_tensorflow()
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(read_bounded(path, MAX_GRAPH_BYTES))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}; check the path and its permissions"
        ) from error
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        if type(error).__name__ != "DecodeError":
            raise
        raise ModelError(_not_a_graph(path)) from error
    if not graph.node or not all(node.name and node.op for node in graph.node):
        raise ModelError(_not_a_graph(path))
    return graph


def _not_a_graph(path: Path) -> str:
    suffix = _keras_suffix(path)
    if suffix:
        return f"{path} is a Keras file, and files are told apart by name: name it with {suffix}"
    return (
        f"{path} is not a frozen TensorFlow graph: give a GraphDef .pb, a SavedModel directory, "
        "a Keras .keras or .h5 file, or an ONNX model named .onnx"
    )


def _keras_suffix(path: Path) -> str:
    """The suffix that a Keras file's content asks for, else nothing."""
    with path.open("rb") as file:
        if file.read(len(_HDF5)) == _HDF5:
            return ".h5"
    try:
        with zipfile.ZipFile(path) as archive:
            return ".keras" if "config.json" in archive.namelist() else ""
    except (OSError, zipfile.BadZipFile):
        return ""


def _keras(path: Path, suffix: str) -> Frozen:
    keras = load_keras()
    try:
        with tempfile.TemporaryDirectory(prefix="capc-model-") as folder:
            named = path
            if path.suffix != suffix:  # Keras knows its files by these suffixes alone
                named = Path(folder) / f"model{suffix}"
                named.symlink_to(path.resolve())
            model = keras.models.load_model(str(named), compile=False)
    except CapcError:
        raise
    except Exception as error:
        if any(sign in str(error) for sign in _NEEDS_CODE):
            raise ModelError(
                f"{path} has a layer of its author's own Python code, which is not run here: save "
                "the model with model.export(folder), and give that folder"
            ) from error
        raise ModelError(
            f"{path} is not a Keras model (Keras {keras.__version__}: {first_line(error)}); save "
            "it whole with model.save, or with the Keras that made it as a folder: "
            "model.export(folder), before Keras 3 tf.saved_model.save(model, folder)"
        ) from error
    return freeze_keras(model)


def graph_of_keras(model: Any, label: str) -> FrozenGraph:
    """A Keras classifier in memory, from its one input to its one output, without variables."""
    frozen = freeze_keras(model)
    nodes = inlined_nodes(frozen.graph)
    return FrozenGraph(nodes, *ends(label, nodes, frozen, (DEFAULT_INPUT, DEFAULT_OUTPUT)))


def freeze_keras(model: Any) -> Frozen:
    """A Keras model without variables; its inputs and outputs have the names of their layers."""
    tf = load_tensorflow()
    one = len(model.inputs) == 1
    given = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name="input" if one else tensor.name)
        for tensor in model.inputs
    ]
    function = tf.function(
        lambda *images: tf.nest.flatten(model(images[0] if one else list(images), training=False))
    )
    return freeze(tf, function.get_concrete_function(*given), getattr(model, "output_names", ()))
