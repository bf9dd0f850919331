"""What TensorFlow itself computes from a model file: the yardstick of the integer arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.tensorflow.endings import without_ending
from capc.graph.tensorflow.importer import nodes_before
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import data_inputs
from capc.graph.tensorflow.sources import FrozenGraph, fixed_batch, read_graph
from capc.graph.two_classes import as_logits

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
    frozen = without_ending(frozen).graph
    wanted = [frozen.output_name]
    values = _run(frozen, nodes_before(frozen), wanted, images, source, advance=advance)[0]
    return as_logits(values, len(np.asarray(images)))


def node_values(
    frozen: FrozenGraph, nodes: Sequence[str], images: ArrayLike, source: str
) -> dict[str, Float64]:
    """The first outputs of those of the `nodes` that the logits depend on; `a:1` is the second."""
    frozen = without_ending(frozen).graph
    names = nodes_before(frozen)
    known = set(names)
    wanted = [node for node in nodes if node in known or node.partition(":")[0] in known]
    found = _run(frozen, names, wanted, images, source)
    return dict(zip(wanted, found, strict=True))


def outputs_as_called(
    frozen: FrozenGraph, images: ArrayLike, source: str
) -> tuple[Float64, Float64] | None:
    """The output node with its functions inlined, and with TensorFlow calling them itself.

    None where nothing was inlined, or the node stands within a function.
    """
    if frozen.definition is None:
        return None
    part = _before(frozen.definition, frozen.output_name)
    if part is None:
        return None
    wanted = [frozen.output_name]
    called = _session(part, frozen.input_name, wanted, images, source)[0]
    return _run(frozen, nodes_before(frozen), wanted, images, source)[0], called


def _before(definition: Any, output: str) -> Any:
    """What the output depends on, with all functions; None where it is no node of the graph."""
    nodes = {node.name: node for node in definition.node}
    if output not in nodes:
        return None
    part = type(definition)()
    part.versions.CopyFrom(definition.versions)
    part.library.CopyFrom(definition.library)
    waiting, seen = [output], {output}
    while waiting:
        node = nodes[waiting.pop()]
        part.node.append(node)
        new = {name.removeprefix("^").partition(":")[0] for name in node.input} - seen
        seen |= new
        waiting.extend(sorted(new))
    return part


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
    definition.node.extend(_copied(frozen, name) for name in names)
    tensors = [_legal(frozen, name) for name in wanted]
    return _session(definition, frozen.input_name, tensors, images, source, advance=advance)


def _session(
    definition: Any,
    input_name: str,
    wanted: Sequence[str],
    images: ArrayLike,
    source: str,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Float64]:
    """The tensors `wanted` of a GraphDef."""
    tf = load_tensorflow()
    tensors = [name if ":" in name else f"{name}:0" for name in wanted]
    batch = np.asarray(images, dtype=np.float32)
    fixed = next(fixed_batch(node) for node in definition.node if node.name == input_name)
    parts = []
    try:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(definition, name="")
            with tf.compat.v1.Session(graph=graph, config=_as_written(tf)) as session:
                for start in range(0, len(batch), fixed or _BATCH):
                    part = batch[start : start + (fixed or _BATCH)]
                    values = session.run(tensors, {f"{input_name}:0": _filled(part, fixed)})
                    parts.append([_cut(value, len(part), fixed) for value in values])
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


def _as_written(tf: Any) -> Any:
    """Without the fusions that change what some graphs compute.

    TensorFlow joins a convolution with a batch normalisation as if the two had one data_format.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.remapping = 2  # RewriterConfig.OFF
    return config


def _filled(part: NDArray[np.float32], fixed: int | None) -> NDArray[np.float32]:
    """The images, and black ones behind them where the graph takes that many and no fewer."""
    missing = 0 if fixed is None else fixed - len(part)
    return np.pad(part, [(0, missing)] + [(0, 0)] * (part.ndim - 1))


def _cut(value: Any, images: int, fixed: int | None) -> Any:
    """The value without what black images gave; an image may have several rows."""
    rows = len(value) if np.ndim(value) else 0
    if fixed is None or not rows or rows % fixed:
        return value
    return value[: rows // fixed * images]


def _copied(frozen: FrozenGraph, name: str) -> Any:
    """The node without control inputs."""
    node = frozen.nodes[name]
    copy = type(node)()
    copy.CopyFrom(node)
    copy.name = _legal(frozen, name)
    del copy.input[:]
    copy.input.extend(_legal(frozen, given) for given in data_inputs(node))
    return copy


def _legal(frozen: FrozenGraph, name: str) -> str:
    """A tensor's name, where inlining gave a node the name of a call's second output or later."""
    return name.replace(":", "__output_") if ":" in name and name in frozen.nodes else name
