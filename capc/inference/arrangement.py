"""Maxima after ReLUs, where that lets them run by transfers.

A ReLU that drops bits is monotone, so that it may stand before a maximum or after it: the integers
are the same. After it there are fewer values, which suits circuits. Before it the maximum is one of
small numbers, which look-ups compute exactly (`transfer_forms.transferable`). The cap of a bounded
ReLU is monotone as well: before the maximum it makes the numbers smaller, after it there are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from capc.graph.layers import BoundedRelu, Layer, MaxPool, QuantizedNetwork, Relu
from capc.inference.choice import NonlinearChoice, both_costs


def arranged(network: QuantizedNetwork, choice: NonlinearChoice) -> QuantizedNetwork:
    """The network that the parties evaluate: the same function, its layers in the best order.

    With `auto` a maximum and its ReLU change places where that is expected to be faster. The order
    follows from public shapes alone, and the plan tells it.
    """
    if choice.way == "garbled":
        return network
    for pool, activation in _pairs(network):
        orders = [_swapped(network, pool, activation, cap_first=True)]
        if isinstance(network.layer(activation), BoundedRelu):
            orders.append(_swapped(network, pool, activation, cap_first=False))
        if choice.way == "auto":
            orders.insert(0, network)
        network = min(orders, key=lambda order: _seconds(order, choice))
    return network


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


def _seconds(network: QuantizedNetwork, choice: NonlinearChoice) -> float:
    """Of all non-linear layers, each in its faster way, or by transfers where that was chosen."""
    total = 0.0
    for garbled, looked_up in both_costs(network, choice.link).values():
        if looked_up is None:
            total += garbled.seconds(choice.link)
        elif choice.way == "transfers":
            total += looked_up.seconds(choice.link)
        else:
            total += min(looked_up.seconds(choice.link), garbled.seconds(choice.link))
    return total


def _swapped(
    network: QuantizedNetwork, pool_name: str, name: str, *, cap_first: bool
) -> QuantizedNetwork:
    """The ReLU before the maximum; the cap of a bounded one goes with it or stays behind."""
    pool, activation = network.layer(pool_name), network.layer(name)
    source = network.layer(pool.inputs[0])
    first: Layer = Relu(f"{name}/each", pool.inputs, source.shape)
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
