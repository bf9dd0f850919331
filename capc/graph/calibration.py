"""Bounds that public examples suggest, made sound: what leaves them saturates and never wraps.

Interval arithmetic assumes the worst input for every layer at once, so that in a deep network its
ranges grow far beyond any value that occurs. Calibration runs the float network on examples and
replaces each activation without an upper end by one that saturates at a power of two above all that
was seen. The intervals are then proved as for any network: the examples decide how small they are,
never whether they hold.

Every answering party sees the examples, and each querying party the powers of two: the examples
must be public, and a bound says a few bits about the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from capc.arrays import load_array
from capc.errors import ConfigError, RangeError
from capc.files import read_bounded
from capc.fixed_point import Float64
from capc.graph.float_reference import float_layers
from capc.graph.layers import Activation, Bias, BoundedRelu, Layer, Network, Relu, Shape
from capc.graph.quantize import layer_ranges, to_integers

DEFAULT_MARGIN = 2.0
_IMAGES_AT_ONCE = 16  # all layers' values of so many are held at once
_SMALLEST_EXPONENT = -4  # where an activation is all but dead on the examples
_LARGEST_EXPONENT = 40
_FRACTION_BITS = 12  # of the proof; with others its ends differ by rounding alone


@dataclass(frozen=True)
class Calibration:
    """A .npy file of public examples, float (n, *input shape), and the factor above what is seen.

    `input_range` is the closed interval of the queries' pixels. Raises ConfigError where `margin`
    is below 1, and from its methods where the file is not such.
    """

    examples: Path
    margin: float = DEFAULT_MARGIN
    input_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin >= 1):
            raise ConfigError(
                f"--calibration_margin is {self.margin:g}; allowed is a number of at least 1"
            )

    def digest(self) -> str:
        """64 hexadecimal digits that stand for the examples, the margin and the input range."""
        try:
            content = read_bounded(self.examples)
        except OSError as error:
            raise ConfigError(
                f"--calibration {self.examples} cannot be read ({error.strerror}); give a .npy "
                "file of public examples"
            ) from error
        figures = " ".join(float(value).hex() for value in (self.margin, *self.input_range))
        return hashlib.sha256(content + figures.encode()).hexdigest()

    def load(self, shape: Shape) -> Float64:
        """The examples as float64 (n, *shape), n >= 1; an axis of size 1 may be missing."""
        name = f"--calibration {self.examples}"
        try:
            values = load_array(self.examples)
        except (OSError, ValueError, EOFError) as error:
            raise ConfigError(
                f"{name} is not a NumPy file of numbers; save one float32 array with numpy.save"
            ) from error
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            kind = values.dtype if isinstance(values, np.ndarray) else "several arrays"
            raise ConfigError(
                f"{name} holds {kind}, not float32; save one array of pixels, normalised as the "
                "model's training did"
            )
        squeezed = tuple(size for size in shape if size != 1)
        if not values.size or values.shape[1:] not in {shape, squeezed}:
            raise ConfigError(
                f"{name} has the shape {values.shape}; the model takes {('n', *shape)} with n >= 1"
            )
        if not np.all(np.isfinite(values)):
            raise ConfigError(f"{name} holds values that are not finite numbers; remove them")
        return values.reshape(-1, *shape).astype(np.float64)

    def require_range(self, shape: Shape) -> None:
        """Raise ConfigError where the examples are not scaled as the queries are."""
        low, high = self.input_range
        examples = self.load(shape)
        if examples.min() < low or examples.max() > high:
            raise ConfigError(
                f"--calibration {self.examples} holds pixels outside [{low:g}, {high:g}], the "
                "range of the queries: normalise the examples as the queries are"
            )


def calibrated(network: Network, calibration: Calibration) -> Network:
    """The network with a saturating form of every activation that has no upper end.

    Relu becomes a BoundedRelu. LeakyRelu, Square and smooth functions that tend to x on the right
    take an input that is clipped on both sides. An activation whose proven range lies within these
    ends keeps its form, for which a bound would be gates and a hint at the examples for nothing.
    Raises ConfigError where the examples do not fit.
    """
    examples = calibration.load(network.input.shape)
    bounds = {
        name: math.ldexp(1.0, bound_exponent(largest, calibration.margin))
        for name, largest in _largest_values(network, examples).items()
    }
    every = _bounded(network, bounds)
    return _bounded(network, _without_idle(network, every, bounds, calibration.input_range))


def _bounded(network: Network, bounds: Mapping[str, float]) -> Network:
    """The network with the bound of each layer that is named."""
    layers: list[Layer] = []
    names = {layer.name for layer in network.layers}
    for layer in network.layers:
        bound = bounds.get(layer.name)
        if bound is None:
            layers.append(layer)
        elif isinstance(layer, Relu):
            layers.append(BoundedRelu(layer.name, layer.inputs, layer.shape, cap=bound))
        else:
            source = network.layer(layer.inputs[0])
            clip = _clipped(source, layer.name, bound, names)
            layers += [*clip, replace(layer, inputs=(clip[-1].name,))]
    return Network(tuple(layers))


def calibration_bounds(network: Network, ready: Network) -> dict[int, float]:
    """The ends that `calibrated` gave, by the place of the activation in the network without."""
    bounds = {}
    for place, layer in enumerate(network.layers):
        found = ready.layer(layer.name)
        if isinstance(layer, Relu) and isinstance(found, BoundedRelu):
            bounds[place] = found.cap
        elif found.inputs != layer.inputs and needs_bound(layer):
            clip = ready.layer(ready.layer(found.inputs[0]).inputs[0])
            if isinstance(clip, BoundedRelu):
                bounds[place] = clip.cap / 2
    return bounds


def with_bounds(network: Network, bounds: Mapping[int, float]) -> Network:
    """The network with an end for the activation at each place; itself where there is none.

    Raises ConfigError where there is no such activation.
    """
    if not bounds:
        return network
    for place in bounds:
        if not (0 <= place < len(network.layers) and needs_bound(network.layers[place])):
            raise ConfigError(f"layer {place} of the model takes no bound: it is another model")
    named = {network.layers[place].name: bound for place, bound in bounds.items()}
    return _bounded(network, named)


def _without_idle(
    network: Network,
    every: Network,
    bounds: Mapping[str, float],
    input_range: tuple[float, float],
) -> dict[str, float]:
    """The bounds that a value may pass, by the intervals of `every`, the network with all."""
    try:
        integers = to_integers(every, _FRACTION_BITS)
        found = layer_ranges(integers, _FRACTION_BITS, input_range)
    except RangeError:  # too wide for so many fractional bits: nothing is proved
        return dict(bounds)
    ranges = {layer.name: layer for layer in found}
    kept = {}
    for layer in network.layers:
        if layer.name in bounds:
            source, bound = ranges[layer.inputs[0]], bounds[layer.name]
            most = math.ldexp(bound, source.fraction_bits)
            lowest = -math.inf if isinstance(layer, Relu) else -most
            if not lowest <= source.low <= source.high <= most:
                kept[layer.name] = bound
    return kept


def bound_exponent(largest: float, margin: float) -> int:
    """The smallest k with 2^k >= largest * margin, from -4 to 40."""
    fraction, exponent = math.frexp(largest * margin)
    exponent -= fraction == 0.5
    if fraction == 0:
        exponent = _SMALLEST_EXPONENT
    return min(max(exponent, _SMALLEST_EXPONENT), _LARGEST_EXPONENT)


def needs_bound(layer: Layer) -> bool:
    """Whether calibration gives the layer an upper end."""
    return isinstance(layer, Activation) and layer.needs_bound


def _largest_values(network: Network, examples: Float64) -> dict[str, float]:
    """By unbounded layer: the largest output of a Relu, the largest |input| of any other."""
    found = {layer.name: 0.0 for layer in network.layers if needs_bound(layer)}
    for start in range(0, len(examples), _IMAGES_AT_ONCE):
        values = float_layers(network, examples[start : start + _IMAGES_AT_ONCE])
        for layer in network.layers:
            if layer.name in found:
                seen = values[layer.inputs[0]]
                top = seen.max() if isinstance(layer, Relu) else np.abs(seen).max()
                found[layer.name] = max(found[layer.name], float(top))
    return found


def _clipped(source: Layer, user: str, bound: float, names: set[str]) -> list[Layer]:
    """min(max(x, -bound), bound) as a bounded ReLU between two offsets, which cost nothing."""

    def name(kind: str) -> str:
        free = f"{user}/{kind}"
        while free in names:
            free += "_"
        names.add(free)
        return free

    offset = np.array([bound])
    raised = Bias(name("raised"), (source.name,), source.shape, value=offset)
    bounded = BoundedRelu(name("bounded"), (raised.name,), source.shape, cap=2 * bound)
    lowered = Bias(name("clipped"), (bounded.name,), source.shape, value=-offset)
    return [raised, bounded, lowered]
