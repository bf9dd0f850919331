"""What one encrypted query of a network costs, before anything runs: bytes exactly, time roughly.

Bytes come from the packing and the circuits. Seconds come from their counts and from unit costs
that were measured on two cores of a shared AMD EPYC with both parties on it (docs/models.md);
elsewhere they scale with the machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from capc.errors import ConfigError, ModelError
from capc.graph.encrypted import (
    LINEAR,
    NON_LINEAR,
    CircuitPlan,
    NonLinearLayer,
    circuit_for,
    circuit_plans,
    linear_shape,
    linear_weight,
    require_supported,
)
from capc.graph.layers import QuantizedNetwork
from capc.he import planner
from capc.he.noise import FLOOD_RATIO_BITS
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters

# Seconds at degree 8192 with two data primes: an input, an output polynomial, a product.
_INPUT_SECONDS = 1.0e-3
_OUTPUT_SECONDS = 1.5e-3
_PRODUCT_SECONDS = 0.12e-3
_ONLINE_SHARE = 0.45  # of inputs and outputs; products are online altogether
# Seconds an AND gate, garbled and sent, then evaluated.
_GARBLE_SECONDS = 90e-9
_EVALUATE_SECONDS = 25e-9


@dataclass(frozen=True)
class LayerCost:
    """One layer of one query; bytes are both parties' together, message headers left out.

    `work` says how the layer lies in polynomials, or how many circuits of how many AND gates run.
    `noise_margin_bits` is, for a linear layer, how far its own noise stays below the most that the
    flooding of its replies hides (2^40 times over): the bound that the run itself checks. It
    depends on the weights: for the model's owner alone.
    """

    work: str
    offline_bytes: int
    online_bytes: int
    offline_seconds: float
    online_seconds: float
    noise_margin_bits: float | None = None


def query_costs(
    network: QuantizedNetwork, parameters: EncryptionParameters
) -> Mapping[str, LayerCost]:
    """By layer; layers that each party evaluates alone are left out, as they cost next to nothing.

    Raises ModelError or ConfigError, naming the layer and a way out, where the network cannot be
    evaluated under these parameters.
    """
    require_supported(network)
    linear = _linear_plans(network, parameters)
    circuits = {
        layer.name: circuit_for(network, layer)
        for layer in network.layers
        if isinstance(layer, NON_LINEAR)
    }
    plans = circuit_plans(network, circuits, 1)
    costs = {}
    for layer in network.layers:
        if isinstance(layer, LINEAR):
            costs[layer.name] = _linear_cost(linear.layers[layer.name], parameters)
        elif isinstance(layer, NON_LINEAR):
            costs[layer.name] = _circuit_cost(layer, plans[layer.name])
    return costs


def total_cost(costs: Mapping[str, LayerCost]) -> LayerCost:
    """The sum over all layers."""
    found = costs.values()
    return LayerCost(
        work="",
        offline_bytes=sum(cost.offline_bytes for cost in found),
        online_bytes=sum(cost.online_bytes for cost in found),
        offline_seconds=sum(cost.offline_seconds for cost in found),
        online_seconds=sum(cost.online_seconds for cost in found),
    )


def _linear_plans(
    network: QuantizedNetwork, parameters: EncryptionParameters
) -> planner.NetworkPlan:
    layers = []
    for layer in network.layers:
        if isinstance(layer, LINEAR):
            try:
                shape = linear_shape(network, layer)
            except ValueError as error:
                raise ModelError(f"layer '{layer.name}': {error}") from None
            layers.append(planner.LinearLayer(layer.name, shape, linear_weight(layer)))
    try:
        return planner.plan(layers, parameters, network.fixed_point)
    except ConfigError as error:
        raise ConfigError(f"{error}, as config/deep.json has") from None


def _linear_cost(plan: planner.LayerPlan, parameters: EncryptionParameters) -> LayerCost:
    packing = plan.packing
    scale = parameters.poly_modulus_degree / 8192 * (len(parameters.coeff_modulus) - 1) / 2
    products = _products(packing)
    both = scale * (
        _INPUT_SECONDS * packing.input_polynomials + _OUTPUT_SECONDS * packing.output_polynomials
    )
    return LayerCost(
        work=f"{packing.input_polynomials} in, {packing.output_polynomials} out, "
        f"{products} products",
        offline_bytes=plan.offline_bytes_to_server,
        online_bytes=plan.online_bytes_to_server + plan.bytes_to_client,
        offline_seconds=both * (1 - _ONLINE_SHARE),
        online_seconds=both * _ONLINE_SHARE + scale * _PRODUCT_SECONDS * products,
        noise_margin_bits=plan.flood_margin_bits - FLOOD_RATIO_BITS,
    )


def _products(packing: Packing) -> int:
    return sum(len(packing.products(output)) for output in range(packing.output_polynomials))


def _circuit_cost(layer: NonLinearLayer, plan: CircuitPlan) -> LayerCost:
    count = math.prod(layer.shape)
    gates = plan.circuit.and_count
    tables, labels = (
        sum(direction)
        for direction in (plan.circuit.offline_bytes(count), plan.circuit.online_bytes(count))
    )
    garbling, evaluating = count * gates * _GARBLE_SECONDS, count * gates * _EVALUATE_SECONDS
    work = f"{count:,} x {gates} AND"
    if plan.ahead:
        return LayerCost(work, tables, labels, garbling, evaluating)
    return LayerCost(f"{work}, online", 0, tables, 0.0, garbling + evaluating)
