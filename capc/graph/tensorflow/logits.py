"""What TensorFlow itself computes from a model file: the yardstick of the integer arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.tensorflow.importer import logits_and_nodes
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.sources import FrozenGraph, data_inputs, read_graph

_BATCH = 250


def tensorflow_logits(
    path: Path,
    input_node: str,
    output_node: str,
    images: ArrayLike,
    advance: Callable[[int], None] = lambda _: None,
) -> Float64:
    """Logits (n, C) of images (n, H, W, C), computed in float32 by TensorFlow.

    A softmax or sigmoid at the end is left out, as by `import_network`. `advance` is told how many
    images are done. Raises ModelError as `import_network` does, and where TensorFlow refuses.
    """
    return logits_of(read_graph(Path(path), input_node, output_node), images, str(path), advance)


def logits_of(
    frozen: FrozenGraph,
    images: ArrayLike,
    source: str,
    advance: Callable[[int], None] = lambda _: None,
) -> Float64:
    """The same for a graph that is read already; `source` is what an error calls it."""
    output, names = logits_and_nodes(frozen)
    logits = _run(frozen, names, [output], images, source, advance=advance)[0]
    if logits.shape[1:] == (1,):  # two classes, as `with_two_classes` has them
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return logits


def node_values(
    frozen: FrozenGraph, nodes: Sequence[str], images: ArrayLike, source: str
) -> dict[str, Float64]:
    """The first outputs of those of the `nodes` that the logits depend on; `a:1` is the second."""
    _, names = logits_and_nodes(frozen)
    known = set(names)
    wanted = [node for node in nodes if node.partition(":")[0] in known]
    found = _run(frozen, names, wanted, images, source)
    return dict(zip(wanted, found, strict=True))


def _run(
    frozen: FrozenGraph,
    names: Sequence[str],
    wanted: Sequence[str],
    images: ArrayLike,
    source: str,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Float64]:
    """The tensors `wanted` of the graph that the nodes `names` are."""
    tf = load_tensorflow()
    definition = tf.compat.v1.GraphDef()
    definition.versions.producer = tf.version.GRAPH_DEF_VERSION
    definition.node.extend(_without_control_inputs(frozen.nodes[name]) for name in names)
    tensors = [name if ":" in name else f"{name}:0" for name in wanted]
    batch = np.asarray(images, dtype=np.float32)
    parts = []
    try:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(definition, name="")
            with tf.compat.v1.Session(graph=graph) as session:
                for start in range(0, len(batch), _BATCH):
                    part = batch[start : start + _BATCH]
                    parts.append(session.run(tensors, {f"{frozen.input_name}:0": part}))
                    advance(len(part))
    except (ValueError, KeyError, tf.errors.OpError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"TensorFlow cannot run {source}: {reason}; export the model again for inference"
        ) from error
    return [
        np.concatenate([np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in values])
        for values in zip(*parts, strict=True)
    ]


def _without_control_inputs(node: Any) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(data_inputs(node))
    return copy
