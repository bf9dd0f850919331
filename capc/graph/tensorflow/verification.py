"""A TensorFlow model that is read, tried against TensorFlow itself: see capc.graph.comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from capc.fixed_point import Float64
from capc.graph.comparison import (
    Agreement,
    Stages,
    agreement,
    largest_error,
    read_otherwise,
    tolerance_of,
    tried_images,
)
from capc.graph.layers import Network
from capc.graph.tensorflow.importer import (
    classifier_of,
    converted,
    nodes_before,
)
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.logits import logits_of, node_values, outputs_as_called
from capc.graph.tensorflow.sources import FrozenGraph, read_graph


def import_verified(
    path: Path,
    input_node: str,
    output_node: str,
    input_range: tuple[float, float],
    *,
    multi_label: bool = False,
) -> tuple[Network, Agreement]:
    """What `import_network` gives, once it computes what TensorFlow does on inputs of that range.

    Raises ModelError as `agreement` does.
    """
    graph = replace(read_graph(Path(path), input_node, output_node), multi_label=multi_label)
    network = classifier_of(graph)
    return network, verified(graph, network, input_range, str(path))


def verified(
    graph: FrozenGraph, network: Network, input_range: tuple[float, float], source: str
) -> Agreement:
    """How far the logits of `network` are from TensorFlow's; ModelError where too far."""
    images = tried_images(network.input.shape, input_range)
    original = _Frozen(graph, source, _tolerance(graph))
    _check_inlined(original, images)
    return agreement(network, original, images)


@dataclass(frozen=True, eq=False)
class _Frozen:
    """A graph as TensorFlow runs it."""

    graph: FrozenGraph
    source: str
    tolerance: float
    framework: str = "TensorFlow"

    def logits(self, images: Float64) -> Float64:
        return logits_of(self.graph, images, self.source)

    def stages(self, images: Float64) -> Stages:
        network, nodes = converted(self.graph)
        found = node_values(self.graph, sorted(set(nodes.values())), images, self.source)
        values = {layer: found[node] for layer, node in nodes.items() if node in found}
        return Stages(network, nodes, values)


def _check_inlined(original: _Frozen, images: Float64) -> None:
    """ModelError where the output differs once functions are inlined, by any reason."""
    outputs = outputs_as_called(original.graph, images, original.source)
    if outputs is None:
        return
    inlined, called = outputs
    finite = np.isfinite(called)
    error = largest_error(inlined[finite], called[finite])
    if error > original.tolerance * float(np.abs(called[finite]).max(initial=0.0)):
        raise read_otherwise(original, original.graph.output_name, error, called[finite])


def _tolerance(graph: FrozenGraph) -> float:
    """What the coarsest type of the nodes before the logits allows."""
    tf = load_tensorflow()
    coarsest = 0.0
    for name in nodes_before(graph):
        attributes = graph.nodes[name].attr
        kinds = [attributes[key].type for key in ("T", "DstT", "dtype") if key in attributes]
        for kind in (tf.as_dtype(kind) for kind in kinds if kind):
            coarsest = max(coarsest, {tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}.get(kind, 0.0))
    return tolerance_of(coarsest)
