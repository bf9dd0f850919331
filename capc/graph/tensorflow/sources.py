"""Model files as frozen graphs: GraphDef .pb, SavedModel directory, Keras .keras and .h5."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capc.errors import ModelError
from capc.files import open_bounded, read_bounded
from capc.graph.tensorflow.inlining import inlined_nodes
from capc.graph.tensorflow.loader import load_tensorflow

DEFAULT_INPUT = "import/input:0"
DEFAULT_OUTPUT = "import/output/BiasAdd:0"
MAX_GRAPH_BYTES = 2 << 30  # protobuf reads no more

# How Keras says that a file needs a Lambda's code, or a class that nobody has registered.
_NEEDS_CODE = ("safe_mode", "Could not locate", "custom_object_scope")


@dataclass(frozen=True, eq=False)
class FrozenGraph:
    """NodeDef messages by name, without variables, and the names of input and output.

    `definition` is the GraphDef with the functions that the nodes were inlined from, if any were.
    """

    nodes: dict[str, Any]
    input_name: str
    output_name: str
    definition: Any = None


def read_graph(path: Path, input_node: str, output_node: str) -> FrozenGraph:
    """Load any supported file.

    A SavedModel or a Keras file with one input and one output is used as it is where the node
    names do not occur in it. Raises ModelError where the file is not a model or lacks the nodes.
    """
    if path.name == "saved_model.pb":
        path = path.parent
    if not path.exists():
        raise ModelError(f"there is no model at {path}; check the path")
    own: tuple[str, str] | None = None
    _require_regular(path)
    if path.is_dir():
        graph, own = _saved_model(path)
    elif path.suffix in {".keras", ".h5", ".hdf5"}:
        graph, own = _keras(path)
    else:
        graph = _graph_def(path)
    nodes = inlined_nodes(graph)
    names = [_resolve(nodes, wanted) for wanted in (input_node, output_node)]
    if own is not None:
        names = [found or fallback for found, fallback in zip(names, own, strict=True)]
    for wanted, found in zip((input_node, output_node), names, strict=True):
        if found is None:
            raise ModelError(_missing(path, nodes, wanted))
    called = graph if graph.library.function else None
    return FrozenGraph(nodes, str(names[0]), str(names[1]), called)


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


def plain_name(tensor: str) -> str:
    """A node's name from a tensor's: without a leading ^ and a trailing :0."""
    name = tensor.removeprefix("^")
    return name[:-2] if name.endswith(":0") else name


def data_inputs(node: Any) -> list[str]:
    """The names of the nodes whose values `node` takes, in order."""
    return [plain_name(name) for name in node.input if not name.startswith("^")]


def _resolve(nodes: dict[str, Any], wanted: str) -> str | None:
    name = plain_name(wanted)
    for candidate in (name, name.removeprefix("import/")):
        if candidate in nodes:
            return candidate
    return None


def _missing(path: Path, nodes: dict[str, Any], wanted: str) -> str:
    placeholders = [name for name, node in nodes.items() if node.op == "Placeholder"]
    used = {name for node in nodes.values() for name in data_inputs(node)}
    idle = {"Const", "NoOp", "Placeholder", "Assert", "SaveV2", "RestoreV2"}
    ends = [name for name, node in nodes.items() if name not in used and node.op not in idle]
    return (
        f"{path.name} has no node '{plain_name(wanted)}'; its placeholders are "
        f"{_listing(placeholders)}, its last nodes are {_listing(ends)}: "
        "name them with --input_node and --output_node"
    )


def _listing(names: Iterable[str], most: int = 8) -> str:
    shown = list(names)
    if not shown:
        return "(none)"
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(f"'{name}'" for name in shown[:most]) + more


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
    return (
        f"{path} is not a frozen TensorFlow graph: give a GraphDef .pb, a SavedModel directory, "
        "or a Keras .keras or .h5 file"
    )


def _saved_model(path: Path) -> tuple[Any, tuple[str, str]]:
    tf = load_tensorflow()
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(
            f"{path} is not a SavedModel ({_first_line(error)}); export the model again with "
            "tf.saved_model.save"
        ) from error
    signatures = getattr(loaded, "signatures", {})
    if not signatures:
        raise ModelError(f"{path} has no signature: export it with a serving signature")
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    return _freeze(tf, signatures[key], path)


def _keras(path: Path) -> tuple[Any, tuple[str, str]]:
    tf = load_tensorflow()
    try:
        model = tf.keras.models.load_model(str(path), compile=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        if any(sign in str(error) for sign in _NEEDS_CODE):
            raise ModelError(
                f"{path} has a layer of its author's own Python code, which is not run here: save "
                "the model with model.export(folder), and give that folder"
            ) from error
        raise ModelError(
            f"{path} is not a Keras model ({_first_line(error)}); save it again with model.save"
        ) from error
    return freeze_keras(model, str(path))


def freeze_keras(model: Any, label: str) -> tuple[Any, tuple[str, str]]:
    """A Keras model with one input as a GraphDef without variables, and its two node names."""
    tf = load_tensorflow()
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{label} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "a classifier has one of each: export a model from the images to the logits alone"
        )
    given = model.inputs[0]
    signature = tf.TensorSpec(given.shape, given.dtype, name="input")
    function = tf.function(lambda images: model(images, training=False))
    return _freeze(tf, function.get_concrete_function(signature), Path(label))


def _freeze(tf: Any, function: Any, path: Path) -> tuple[Any, tuple[str, str]]:
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function)
    inputs = [tensor for tensor in frozen.inputs if tensor.dtype != tf.resource]
    if len(inputs) != 1 or len(frozen.outputs) != 1:
        raise ModelError(
            f"{path} has {len(inputs)} inputs and {len(frozen.outputs)} outputs; "
            "a classifier has one of each: export a model from the images to the logits alone"
        )
    names = plain_name(inputs[0].name), plain_name(frozen.outputs[0].name)
    return frozen.graph.as_graph_def(), names


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
