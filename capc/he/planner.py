"""Checks, before anything runs, that a model's linear layers fit the encryption parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from capc.errors import ConfigError, RangeError
from capc.fixed_point import FixedPoint, Int64
from capc.he.cheapest_packing import WORK_ALONE, Weighing, plan_packing
from capc.he.context import context
from capc.he.messages import reply_bytes, request_bytes
from capc.he.noise import require_mask
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.shapes import LinearShape


@dataclass(frozen=True)
class Product:
    """A product with weights, to be planned.

    `weight` holds centred integers of the shape's weight_shape, |w| < 2^weight_bits. `weight_bits`
    is public.
    """

    name: str
    shape: LinearShape
    weight: Int64
    weight_bits: int


@dataclass(frozen=True)
class LayerPlan:
    """Figures of one layer; all follow from what is public.

    `distance` is the statistical distance of one coefficient of a reply from uniform.
    """

    packing: Packing
    distance: Fraction
    bytes_to_server: int
    bytes_to_client: int


def plan(
    layers: Iterable[Product],
    parameters: EncryptionParameters,
    fixed_point: FixedPoint,
    images: int = 1,
    weighing: Weighing = WORK_ALONE,
) -> Mapping[str, LayerPlan]:
    """Check for every linear layer that decryption is exact and replies hide the weights.

    `images` of a batch run at a time; figures are of one group that shares polynomials.
    ConfigError names the layer and the figure that is too small.
    """
    setting = context(parameters, fixed_point.ring_bits)
    plans = {}
    for layer in layers:
        try:
            packing = plan_packing(layer.shape, setting.degree, images, weighing)
        except ValueError as error:
            raise ConfigError(
                f"poly_modulus_degree {setting.degree} is too small for the model: layer "
                f"{layer.name!r}: {error}; use a larger degree, as config/11.json and 12.json have"
            ) from None
        require_range(layer.name, layer.weight, layer.weight_bits, fixed_point)
        norm = packing.weights_together << layer.weight_bits
        mask = require_mask(setting, layer.name, norm, packing.blocks.merged)
        plans[layer.name] = LayerPlan(
            packing=packing,
            distance=mask.distance,
            bytes_to_server=request_bytes(packing, setting),
            bytes_to_client=reply_bytes(packing, setting),
        )
    return plans


def require_range(name: str, weight: Int64, weight_bits: int, fixed_point: FixedPoint) -> None:
    """RangeError unless every weight is a centred ring element and |w| < 2^weight_bits."""
    bits = int(max(weight.max(), -weight.min())).bit_length() if weight.size else 0
    if bits >= fixed_point.ring_bits:
        raise RangeError(
            f"layer {name!r} has a weight of {bits + 1} bits; the ring has {fixed_point.ring_bits}"
        )
    if bits > weight_bits:
        raise RangeError(
            f"layer {name!r} has a weight of {bits + 1} bits; agreed were {weight_bits + 1}"
        )
