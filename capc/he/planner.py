"""Checks, before anything runs, that a model's linear layers fit the encryption parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from capc.errors import ConfigError, RangeError
from capc.fixed_point import FixedPoint, Int64
from capc.he.context import SMALLER_RING, Context, context
from capc.he.noise import FLOOD_RATIO_BITS, own_noise, return_level
from capc.he.packing import Packing, plan_packing
from capc.he.parameters import EncryptionParameters
from capc.he.shapes import LinearShape
from capc.he.symmetric import SEED_BYTES


@dataclass(frozen=True)
class Product:
    """A product with weights, to be planned.

    `weight` holds centred integers of the shape's weight_shape.
    """

    name: str
    shape: LinearShape
    weight: Int64


@dataclass(frozen=True)
class LayerPlan:
    """Figures of one layer; all but `flood_margin_bits` follow from the public shape.

    `flood_margin_bits` is log2 of flooding over the layer's own noise (at least 40), and depends
    on the weights: it is for the model's owner alone.
    """

    packing: Packing
    flood_margin_bits: float
    offline_bytes_to_server: int
    online_bytes_to_server: int
    bytes_to_client: int


@dataclass(frozen=True)
class NetworkPlan:
    """`returned_primes` and `flood_bits` are the same for all models under these parameters."""

    returned_primes: int
    flood_bits: int
    layers: Mapping[str, LayerPlan]


def plan(
    layers: Iterable[Product],
    parameters: EncryptionParameters,
    fixed_point: FixedPoint,
    images: int = 1,
) -> NetworkPlan:
    """Check for every linear layer that decryption is exact and flooding hides the weights.

    Up to `images` images of a batch share polynomials; figures are of one such group.
    ConfigError names the layer and the figure that is too small.
    """
    setting = context(parameters, fixed_point.ring_bits)
    level = return_level(setting)
    plans = {}
    for layer in layers:
        try:
            packing = plan_packing(layer.shape, setting.degree, images)
        except ValueError as error:
            raise ConfigError(
                f"poly_modulus_degree {setting.degree} is too small for the model: layer "
                f"{layer.name!r}: {error}; use a larger degree, as config/11.json and 12.json have"
            ) from None
        require_range(layer.name, layer.weight, fixed_point)
        norm = layer_norm(packing, layer.weight)
        margin = require_flooding(setting, layer.name, norm)
        plans[layer.name] = _layer_plan(setting, packing, level.primes, margin)
    return NetworkPlan(level.primes, level.flood_bits, plans)


def weight_norm(polynomial: Int64) -> int:
    """The sum of the absolute values of the coefficients, exactly."""
    magnitude = np.abs(polynomial)
    low = np.int64((1 << 30) - 1)
    return (int(np.sum(magnitude >> np.int64(30))) << 30) + int(np.sum(magnitude & low))


def layer_norm(packing: Packing, weight: Int64) -> int:
    """The largest sum of weight_norm over the products of one output polynomial."""
    return largest_norm(packing, [weight_norm(part) for part in packing.pack_weights(weight)])


def largest_norm(packing: Packing, norms: Sequence[int]) -> int:
    """The same from the norms of the weight polynomials."""
    return max(
        sum(norms[index] for _, index in packing.products(output))
        for output in range(packing.output_polynomials)
    )


def require_range(name: str, weight: Int64, fixed_point: FixedPoint) -> None:
    """RangeError unless every weight is a centred ring element, |w| < t/2."""
    largest = int(max(weight.max(), -weight.min())) if weight.size else 0
    if 2 * largest >= fixed_point.modulus:
        raise RangeError(
            f"layer {name!r} has a weight of {largest.bit_length() + 1} bits; "
            f"the ring has {fixed_point.ring_bits}"
        )


def require_flooding(setting: Context, name: str, norm: int) -> float:
    """log2 of flooding over the layer's own noise; ConfigError below 2^40.

    Replies then decrypt exactly: flooding takes at most half of the noise that decryption allows.
    """
    level = return_level(setting)
    noise = own_noise(setting, norm)
    margin = level.flood_bits - math.log2(noise)
    if noise * (1 << FLOOD_RATIO_BITS) > 1 << level.flood_bits:
        raise ConfigError(
            f"coeff_modulus {list(setting.parameters.coeff_modulus)} is too small for the model: "
            f"layer {name!r} needs {math.log2(noise) + FLOOD_RATIO_BITS:.1f} bits of flooding "
            f"noise, and a ring of {setting.ring_bits} bits leaves room for {level.flood_bits}; "
            f"{SMALLER_RING}"
        )
    return margin


def _layer_plan(setting: Context, packing: Packing, primes: int, margin: float) -> LayerPlan:
    sent = sum(-(-prime.bit_length() // 8) for prime in setting.primes)
    returned = sum(-(-prime.bit_length() // 8) for prime in setting.primes[:primes])
    used = sum(positions.size for positions in packing.output_positions)
    online = packing.input_polynomials * packing.input_length
    return LayerPlan(
        packing=packing,
        flood_margin_bits=margin,
        offline_bytes_to_server=SEED_BYTES
        + sent * (packing.input_polynomials * setting.degree - online),
        online_bytes_to_server=sent * online,
        bytes_to_client=returned * (used + packing.output_polynomials * setting.degree),
    )
