"""Maxima after ReLUs, where that lets them run by transfers; how many numbers they compare at once.

A ReLU that drops bits is monotone, so that it may stand before a maximum or after it: the integers
are the same. After it there are fewer values, which suits circuits. Before it the maximum is one of
small numbers, which look-ups compute exactly (`transfer_forms.transferable`). The cap of a bounded
ReLU is monotone as well: before the maximum it makes the numbers smaller, after it there are fewer.

By transfers a maximum that compares all numbers of a window at once takes fewer round trips than a
tree of maxima of two, and more bytes. The line between the parties says which is faster.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from capc.gc.lookup_layers import MAX_FAN_IN
from capc.graph.layers import BoundedRelu, Layer, MaxPool, QuantizedNetwork, Relu
from capc.inference.choice import NonlinearChoice, both_costs
from capc.inference.costs import expected_seconds


def arranged(network: QuantizedNetwork, choice: NonlinearChoice) -> QuantizedNetwork:
    """The network that the parties evaluate: the same function, its layers in the best order.

    With `auto` a maximum and its ReLU change places where that is expected to be faster. Order and
    fan-in of maxima follow from public shapes and the line alone, and the plan tells them.
    """
    if choice.way == "garbled":
        return network
    for pool, activation in _pairs(network):
        orders = [_swapped(network, pool, activation, cap_first=True)]
        if isinstance(network.layer(activation), BoundedRelu):
            orders.append(_swapped(network, pool, activation, cap_first=False))
        if choice.way == "auto":
            orders.insert(0, network)
        # What the others take depends on their own places in the end, so they are left out.
        changed = {pool, activation, _first_name(activation)}
        network = min(orders, key=partial(_seconds_of, choice=choice, names=changed))
    return _fastest(network, choice)[0]


def _pairs(network: QuantizedNetwork) -> list[tuple[str, str]]:
    """Each maximum that a ReLU with a shift takes, and nothing else; and that ReLU."""
    pairs = []
    for layer in network.layers:
        if not isinstance(layer, (Relu, BoundedRelu)) or network.scales(layer).shift < 1:
            continue
        source = network.layer(layer.inputs[0])
        users = [other for other in network.layers if source.name in other.inputs]
        if isinstance(source, MaxPool) and len(users) == 1:
            pairs.append((source.name, layer.name))
    return pairs


def _seconds_of(
    network: QuantizedNetwork, choice: NonlinearChoice, names: Collection[str]
) -> float:
    """Of the layers of these names, with the fastest fan-ins."""
    return sum(seconds for name, seconds in _fastest(network, choice)[1].items() if name in names)


def _fastest(
    network: QuantizedNetwork, choice: NonlinearChoice
) -> tuple[QuantizedNetwork, dict[str, float]]:
    """The network with the fastest fan-ins, and by non-linear layer what it takes then."""
    narrow = _seconds(network, choice)
    maxima = {layer.name for layer in network.layers if isinstance(layer, MaxPool)}
    wide = _seconds(_fanned_in(network, maxima), choice) if maxima else narrow
    faster = {name for name in maxima if wide[name] < narrow[name]}
    chosen = _fanned_in(network, faster) if faster else network
    return chosen, {name: min(narrow[name], wide[name]) for name in narrow}


def _fanned_in(network: QuantizedNetwork, maxima: Collection[str]) -> QuantizedNetwork:
    """With the largest fan-in of these maxima."""
    layers = (
        replace(layer, fan_in=MAX_FAN_IN)
        if isinstance(layer, MaxPool) and layer.name in maxima
        else layer
        for layer in network.layers
    )
    return replace(network, layers=tuple(layers))


def _seconds(network: QuantizedNetwork, choice: NonlinearChoice) -> dict[str, float]:
    """By non-linear layer, in its faster way, or by transfers where that was chosen."""
    found = {}
    for name, (garbled, looked_up) in both_costs(network, choice.link).items():
        ways = [garbled, looked_up] if choice.way == "auto" or looked_up is None else [looked_up]
        expected = [
            expected_seconds({name: cost}, choice.link) for cost in ways if cost is not None
        ]
        found[name] = min(map(sum, expected))
    return found


def _first_name(activation: str) -> str:
    """Of the ReLU before the maximum."""
    return f"{activation}/each"


def _swapped(
    network: QuantizedNetwork, pool_name: str, name: str, *, cap_first: bool
) -> QuantizedNetwork:
    """The ReLU before the maximum; the cap of a bounded one goes with it or stays behind."""
    pool, activation = network.layer(pool_name), network.layer(name)
    source = network.layer(pool.inputs[0])
    first: Layer = Relu(_first_name(name), pool.inputs, source.shape)
    if cap_first:
        first = replace(activation, name=first.name, inputs=first.inputs, shape=first.shape)
    layers: list[Layer] = []
    for layer in network.layers:
        if layer is pool:
            layers += [first, replace(pool, inputs=(first.name,))]
        elif layer is not activation:
            layers.append(layer)
        elif not cap_first:
            layers.append(activation)
    shift = network.scales(activation).shift
    bits = network.fraction_bits[name]
    fraction_bits = {**network.fraction_bits, first.name: bits, pool_name: bits}
    bounds = dict(network.bounds)
    if source.name in bounds:
        low, high = (max(end, 0) >> shift for end in bounds[source.name])
        if isinstance(first, BoundedRelu):
            low, high = min(low, int(first.cap)), min(high, int(first.cap))
        bounds |= dict.fromkeys((first.name, pool_name), (low, high))
    renamed = {}
    if cap_first:  # what took the ReLU takes the maximum
        renamed = {name: pool_name}
        del fraction_bits[name]
        bounds.pop(name, None)
    return replace(
        network,
        layers=tuple(_renamed(layer, renamed) for layer in layers),
        bounds=bounds,
        fraction_bits=fraction_bits,
    )


def _renamed(layer: Layer, names: Mapping[str, str]) -> Layer:
    """The layer with other inputs where they have other names now."""
    inputs = tuple(names.get(name, name) for name in layer.inputs)
    return layer if inputs == layer.inputs else replace(layer, inputs=inputs)
