"""How the layers of a network become encrypted products and circuits; both parties agree on it."""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np

from capc.errors import ModelError
from capc.fixed_point import Int64
from capc.gc.circuits import Circuit, relu_circuit, truncate_circuit
from capc.graph.layers import Conv2D, Dense, QuantizedNetwork, Relu, Rescale
from capc.he.packing import Packing, plan_packing
from capc.he.shapes import LinearShape

LinearLayer: TypeAlias = Conv2D | Dense
NonLinearLayer: TypeAlias = Relu | Rescale

IMAGES_TOGETHER = 32  # at most this many of a batch share polynomials
GROUPS_AT_ONCE = 16  # messages read before the first reply of a batch
MAX_PUBLIC_KEY_BYTES = 1 << 26
MAX_CIPHERTEXT_BYTES = 1 << 28


def linear_shape(network: QuantizedNetwork, layer: LinearLayer) -> LinearShape:
    """The public shape of a linear layer."""
    if isinstance(layer, Dense):
        return LinearShape.dense(*layer.weight.shape)
    source = next(other for other in network.layers if other.name == layer.inputs[0])
    return LinearShape.convolution(
        cast(tuple[int, int, int], source.shape),
        cast(tuple[int, int, int, int], layer.kernel.shape),
        strides=layer.strides,
        padding=layer.padding,
        dilations=layer.dilations,
        groups=layer.groups,
    )


def linear_packing(
    network: QuantizedNetwork, layer: LinearLayer, degree: int, batch_size: int = 1
) -> Packing:
    """How a linear layer of a batch lies in polynomials of `degree` coefficients.

    Powers of two keep the number of different packings, for each of which the answering party
    holds transformed weights, small.
    """
    together = 1 << (min(batch_size, IMAGES_TOGETHER).bit_length() - 1)
    return plan_packing(linear_shape(network, layer), degree, together)


def group_count(packing: Packing, batch_size: int) -> int:
    """Into how many groups of images, each one message, a batch falls."""
    return -(-batch_size // packing.blocks.images)


def grouped(packing: Packing, values: Int64, padding: Int64) -> Int64:
    """Values (batch, *shape), then as many of `padding` as needed -> (groups, images, *shape).

    The axis of images is left out where a group holds one, as the packing takes it.
    """
    images = packing.blocks.images
    if images == 1:
        return values
    groups = group_count(packing, len(values))
    whole = np.concatenate([values, padding[: groups * images - len(values)]])
    return whole.reshape(groups, images, *values.shape[1:])


def linear_weight(layer: LinearLayer) -> Int64:
    """The centred integer weights."""
    return layer.weight if isinstance(layer, Dense) else layer.kernel


def circuit_for(network: QuantizedNetwork, layer: NonLinearLayer) -> Circuit:
    """The circuit of one instance: shares in, the function, a fresh share out."""
    ring = network.fixed_point.ring_bits
    shift = network.fraction_bits[layer.inputs[0]] - network.fraction_bits[layer.name]
    if isinstance(layer, Relu):
        return relu_circuit(ring, shift)
    return truncate_circuit(ring, shift)


def arrange(share: Int64) -> Int64:
    """A share (batch, *shape) as one circuit instance a value: (instances, 1)."""
    return share.reshape(-1, 1)


def require_supported(network: QuantizedNetwork) -> None:
    """ModelError, naming the layer, where a network needs a circuit that is not there."""
    for layer in network.layers:
        kind = type(layer).__name__
        if kind in _WITHOUT_CIRCUIT:
            raise ModelError(
                f"layer '{layer.name}': {kind} cannot be evaluated encrypted; supported "
                "non-linear layers: Relu, Rescale. Replace it in the model, or use --cpu"
            )


def split_point(network: QuantizedNetwork) -> int:
    """Where step 1b begins: the index of the last linear layer."""
    linear = [index for index, layer in enumerate(network.layers) if isinstance(layer, LINEAR)]
    if not linear:
        raise ModelError("the network has no linear layer; nothing can be evaluated encrypted")
    return linear[-1]


LINEAR = (Conv2D, Dense)
NON_LINEAR = (Relu, Rescale)
_WITHOUT_CIRCUIT = ("Relu6", "LeakyRelu", "Square", "MaxPool")
