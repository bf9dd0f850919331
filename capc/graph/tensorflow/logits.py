"""What TensorFlow itself computes from a model file: the yardstick of the integer arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.tensorflow.importer import logits_and_nodes
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.sources import data_inputs, read_graph

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
    tf = load_tensorflow()
    frozen = read_graph(Path(path), input_node, output_node)
    output, names = logits_and_nodes(frozen)
    definition = tf.compat.v1.GraphDef()
    definition.versions.producer = tf.version.GRAPH_DEF_VERSION
    definition.node.extend(_without_control_inputs(frozen.nodes[name]) for name in names)
    batch = np.asarray(images, dtype=np.float32)
    parts = []
    try:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(definition, name="")
            with tf.compat.v1.Session(graph=graph) as session:
                for start in range(0, len(batch), _BATCH):
                    part = batch[start : start + _BATCH]
                    given = {f"{frozen.input_name}:0": part}
                    parts.append(np.asarray(session.run(f"{output}:0", given), dtype=np.float64))
                    advance(len(part))
    except (ValueError, KeyError, tf.errors.OpError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"TensorFlow cannot run {path}: {reason}; export the model again for inference"
        ) from error
    logits = np.concatenate(parts)
    if logits.shape[1:] == (1,):  # two classes, as `with_two_classes` has them
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return logits


def _without_control_inputs(node: Any) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(data_inputs(node))
    return copy
