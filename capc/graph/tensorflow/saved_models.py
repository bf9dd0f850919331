"""SavedModel folders as frozen graphs, by either of TensorFlow's two loaders."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capc.errors import ModelError
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import plain_name

Frozen = tuple[Any, tuple[str, str]]  # a GraphDef without variables; its input and output

_SERVING = "serving_default"
_EXPORT = (
    "export the model again with tf.saved_model.save(model, folder), in Keras 3 with "
    "model.export(folder)"
)


def read_saved_model(path: Path) -> Frozen:
    """The serving signature of a SavedModel.

    What TensorFlow 2's loader cannot restore as objects (legacy optimizers of Keras 2, classes that
    are gone), TensorFlow 1's loader may still read as a graph. Raises ModelError with the reason.
    """
    tf = load_tensorflow()
    try:
        with _quiet_logs():
            return _objects(tf, path)
    except ModelError:
        raise
    except Exception as first:
        return _graph_or_refusal(tf, path, first)


def freeze(tf: Any, function: Any, label: str) -> Frozen:
    """A concrete function with its variables as constants."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function)
    inputs = [tensor.name for tensor in frozen.inputs if tensor.dtype != tf.resource]
    names = one_of_each(label, inputs, [tensor.name for tensor in frozen.outputs])
    return frozen.graph.as_graph_def(), names


def one_of_each(label: str, inputs: list[str], outputs: list[str]) -> tuple[str, str]:
    """The names of the input's and the output's nodes. Raises ModelError where there are more."""
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{label} has {len(inputs)} inputs and {len(outputs)} outputs; "
            "a classifier has one of each: export a model from the images to the logits alone"
        )
    return plain_name(inputs[0]), plain_name(outputs[0])


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


def _objects(tf: Any, path: Path) -> Frozen:
    loaded = tf.saved_model.load(str(path))
    signatures = getattr(loaded, "signatures", {})
    if not signatures:
        raise ModelError(f"{path} has no signature: export it with a serving signature")
    key = _SERVING if _SERVING in signatures else next(iter(signatures))
    return freeze(tf, signatures[key], str(path))


def _graph_or_refusal(tf: Any, path: Path, first: Exception) -> Frozen:
    from tensorflow.python.saved_model.loader_impl import parse_saved_model  # noqa: PLC0415

    try:
        graphs = parse_saved_model(str(path)).meta_graphs
    except Exception as error:
        raise ModelError(f"{path} is not a SavedModel ({first_line(error)}); {_EXPORT}") from error
    serving = [graph for graph in graphs if "serve" in graph.meta_info_def.tags]
    try:
        with _quiet_logs():
            return _graph(tf, path, (serving or list(graphs))[0])
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path} cannot be read ({first_line(first)}); {_EXPORT}") from error


def _graph(tf: Any, path: Path, description: Any) -> Frozen:
    """TensorFlow 1's way: nodes and variables, without the objects that they were made by."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_from_session_graph,
    )

    known = {key: found for key, found in description.signature_def.items() if found.inputs}
    if not known:
        raise ModelError(f"{path} has no signature: export it with a serving signature")
    signature = known[_SERVING if _SERVING in known else min(known)]
    names = one_of_each(
        str(path),
        [tensor.name for tensor in signature.inputs.values()],
        [tensor.name for tensor in signature.outputs.values()],
    )
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.compat.v1.saved_model.load(session, list(description.meta_info_def.tags), str(path))
        output = names[1].partition(":")[0]
        frozen = convert_variables_to_constants_from_session_graph(
            session, graph.as_graph_def(), [output]
        )
    return frozen, names


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
