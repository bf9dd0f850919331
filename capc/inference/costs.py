"""What an encrypted query of a network costs, before anything runs: bytes exactly, time roughly.

Bytes come from the packing, the circuits and the look-ups. Seconds come from their counts and from
unit costs: both parties' processor time on a shared Intel Xeon with AVX-512 (docs/performance.md).
Elsewhere they scale with the machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from capc.errors import ModelError
from capc.gc import session
from capc.gc.lookup_bytes import seed_bytes, setup_bytes
from capc.gc.lookup_layers import LookupLayer
from capc.graph.layers import Layer, QuantizedNetwork, WeightedLayer
from capc.he import planner
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.server import public_key_bytes
from capc.he.symmetric import SEED_BYTES
from capc.inference.layout import (
    IMAGES_TOGETHER,
    NonlinearPlan,
    image_bytes,
    nonlinear_plans,
    opening_products,
    queries_at_once,
)
from capc.inference.link import WITHIN_A_MACHINE, Link
from capc.inference.protocols import functions_of, linear_shape, require_supported
from capc.inference.supply import CORRECTION_SECONDS, STOCK_SECONDS, Supply
from capc.inference.weighing import weighing_of
from capc.inference.words import word_bytes

# Seconds at degree 8192 with two data primes: an input, an output polynomial, a product.
_INPUT_SECONDS = 0.5e-3
_OUTPUT_SECONDS = 1.1e-3
_PRODUCT_SECONDS = 0.02e-3
_MERGE_SECONDS = 0.65e-3  # of each sum but the first of a polynomial of a reply
_WEIGHT_SECONDS = 0.8e-9  # of a weight times a number in the clear, online
SIDE_BY_SIDE = 0.6  # of both parties' processor time, as they work at once for most of it
# Seconds of messages and calls of a layer, however small it is, offline and online.
_LAYER_SECONDS = (1.5e-3, 0.6e-3)
# Seconds an AND gate, garbled and sent, then evaluated.
_GARBLE_SECONDS = 100e-9
_EVALUATE_SECONDS = 40e-9
# Seconds of a table filled, sent and read. What its transfers take is in capc.inference.supply.
_LOOKUP_SECONDS = 35e-9
# Round trips of an offline phase, all layers together: choices and tables; corrections, or trees,
# points and proofs.
_CIRCUITS_TRIPS = 1.0
_CORRECTIONS_TRIPS = 1.0
_STOCK_TRIPS = 1.5
_WORD_BYTES = 8  # a coefficient modulo a prime


@dataclass(frozen=True)
class LayerCost:
    """One layer of one query; bytes are both parties' together, message headers left out.

    `work` says how the layer lies in polynomials, how many circuits of how many AND gates run, or
    how many instances of how many look-ups. Seconds are those within one machine; `offline_rounds`
    and `online_rounds` are round trips, each of which another line makes longer (`seconds`).
    `offline_asked` and `online_asked` are the bytes that the querying party sends.
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
    offline_rounds: float = 0.0
    online_rounds: float = 0.0
    offline_asked: int = 0
    online_asked: int = 0

    def phases(self, link: Link) -> tuple[float, float]:
        """Seconds of the offline and of the online phase over a line."""
        return (
            self.offline_seconds + link.seconds(self.offline_bytes, self.offline_rounds),
            self.online_seconds + link.seconds(self.online_bytes, self.online_rounds),
        )

    def seconds(self, link: Link) -> float:
        """Of both phases."""
        return sum(self.phases(link))


def query_costs(
    network: QuantizedNetwork,
    parameters: EncryptionParameters,
    queries: int = 1,
    transfers: Collection[str] = (),
    link: Link = WITHIN_A_MACHINE,
) -> Mapping[str, LayerCost]:
    """By layer; layers that each party evaluates alone are left out, as they cost next to nothing.

    The layers that `transfers` names run by transfers, all others in circuits. Polynomials are
    packed for `link`. Figures are a query's share where so many `queries` run at a time
    (`at_once`). Raises ModelError or ConfigError, naming the layer and a way out, where the network
    cannot be evaluated under these parameters.
    """
    require_supported(network)
    linear = linear_plans(network, parameters, min(queries, IMAGES_TOGETHER), link)
    functions = functions_of(network, transfers)
    plans = nonlinear_plans(network, functions, queries, Supply.over(link))
    opening = opening_products(network)
    costs = {}
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            (name,) = layer.inputs
            count = math.prod(network.layer(name).shape) if opening[name] == layer.name else 0
            masked = count * word_bytes(network.fixed_point)
            costs[layer.name] = _linear_cost(linear[layer.name], parameters, queries, masked)
        elif layer.name in plans:
            costs[layer.name] = nonlinear_cost(layer, plans[layer.name], queries)
    return _with_round_trips(costs, plans, queries)


def _with_round_trips(
    costs: dict[str, LayerCost], plans: Mapping[str, NonlinearPlan], queries: int
) -> Mapping[str, LayerCost]:
    """Those of the offline phase stand at the first layer of each kind, as all of it share them."""
    kinds: dict[type, str] = {}
    for name, plan in plans.items():
        if plan.ahead:
            kinds.setdefault(type(plan.function), name)
    for name in kinds.values():
        costs[name] = replace(costs[name], offline_rounds=_preparation_trips(plans[name]) / queries)
    return costs


def _preparation_trips(plan: NonlinearPlan) -> float:
    if not isinstance(plan.function, LookupLayer):
        return _CIRCUITS_TRIPS
    return _STOCK_TRIPS if plan.from_stock else _CORRECTIONS_TRIPS


def session_bytes(
    network: QuantizedNetwork,
    parameters: EncryptionParameters,
    queries: int = 1,
    transfers: Collection[str] = (),
    link: Link = WITHIN_A_MACHINE,
) -> int:
    """What a pair of parties sends once, both together, beside plan and headers.

    These are keys, base transfers, and the seeds of the stocks where so many queries draw on them.
    """
    supply = Supply.over(link)
    merged = weighing_of(network, parameters, link).merged
    functions = functions_of(network, transfers)
    plans = nonlinear_plans(network, functions, queries, supply).values()
    lookups = [plan for plan in plans if isinstance(plan.function, LookupLayer)]
    total = SEED_BYTES + public_key_bytes(parameters, network.fixed_point, merged)
    if len(lookups) < len(plans):
        total += session.SETUP_BYTES
    if lookups:
        total += setup_bytes(supply.tree_depth)
    if any(plan.from_stock for plan in lookups):
        total += seed_bytes(supply.tree_depth)
    return total


def at_once(
    network: QuantizedNetwork,
    batch_size: int,
    parties: int = 1,
    transfers: Collection[str] = (),
) -> int:
    """How many queries of a batch run at a time, with so many answering parties of this model."""
    require_supported(network)
    each = image_bytes(network, functions_of(network, transfers))
    return queries_at_once(batch_size, parties * each)


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
        offline_rounds=sum(cost.offline_rounds for cost in found),
        online_rounds=sum(cost.online_rounds for cost in found),
        offline_asked=sum(cost.offline_asked for cost in found),
        online_asked=sum(cost.online_asked for cost in found),
    )


def expected_seconds(costs: Mapping[str, LayerCost], link: Link) -> tuple[float, float]:
    """What a whole query takes in the offline and in the online phase, on a core for each party.

    Both parties work at the same time, and the line is busy meanwhile, both ways at once: of work
    and the bytes of either direction the longest counts. Round trips come besides.
    """
    total, layers = total_cost(costs), len(costs)

    def longest(work: float, moved: int, asked: int) -> float:
        return max(SIDE_BY_SIDE * work, link.seconds(max(asked, moved - asked), 0))

    offline = longest(total.offline_seconds, total.offline_bytes, total.offline_asked)
    online = longest(total.online_seconds, total.online_bytes, total.online_asked)
    return (
        offline + link.seconds(0, total.offline_rounds) + layers * _LAYER_SECONDS[0],
        online + link.seconds(0, total.online_rounds) + layers * _LAYER_SECONDS[1],
    )


def check_encrypted(network: QuantizedNetwork, parameters: EncryptionParameters) -> None:
    """Raise unless the network can be evaluated encrypted, exactly and hiding its weights.

    ModelError names a layer without a circuit, ConfigError the layer and the figure for which the
    parameters are too small. For the model's owner: the reason may depend on the weights.
    """
    require_supported(network)
    linear_plans(network, parameters)


def linear_plans(
    network: QuantizedNetwork,
    parameters: EncryptionParameters,
    images: int = 1,
    link: Link = WITHIN_A_MACHINE,
) -> Mapping[str, planner.LayerPlan]:
    """The linear layers' packings, for `images` that run at a time, all checked.

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
    weighing = weighing_of(network, parameters, link)
    return planner.plan(layers, parameters, network.fixed_point, images, weighing)


def _linear_cost(
    plan: planner.LayerPlan, parameters: EncryptionParameters, queries: int, masked_bytes: int
) -> LayerCost:
    """Products offline; online `masked_bytes`, which go along with what comes next."""
    packing, images = plan.packing, plan.packing.blocks.images
    groups = -(-queries // images)
    share = groups / queries  # of a group of images
    scale = parameters.poly_modulus_degree / 8192 * (len(parameters.coeff_modulus) - 1) / 2
    products = _products(packing)
    both = scale * (
        _INPUT_SECONDS * packing.input_polynomials + _OUTPUT_SECONDS * packing.output_polynomials
    )
    merging = _MERGE_SECONDS * packing.merges
    sent = plan.bytes_to_server + plan.bytes_to_client
    multiplications = math.prod(packing.shape.weight_shape) * math.prod(packing.shape.output_size)
    together = f"{images} images: " if images > 1 else ""
    return LayerCost(
        work=f"{together}{packing.input_polynomials} in, {packing.output_polynomials} out, "
        f"{products} products" + (f", {packing.merges} merges" if packing.merges else ""),
        offline_bytes=round(share * sent),
        online_bytes=masked_bytes,
        offline_seconds=share * (both + scale * (_PRODUCT_SECONDS * products + merging)),
        online_seconds=_WEIGHT_SECONDS * multiplications,
        distance=math.prod(packing.shape.output_shape) * float(plan.distance),
        coefficient_distance=float(plan.distance),
        weight_bytes=packing.weight_polynomials
        * parameters.poly_modulus_degree
        * (len(parameters.coeff_modulus) - 1)
        * _WORD_BYTES,
        offline_asked=round(share * plan.bytes_to_server),
        online_asked=masked_bytes,
    )


def _products(packing: Packing) -> int:
    return sum(len(packing.products(place)) for place in range(packing.sums))


def nonlinear_cost(layer: Layer, plan: NonlinearPlan, queries: int = 1) -> LayerCost:
    """One query's share of a layer that runs for so many, without the round trips offline."""
    count, function = math.prod(layer.shape), plan.function
    if isinstance(function, LookupLayer):
        work = f"{count:,} x {function.lookups} look-ups"
        rounds: float = function.rounds
        each = STOCK_SECONDS if plan.from_stock else CORRECTION_SECONDS[plan.tree_depth]
        ahead = count * function.transfers * each
        sizes = function.offline_bytes(queries * count, plan.from_stock, plan.tree_depth)
        online = count * function.lookups * _LOOKUP_SECONDS
    else:
        work = f"{count:,} x {function.and_count} AND"
        rounds = 1.0
        ahead = count * function.and_count * _GARBLE_SECONDS
        sizes = function.offline_bytes(queries * count)
        online = count * function.and_count * _EVALUATE_SECONDS
    online_sizes = function.online_bytes(queries * count)
    prepared, answered = (round(sum(both) / queries) for both in (sizes, online_sizes))
    asked_ahead, asked = (round(both[1] / queries) for both in (sizes, online_sizes))
    if plan.ahead:  # pieces go one behind the other
        return LayerCost(
            *(work, prepared, answered, ahead, online),
            online_rounds=rounds / queries,
            offline_asked=asked_ahead,
            online_asked=asked,
        )
    if isinstance(function, LookupLayer):
        moved, rounds = prepared + answered, _preparation_trips(plan) + rounds
        asked += asked_ahead
    else:
        asked = asked_ahead
        moved = prepared  # a circuit that is garbled with the query has one phase
    return LayerCost(
        *(f"{work}, online", 0, moved, 0.0, ahead + online),
        online_rounds=len(plan.pieces) * rounds / queries,
        online_asked=asked,
    )
