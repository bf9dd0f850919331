"""How the layers of a network become products, circuits and look-ups; both parties agree on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from capc.fixed_point import Int64
from capc.gc.lookup_layers import LookupLayer
from capc.gc.lookups import SHALLOW_TREES
from capc.graph.layers import Layer, QuantizedNetwork, WeightedLayer
from capc.he.cheapest_packing import WORK_ALONE, Weighing, plan_packing
from capc.he.packing import Packing
from capc.inference.link import WITHIN_A_MACHINE
from capc.inference.protocols import GarbledCircuit, Nonlinear, linear_shape, protocol_of
from capc.inference.supply import Supply

IMAGES_TOGETHER = 64  # at most this many of a batch run at a time
MAX_PREPARED_BYTES = 1 << 29  # of tables, transfers and shares, held from the offline phase on
PIECE_BYTES = 1 << 25
MAX_KEPT_BYTES = 1 << 28
LOCAL_SUPPLY = Supply.over(WITHIN_A_MACHINE)
_SHARE_BYTES = 8


def queries_at_once(batch_size: int, bytes_each: int) -> int:
    """How many queries of a batch run at a time, where each takes so many bytes (`image_bytes`)."""
    return max(1, min(batch_size, IMAGES_TOGETHER, MAX_PREPARED_BYTES // max(1, bytes_each)))


def image_bytes(network: QuantizedNetwork, functions: Mapping[str, Nonlinear]) -> int:
    """Bytes of garbled tables, transfers and shares that one query needs."""
    return sum(
        _SHARE_BYTES * math.prod(layer.shape)
        + (
            _needed_bytes(functions[layer.name], math.prod(layer.shape))
            if layer.name in functions
            else 0
        )
        for layer in network.layers
    )


def _needed_bytes(function: Nonlinear, instances: int) -> int:
    if isinstance(function, LookupLayer):
        return function.kept_bytes(instances)
    return sum(function.offline_bytes(instances))


@dataclass(frozen=True)
class NonlinearPlan:
    """How one non-linear layer runs for a batch: in `pieces`, slices of its instances.

    `ahead` is True where it is prepared before the query; False where there would be too much to
    keep, and both phases run with the query. `from_stock`: look-ups of a batch that has so many
    that all of them draw on the session's stock of silent transfers; of any others `tree_depth` is
    that of the session's seed trees.
    """

    function: Nonlinear
    pieces: tuple[slice, ...]
    ahead: bool
    from_stock: bool = False
    tree_depth: int = SHALLOW_TREES


def nonlinear_plans(
    network: QuantizedNetwork,
    functions: Mapping[str, Nonlinear],
    batch_size: int,
    supply: Supply = LOCAL_SUPPLY,
) -> dict[str, NonlinearPlan]:
    """The same at both parties, as it follows from public shapes and the agreed supply.

    A piece keeps some 2^25 bytes, but look-ups ahead are one: their session cuts them. From the
    first layer on, each is prepared ahead that leaves what is kept of all these below 2^28 bytes
    together: tables, which the evaluator has to keep, and transfers. Prepared look-ups are used in
    order, so that none are ahead after some that are not.
    """
    plans: dict[str, NonlinearPlan] = {}
    kept, lookups_ahead = 0, True
    from_stock = batch_size * _transfers(network, functions) >= supply.stock_from
    for layer in network.layers:
        function = functions.get(layer.name)
        if function is None:
            continue
        instances = batch_size * math.prod(layer.shape)
        if isinstance(function, LookupLayer):
            total, largest = function.kept_bytes(instances), function.piece_instances
            ahead = lookups_ahead = lookups_ahead and kept + total <= MAX_KEPT_BYTES
        else:
            total, largest = function.offline_bytes(instances)[0], instances
            ahead = kept + total <= MAX_KEPT_BYTES
        kept += total if ahead else 0
        step = max(1, min(largest, instances * PIECE_BYTES // max(total, PIECE_BYTES)))
        if ahead and isinstance(function, LookupLayer):
            step = instances  # the session cuts them itself, and keeps them anyway
        pieces = (slice(k, min(k + step, instances)) for k in range(0, instances, step))
        plans[layer.name] = NonlinearPlan(
            *(function, tuple(pieces), ahead),
            from_stock=from_stock and isinstance(function, LookupLayer),
            tree_depth=supply.tree_depth,
        )
    return plans


def _transfers(network: QuantizedNetwork, functions: Mapping[str, Nonlinear]) -> int:
    """Of one query, all layers together."""
    return sum(
        math.prod(network.layer(name).shape) * function.transfers
        for name, function in functions.items()
        if isinstance(function, LookupLayer)
    )


def linear_packing(
    network: QuantizedNetwork,
    layer: WeightedLayer,
    degree: int,
    batch_size: int = 1,
    weighing: Weighing = WORK_ALONE,
) -> Packing:
    """How a linear layer of a batch lies in polynomials of `degree` coefficients."""
    shape = linear_shape(network, layer)
    return plan_packing(shape, degree, min(batch_size, IMAGES_TOGETHER), weighing)


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


def instance_words(
    network: QuantizedNetwork, layer: Layer, function: Nonlinear, share: Int64, *, own: bool
) -> Int64:
    """A share (batch, *shape) as the words of one instance an output: (instances, words).

    A padded pixel is a number that no other is below, -t/2 in a circuit and -t/4 in look-ups
    (`transferable`): one party (`own`) holds all of it, the other 0.
    """
    protocol = protocol_of(layer)
    if not isinstance(protocol, GarbledCircuit):
        raise TypeError(f"{type(layer).__name__} has no circuit")
    part = 4 if isinstance(function, LookupLayer) else 2
    return protocol.words(layer, share, -network.fixed_point.modulus // part if own else 0)


def nonlinear_row(
    network: QuantizedNetwork, functions: Mapping[str, Nonlinear], layer: Layer
) -> list[Layer]:
    """A non-linear layer, and those that follow it at once and take nothing but the one before."""
    row = [layer]
    for following in network.layers[network.layers.index(layer) + 1 :]:
        if following.name not in functions or tuple(following.inputs) != (row[-1].name,):
            break
        row.append(following)
    return row


def split_point(network: QuantizedNetwork) -> int:
    """Where step 1b begins: the index of the last linear layer of a supported network."""
    return max(
        place for place, layer in enumerate(network.layers) if isinstance(layer, WeightedLayer)
    )


def opening_products(network: QuantizedNetwork) -> dict[str, str]:
    """Of each input of a linear layer, by name, the first layer that takes it.

    There the querying party sends this input less its mask; others that take it know it then.
    """
    first: dict[str, str] = {}
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            first.setdefault(layer.inputs[0], layer.name)
    return first


def sent_at_once(plans: Mapping[str, NonlinearPlan]) -> bool:
    """Whether masks go out together: not while a stock is filled, whose messages go in between."""
    return not any(plan.from_stock for plan in plans.values())


def taken_once(masks: dict[str, Int64], name: str) -> Int64:
    """A mask, which is gone then: RuntimeError the second time."""
    try:
        return masks.pop(name)
    except KeyError:
        raise RuntimeError("this batch was evaluated before; prepare a fresh one") from None
