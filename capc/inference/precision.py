"""How far a model's integers are from its reals, on a few inputs, before any run relies on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capc.errors import ModelError
from capc.graph.float_reference import float_layers
from capc.graph.layers import Network, QuantizedNetwork, Step
from capc.graph.probes import probe_images
from capc.graph.scaling import scaled
from capc.inference.reference import encode_images, evaluate_layers

ALLOWED_ERROR = 0.05  # of a logit, as a share of the widest gap between two logits
ALLOWED_LABELS = 0.25  # that differ, as a share of the inputs
_TIE = 0.01  # of that gap: labels whose logits are closer than this may change places
_NOISES = 12


@dataclass(frozen=True)
class Precision:
    """On `images` inputs, `labels_apart` labels differ, and logits by at most `error`.

    `error` is a share of `spread`, the widest gap between two logits of one input. `layer` is the
    first whose values are off by more than ALLOWED_ERROR of its largest, the output for none.
    """

    images: int
    labels_apart: int
    error: float
    spread: float
    layer: str


def measured_precision(network: Network, integers: QuantizedNetwork) -> Precision:
    """Compare the integers that `to_ring` made of a network with its reals."""
    ring, pixels = integers.fixed_point, integers.input_range
    alike = scaled(network, ring, pixels).network  # its logits are those of the integers
    images = probe_images(network.input.shape, pixels, _NOISES)
    errors = {layer.name: 0.0 for layer in alike.layers}
    largest = dict(errors)
    logits, found = [], []
    for image in images:
        reals = float_layers(alike, image[np.newaxis])
        whole = evaluate_layers(integers, encode_images(integers, image[np.newaxis]))
        for name, value in reals.items():
            decoded = np.ldexp(whole[name].astype(np.float64), -integers.fraction_bits[name])
            errors[name] = max(errors[name], float(np.abs(decoded - value).max()))
            largest[name] = max(largest[name], float(np.abs(value).max()))
        output = network.output.name
        logits.append(reals[output][0])
        found.append(np.ldexp(whole[output][0].astype(float), -integers.fraction_bits[output]))
    expected, decoded = np.stack(logits), np.stack(found)
    spread = float(np.max(expected.max(axis=1) - expected.min(axis=1)))
    places = np.arange(len(images))
    behind = expected.max(axis=1) - expected[places, decoded.argmax(axis=1)]
    off = [name for name in errors if errors[name] > ALLOWED_ERROR * largest[name]]
    return Precision(
        images=len(images),
        labels_apart=int(np.sum(behind > _TIE * spread)),
        error=float(np.abs(decoded - expected).max()) / spread if spread else 0.0,
        spread=spread / integers.logit_scale,
        layer=off[0] if off else network.output.name,
    )


def why_imprecise(network: Network, integers: QuantizedNetwork) -> str | None:
    """A sentence where logits are off by more than ALLOWED_ERROR; None where they are not.

    Steps may fall on the other side of zero, so that there only labels count. Raises ModelError,
    with the layer, where more than ALLOWED_LABELS of the labels differ.
    """
    found = measured_precision(network, integers)
    said = (
        f"with {integers.fixed_point.fraction_bits} fractional bits, logits are off by up to "
        f"{found.error:.1%} of their spread ({found.spread:.3g}) on {found.images} inputs of "
        f"zeros, corners and noise, and {found.labels_apart} labels differ from the float model's; "
        f"the first layer that is off is '{found.layer}'"
    )
    if found.labels_apart > ALLOWED_LABELS * found.images:
        raise ModelError(
            f"{said}: calibrate on public examples (--calibration), or train with larger weights, "
            "or with Relu6 for ReLU"
        )
    steps = any(isinstance(layer, Step) for layer in network.layers)
    if found.error <= ALLOWED_ERROR or (steps and not found.labels_apart):
        return None
    return said
