"""SavedModel folders as frozen graphs, by either of TensorFlow's two loaders."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capc.errors import ModelError
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import DEFAULT_OUTPUT, Nodes, plain_name, resolve


@dataclass(frozen=True, eq=False)
class Frozen:
    """A GraphDef without variables; the nodes of its inputs and outputs, by the model's names."""

    graph: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


_SERVING = "serving_default"
_EXPORT = (
    "export the model again with tf.saved_model.save(model, folder), in Keras 3 with "
    "model.export(folder)"
)


def read_saved_model(path: Path, output_node: str = DEFAULT_OUTPUT) -> Frozen:
    """The signature of a SavedModel that has the output, else the serving one or the only one.

    What TensorFlow 2's loader cannot restore as objects (legacy optimizers of Keras 2, classes that
    are gone), TensorFlow 1's loader may still read as a graph. Raises ModelError with the reason.
    """
    tf = load_tensorflow()
    try:
        with _quiet_logs():
            return _objects(tf, path, output_node)
    except ModelError:
        raise
    except Exception as first:
        return _graph_or_refusal(tf, path, output_node, first)


def freeze(tf: Any, function: Any, names: Sequence[str] = ()) -> Frozen:
    """A concrete function with its variables as constants; `names` are those of its outputs."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function)
    inputs = [plain_name(tensor.name) for tensor in frozen.inputs if tensor.dtype != tf.resource]
    outputs = [plain_name(tensor.name) for tensor in frozen.outputs]
    keys = names or _keys(function.structured_outputs)
    if len(keys) != len(outputs):
        keys = outputs
    return Frozen(
        frozen.graph.as_graph_def(),
        dict(zip(inputs, inputs, strict=True)),
        dict(zip(keys, outputs, strict=True)),
    )


def _keys(structure: Any) -> list[str]:
    """The names that a signature gives its outputs, in TensorFlow's order."""
    return sorted(map(str, structure)) if isinstance(structure, Mapping) else []


def ends(label: str, nodes: Nodes, frozen: Frozen, wanted: tuple[str, str]) -> tuple[str, str]:
    """The input's and the output's node: those `wanted`, by a node's or the model's own name.

    Where such a name does not occur, the only one there is. Raises ModelError where there are more.
    """
    return (
        _end(label, nodes, frozen.inputs, wanted[0], "input"),
        _end(label, nodes, frozen.outputs, wanted[1], "output"),
    )


def _end(label: str, nodes: Nodes, known: Mapping[str, str], wanted: str, kind: str) -> str:
    found = resolve(nodes, wanted) or known.get(plain_name(wanted))
    if found is not None:
        return found
    if len(known) == 1:
        return next(iter(known.values()))
    raise ModelError(
        f"{label} has {len(known)} {kind}s ({', '.join(known) or 'none'}), and a classifier has "
        f"one: name it with --{kind}_node"
    )


def first_line(error: BaseException) -> str:
    """What an error says, short enough for one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [
        line
        for line in lines
        if line
        and not line.endswith(":")
        and not line.startswith(("Detected at", "Node: ", "<stack"))
    ]
    line = [*telling, *filter(None, lines), type(error).__name__][0]
    return line if len(line) <= 300 else f"{line[:300]}..."


def _signature(path: Path, outputs: Mapping[str, Collection[str]], output_node: str) -> str:
    """Which signature is meant, of those with these outputs. Raises ModelError where none is."""
    if not outputs:
        raise ModelError(f"{path} has no signature: export it with a serving signature")
    named = [key for key, names in outputs.items() if plain_name(output_node) in names]
    if len(named) == 1:
        return named[0]
    if _SERVING in outputs:
        return _SERVING
    if len(outputs) == 1:
        return next(iter(outputs))
    shown = ", ".join(f"{key} ({', '.join(sorted(names))})" for key, names in outputs.items())
    raise ModelError(
        f"{path} has {len(outputs)} signatures and none is {_SERVING}: name an output of the one "
        f"that is meant with --output_node; they are {shown}"
    )


def _objects(tf: Any, path: Path, output_node: str) -> Frozen:
    loaded = tf.saved_model.load(str(path))
    signatures = getattr(loaded, "signatures", {})
    outputs = {key: _keys(found.structured_outputs) for key, found in signatures.items()}
    return freeze(tf, signatures[_signature(path, outputs, output_node)])


def _graph_or_refusal(tf: Any, path: Path, output_node: str, first: Exception) -> Frozen:
    from tensorflow.python.saved_model.loader_impl import parse_saved_model  # noqa: PLC0415

    try:
        graphs = parse_saved_model(str(path)).meta_graphs
    except Exception as error:
        raise ModelError(f"{path} is not a SavedModel ({first_line(error)}); {_EXPORT}") from error
    serving = [graph for graph in graphs if "serve" in graph.meta_info_def.tags]
    try:
        with _quiet_logs():
            return _graph(tf, path, (serving or list(graphs))[0], output_node)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path} cannot be read ({first_line(first)}); {_EXPORT}") from error


def _graph(tf: Any, path: Path, description: Any, output_node: str) -> Frozen:
    """TensorFlow 1's way: nodes and variables, without the objects that they were made by."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_from_session_graph,
    )

    known = {key: found for key, found in description.signature_def.items() if found.inputs}
    named = {key: list(found.outputs) for key, found in known.items()}
    signature = known[_signature(path, named, output_node)]
    inputs = {key: plain_name(tensor.name) for key, tensor in signature.inputs.items()}
    outputs = {key: plain_name(tensor.name) for key, tensor in sorted(signature.outputs.items())}
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.compat.v1.saved_model.load(session, list(description.meta_info_def.tags), str(path))
        wanted = sorted({name.partition(":")[0] for name in outputs.values()})
        frozen = convert_variables_to_constants_from_session_graph(
            session, graph.as_graph_def(), wanted
        )
    return Frozen(frozen, inputs, outputs)


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Without TensorFlow's lines about what is deprecated and which files it restores."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
