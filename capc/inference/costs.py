"""What an encrypted query of a network costs, before anything runs: bytes exactly, time roughly.

Bytes come from the packing and the circuits. Seconds come from their counts and from unit costs
that were measured on two cores of a shared AMD EPYC with both parties on it (docs/models.md);
elsewhere they scale with the machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from capc.errors import ModelError
from capc.graph.layers import Layer, QuantizedNetwork, WeightedLayer
from capc.he import planner
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.inference.layout import (
    CircuitPlan,
    circuit_plans,
    image_bytes,
    images_together,
    queries_at_once,
)
from capc.inference.protocols import circuits_of, linear_shape, require_supported

# Seconds at degree 8192 with two data primes: an input, an output polynomial, a product.
_INPUT_SECONDS = 1.0e-3
_OUTPUT_SECONDS = 1.5e-3
_PRODUCT_SECONDS = 0.12e-3
_ONLINE_SHARE = 0.45  # of inputs and outputs; products are online altogether
# Seconds an AND gate, garbled and sent, then evaluated.
_GARBLE_SECONDS = 90e-9
_EVALUATE_SECONDS = 25e-9
_WORD_BYTES = 8  # a coefficient modulo a prime


@dataclass(frozen=True)
class LayerCost:
    """One layer of one query; bytes are both parties' together, message headers left out.

    `work` says how the layer lies in polynomials, or how many circuits of how many AND gates run.
    `weight_bytes` are the transformed weights that the answering party holds in memory.
    `distance` bounds the statistical distance from uniform of the coefficients of its replies
    together, `coefficient_distance` that of one: the bound that the run itself checks.
    """

    work: str
    offline_bytes: int
    online_bytes: int
    offline_seconds: float
    online_seconds: float
    distance: float = 0.0
    coefficient_distance: float = 0.0
    weight_bytes: int = 0


def query_costs(
    network: QuantizedNetwork, parameters: EncryptionParameters, queries: int = 1
) -> Mapping[str, LayerCost]:
    """By layer; layers that each party evaluates alone are left out, as they cost next to nothing.

    Figures are a query's share where so many `queries` run at a time (`at_once`).
    Raises ModelError or ConfigError, naming the layer and a way out, where the network cannot be
    evaluated under these parameters.
    """
    require_supported(network)
    linear = linear_plans(network, parameters, images_together(queries))
    plans = circuit_plans(network, circuits_of(network), queries)
    costs = {}
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            costs[layer.name] = _linear_cost(linear[layer.name], parameters, queries)
        elif layer.name in plans:
            costs[layer.name] = _circuit_cost(layer, plans[layer.name], queries)
    return costs


def at_once(network: QuantizedNetwork, batch_size: int, parties: int = 1) -> int:
    """How many queries of a batch run at a time, with so many answering parties of this model."""
    require_supported(network)
    return queries_at_once(batch_size, parties * image_bytes(network, circuits_of(network)))


def total_cost(costs: Mapping[str, LayerCost]) -> LayerCost:
    """The sum over all layers."""
    found = costs.values()
    return LayerCost(
        work="",
        offline_bytes=sum(cost.offline_bytes for cost in found),
        online_bytes=sum(cost.online_bytes for cost in found),
        offline_seconds=sum(cost.offline_seconds for cost in found),
        online_seconds=sum(cost.online_seconds for cost in found),
        distance=sum(cost.distance for cost in found),
        coefficient_distance=max((cost.coefficient_distance for cost in found), default=0.0),
        weight_bytes=sum(cost.weight_bytes for cost in found),
    )


def check_encrypted(network: QuantizedNetwork, parameters: EncryptionParameters) -> None:
    """Raise unless the network can be evaluated encrypted, exactly and hiding its weights.

    ModelError names a layer without a circuit, ConfigError the layer and the figure for which the
    parameters are too small. For the model's owner: the reason may depend on the weights.
    """
    require_supported(network)
    linear_plans(network, parameters)


def linear_plans(
    network: QuantizedNetwork, parameters: EncryptionParameters, images: int = 1
) -> Mapping[str, planner.LayerPlan]:
    """The linear layers' packings, with up to `images` images in a polynomial, all checked.

    Raises ModelError or ConfigError, naming the layer and a way out, where one cannot be evaluated.
    """
    layers = []
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            try:
                shape = linear_shape(network, layer)
            except ValueError as error:
                raise ModelError(
                    f"layer '{layer.name}': {error}; replace it in the model, or use --cpu"
                ) from None
            bits = network.weight_bits[layer.name]
            layers.append(planner.Product(layer.name, shape, layer.weights, bits))
    return planner.plan(layers, parameters, network.fixed_point, images)


def _linear_cost(
    plan: planner.LayerPlan, parameters: EncryptionParameters, queries: int
) -> LayerCost:
    packing, images = plan.packing, plan.packing.blocks.images
    share = -(-queries // images) / queries  # of a group of images
    scale = parameters.poly_modulus_degree / 8192 * (len(parameters.coeff_modulus) - 1) / 2
    products = _products(packing)
    both = scale * (
        _INPUT_SECONDS * packing.input_polynomials + _OUTPUT_SECONDS * packing.output_polynomials
    )
    together = f"{images} images: " if images > 1 else ""
    return LayerCost(
        work=f"{together}{packing.input_polynomials} in, {packing.output_polynomials} out, "
        f"{products} products",
        offline_bytes=round(share * plan.offline_bytes_to_server),
        online_bytes=round(share * (plan.online_bytes_to_server + plan.bytes_to_client)),
        offline_seconds=share * both * (1 - _ONLINE_SHARE),
        online_seconds=share * (both * _ONLINE_SHARE + scale * _PRODUCT_SECONDS * products),
        distance=math.prod(packing.shape.output_shape) * float(plan.distance),
        coefficient_distance=float(plan.distance),
        weight_bytes=packing.weight_polynomials
        * parameters.poly_modulus_degree
        * (len(parameters.coeff_modulus) - 1)
        * _WORD_BYTES,
    )


def _products(packing: Packing) -> int:
    return sum(len(packing.products(output)) for output in range(packing.output_polynomials))


def _circuit_cost(layer: Layer, plan: CircuitPlan, queries: int) -> LayerCost:
    count = math.prod(layer.shape)
    gates = plan.circuit.and_count
    tables, labels = (
        round(sum(direction) / queries)
        for direction in (
            plan.circuit.offline_bytes(queries * count),
            plan.circuit.online_bytes(queries * count),
        )
    )
    garbling, evaluating = count * gates * _GARBLE_SECONDS, count * gates * _EVALUATE_SECONDS
    work = f"{count:,} x {gates} AND"
    if plan.ahead:
        return LayerCost(work, tables, labels, garbling, evaluating)
    return LayerCost(f"{work}, online", 0, tables, 0.0, garbling + evaluating)
