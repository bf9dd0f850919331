"""A model that is read, tried against TensorFlow itself before anybody relies on it.

A mistake in reading one operation would give labels that are wrong without a word: the reference
that a run checks itself with would repeat them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.float_reference import float_layers
from capc.graph.layers import Network, Step
from capc.graph.probes import probe_images
from capc.graph.tensorflow.importer import (
    classifier_of,
    converted,
    nodes_before,
)
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.logits import logits_of, node_values, outputs_as_called
from capc.graph.tensorflow.sources import FrozenGraph, read_graph

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of the largest value of a layer, in float32
_CANCELLED = 1e-2  # by so much may the values before a layer be larger than its own
_ROUNDINGS = 16  # of a half-precision type, from the query to the logits
_NEAR_A_STEP = 1e-5  # of the largest argument: float32 may fall on the other side
_LARGE = 1 << 15  # pixels from which fewer images are tried


@dataclass(frozen=True)
class Agreement:
    """On `images` inputs the logits were TensorFlow's, but for `error` of the largest logit."""

    images: int
    error: float


def import_verified(
    path: Path, input_node: str, output_node: str, input_range: tuple[float, float]
) -> tuple[Network, Agreement]:
    """What `import_network` gives, once it computes what TensorFlow does on inputs of that range.

    Raises ModelError, with the first layer at which they part, where logits differ by more than
    TOLERANCE of the largest, and 1 % of that of the largest value of any layer.
    """
    graph = read_graph(Path(path), input_node, output_node)
    network = classifier_of(graph)
    return network, verified(graph, network, input_range, str(path))


def verified(
    graph: FrozenGraph, network: Network, input_range: tuple[float, float], source: str
) -> Agreement:
    """How far the logits of `network` are from TensorFlow's; ModelError where too far."""
    shape = network.input.shape
    images = probe_images(shape, input_range, 4 if np.prod(shape) < _LARGE else 1)
    tolerance = _tolerance(graph)
    _check_inlined(graph, images, tolerance, source)
    expected = logits_of(graph, images, source)
    found, largest, clear = _evaluated(network, images)
    compared = clear & np.all(np.isfinite(expected), axis=1)
    if not compared.any():
        log.warning("%s could not be compared with TensorFlow on any input", source)
        return Agreement(0, 0.0)
    expected, found = expected[compared], found[compared]
    allowed = _allowed(expected, largest, tolerance)
    error = _largest_error(found, expected)
    places = np.arange(len(found))
    behind = expected.max(axis=1) - expected[places, found.argmax(axis=1)]
    if error > allowed or behind.max() > 2 * allowed:
        layer = _first_apart(graph, images[compared], tolerance, source) or network.output.name
        raise _otherwise(layer, source, error, expected)
    return Agreement(len(found), error / max(float(np.abs(expected).max()), 1e-300))


def _check_inlined(graph: FrozenGraph, images: Float64, tolerance: float, source: str) -> None:
    """ModelError where the output differs once functions are inlined, by any reason."""
    outputs = outputs_as_called(graph, images, source)
    if outputs is None:
        return
    inlined, called = outputs
    finite = np.isfinite(called)
    error = _largest_error(inlined[finite], called[finite])
    if error > tolerance * float(np.abs(called[finite]).max(initial=0.0)):
        raise _otherwise(graph.output_name, source, error, called[finite])


def _otherwise(layer: str, source: str, error: float, expected: Float64) -> ModelError:
    return ModelError(
        f"layer '{layer}' is read otherwise than TensorFlow computes it: logits of {source} "
        f"differ by {error:.3g}, of {np.abs(expected).max():.3g}; this is a defect of the "
        "import: report it with the model's operations"
    )


def _tolerance(graph: FrozenGraph) -> float:
    """TOLERANCE, or what the coarsest type of the nodes before the logits allows."""
    tf = load_tensorflow()
    coarsest = 0.0
    for name in nodes_before(graph):
        attributes = graph.nodes[name].attr
        kinds = [attributes[key].type for key in ("T", "DstT", "dtype") if key in attributes]
        for kind in (tf.as_dtype(kind) for kind in kinds if kind):
            coarsest = max(coarsest, {tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}.get(kind, 0.0))
    return max(TOLERANCE, _ROUNDINGS * coarsest)


def _allowed(expected: Float64, largest: float, tolerance: float) -> float:
    own = float(np.abs(expected).max(initial=0.0))
    return tolerance * max(own, _CANCELLED * largest)


def _largest_error(found: Float64, expected: Float64) -> float:
    error = np.abs(found - expected)
    return float(np.where(np.isfinite(error), error, np.inf).max(initial=0.0))


def _evaluated(network: Network, images: Float64) -> tuple[Float64, float, NDArray[np.bool_]]:
    """Logits, the largest value of any layer, and for which images no step is a close call."""
    logits, clear, largest = [], [], 0.0
    steps = [layer for layer in network.layers if isinstance(layer, Step)]
    for image in images:
        values = float_layers(network, image[np.newaxis])
        logits.append(values[network.output.name])
        largest = max(largest, *(float(np.abs(value).max()) for value in values.values()))
        arguments = [np.abs(values[step.inputs[0]]) for step in steps]
        clear.append(all(each.min() > _NEAR_A_STEP * each.max() for each in arguments))
    return np.concatenate(logits), largest, np.array(clear)


def _first_apart(graph: FrozenGraph, images: Float64, tolerance: float, source: str) -> str | None:
    """The first node that a layer stands for with other values; None where there is none.

    The layers are those before simplification, of which each stands for one node.
    """
    network, origins = converted(graph)
    expected = node_values(graph, sorted(set(origins.values())), images, source)
    found = float_layers(network, images)
    largest = 0.0
    for layer in network.layers:
        value, given = found[layer.name], expected.get(origins[layer.name])
        largest = max(largest, float(np.abs(value).max()))
        if given is None or given.shape != value.shape:
            continue
        if _largest_error(value, given) > _allowed(given, largest, tolerance):
            return origins[layer.name]
    return None
