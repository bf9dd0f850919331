"""How the layers of a network become encrypted products and circuits; both parties agree on it."""

from __future__ import annotations

import numpy as np

from capc.fixed_point import Int64
from capc.graph.encrypted import (
    LINEAR,
    NON_LINEAR,
    CircuitPlan,
    LinearLayer,
    NonLinearLayer,
    circuit_for,
    circuit_plans,
    images_together,
    linear_shape,
    linear_weight,
    queries_at_once,
    require_supported,
    table_bytes,
)
from capc.graph.kernels import windows
from capc.graph.layers import MaxPool, QuantizedNetwork
from capc.he.packing import Packing, plan_packing

__all__ = [
    "LINEAR",
    "NON_LINEAR",
    "CircuitPlan",
    "LinearLayer",
    "NonLinearLayer",
    "circuit_for",
    "circuit_plans",
    "linear_shape",
    "linear_weight",
    "queries_at_once",
    "require_supported",
    "table_bytes",
]

GROUPS_AT_ONCE = 16  # messages read before the first reply of a batch
MAX_PUBLIC_KEY_BYTES = 1 << 26
MAX_CIPHERTEXT_BYTES = 1 << 28


def linear_packing(
    network: QuantizedNetwork, layer: LinearLayer, degree: int, batch_size: int = 1
) -> Packing:
    """How a linear layer of a batch lies in polynomials of `degree` coefficients."""
    return plan_packing(linear_shape(network, layer), degree, images_together(batch_size))


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


def arrange(network: QuantizedNetwork, layer: NonLinearLayer, share: Int64, *, own: bool) -> Int64:
    """A share (batch, *shape) as the words of one circuit instance an output: (instances, words).

    Windows are gathered for MaxPool. A padded pixel is -t/2, which no other value is below: one
    party (`own`) holds all of it, the other 0.
    """
    if not isinstance(layer, MaxPool):
        return share.reshape(-1, 1)
    lowest = network.fixed_point.modulus // 2 if own else 0
    view = windows(share, layer.window, layer.strides, layer.padding, fill=lowest)
    gathered = view.transpose(0, 1, 2, 5, 3, 4)
    return np.ascontiguousarray(gathered.reshape(-1, layer.window[0] * layer.window[1]))


def split_point(network: QuantizedNetwork) -> int:
    """Where step 1b begins: the index of the last linear layer of a supported network."""
    return max(place for place, layer in enumerate(network.layers) if isinstance(layer, LINEAR))
