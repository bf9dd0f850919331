"""A model that is read, tried against the framework that made it before anybody relies on it.

A mistake in reading one operation would give labels that are wrong without a word: the reference
that a run checks itself with would repeat them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.float_reference import float_layers
from capc.graph.kernels import Shape
from capc.graph.layers import Network, Step
from capc.graph.probes import probe_images

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of the largest value of a layer, in float32
_CANCELLED = 1e-2  # by so much may the values before a layer be larger than its own
_ROUNDINGS = 16  # of a half-precision type, from the query to the logits
_NEAR_A_STEP = 1e-5  # of the largest argument: float32 may fall on the other side
_LARGE = 1 << 15  # pixels from which fewer images are tried


@dataclass(frozen=True)
class Agreement:
    """On `images` inputs the logits were the framework's, but for `error` of the largest logit."""

    images: int
    error: float


@dataclass(frozen=True, eq=False)
class Stages:
    """A network before simplification; for a layer that stands for a node, the node and its values.

    The values (n, *shape) are the framework's, arranged as the layer's.
    """

    network: Network
    nodes: Mapping[str, str]
    values: Mapping[str, Float64]


class Original(Protocol):
    """A model as its own framework runs it."""

    @property
    def source(self) -> str:
        """What an error calls the model."""

    @property
    def framework(self) -> str:
        """Who computes it: TensorFlow, onnxruntime."""

    @property
    def tolerance(self) -> float:
        """The share of the largest value by which roundings may differ."""

    def logits(self, images: Float64) -> Float64:
        """(n, classes) of images (n, *shape)."""

    def stages(self, images: Float64) -> Stages:
        """What it computes on the way to the logits."""


def agreement(network: Network, original: Original, images: Float64) -> Agreement:
    """How far the logits of `network` are from the original's on `images`.

    Raises ModelError, with the first layer at which they part, where logits differ by more than the
    tolerance times the largest, and times 1 % of the largest value of any layer.
    """
    expected = original.logits(images)
    found, largest, clear = _evaluated(network, images)
    compared = clear & np.all(np.isfinite(expected), axis=1)
    if not compared.any():
        log.warning(
            "%s could not be compared with %s on any input", original.source, original.framework
        )
        return Agreement(0, 0.0)
    expected, found = expected[compared], found[compared]
    allowed = _allowed(expected, largest, original.tolerance)
    error = largest_error(found, expected)
    places = np.arange(len(found))
    behind = expected.max(axis=1) - expected[places, found.argmax(axis=1)]
    if error > allowed or behind.max() > 2 * allowed:
        layer = _first_apart(original, images[compared]) or network.output.name
        raise read_otherwise(original, layer, error, expected)
    return Agreement(len(found), error / max(float(np.abs(expected).max()), 1e-300))


def tried_images(shape: Shape, input_range: tuple[float, float]) -> Float64:
    """The inputs on which a model is tried: fewer where they are large."""
    return probe_images(shape, input_range, 4 if np.prod(shape) < _LARGE else 1)


def tolerance_of(rounding: float) -> float:
    """The tolerance for a model whose coarsest type rounds by so much, 0 for float32."""
    return max(TOLERANCE, _ROUNDINGS * rounding)


def read_otherwise(original: Original, layer: str, error: float, expected: Float64) -> ModelError:
    """The refusal of a model whose `layer` gives other values than the framework."""
    return ModelError(
        f"layer '{layer}' is read otherwise than {original.framework} computes it: logits of "
        f"{original.source} differ by {error:.3g}, of {np.abs(expected).max():.3g}; this is a "
        "defect of the import: report it with the model's operations"
    )


def largest_error(found: Float64, expected: Float64) -> float:
    """The largest difference; infinite where one is no finite number."""
    error = np.abs(found - expected)
    return float(np.where(np.isfinite(error), error, np.inf).max(initial=0.0))


def _allowed(expected: Float64, largest: float, tolerance: float) -> float:
    own = float(np.abs(expected).max(initial=0.0))
    return tolerance * max(own, _CANCELLED * largest)


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


def _first_apart(original: Original, images: Float64) -> str | None:
    """The first node that a layer stands for with other values; None where there is none.

    The layers are those before simplification, of which each stands for one node.
    """
    stages = original.stages(images)
    found = float_layers(stages.network, images)
    largest = 0.0
    for layer in stages.network.layers:
        value, given = found[layer.name], stages.values.get(layer.name)
        largest = max(largest, float(np.abs(value).max()))
        if given is None or given.shape != value.shape:
            continue
        if largest_error(value, given) > _allowed(given, largest, original.tolerance):
            return stages.nodes[layer.name]
    return None
