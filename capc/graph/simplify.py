"""Networks that compute the same with fewer layers: fewer rounds, and no rescaling between.

Each pass maps a Network to an equal one over the reals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from capc.fixed_point import Float64
from capc.graph.layers import (
    Activation,
    AvgPool,
    Bias,
    Conv2D,
    Dense,
    Gather,
    Layer,
    MaxPool,
    Negative,
    Network,
    Pad,
    Reshape,
    Transpose,
    WeightedLayer,
)

_MOST_FOLDED_WEIGHTS = 1 << 20
_MOST_GROWTH = 8  # a wide pool before a narrow Dense costs less by itself than as one matrix
_WEIGHTED = (WeightedLayer, AvgPool)
_AFFINE = (WeightedLayer, AvgPool, Reshape, Pad, Transpose, Bias, Gather, Negative)


def simplify(network: Network) -> Network:
    """All passes, in the order in which each helps the next."""
    rewrites = (
        _without_idle_reshapes,
        _with_maxima_before_activations,
        _with_padding_in_convolutions,
        _with_scales_in_convolutions,
        fold_linear_chains,
    )
    for rewrite in rewrites:
        network = rewrite(network)
    return network


def fold_linear_chains(network: Network) -> Network:
    """Each run of linear layers that ends in a Dense, as one Dense.

    A run is folded where nobody else uses its inner values and the one matrix has no more than
    2^20 weights, nor many times those of the run. Its rows take the input in row-major order.
    """
    for chain in _chains(network):
        source = network.layer(chain[0].inputs[0])
        size = int(np.prod(source.shape))
        folded = size * chain[-1].shape[0]
        apart = sum(int(layer.weights.size) for layer in chain if isinstance(layer, WeightedLayer))
        if folded > _MOST_FOLDED_WEIGHTS or folded > _MOST_GROWTH * max(apart, 1 << 10):
            continue
        network = _replace_chain(network, chain, source, size)
    return network


def affine_map(chain: list[Layer], shape: tuple[int, ...]) -> tuple[Float64, Float64]:
    """A chain of affine layers on inputs of `shape` as (matrix (n_in, n_out), offset (n_out,))."""
    size = int(np.prod(shape))
    offset = _through(chain, np.zeros((1, *shape)))[0]
    rows = [
        _through(chain, np.eye(size)[start : start + 256].reshape(-1, *shape))
        for start in range(0, size, 256)
    ]
    return np.concatenate(rows) - offset, offset


def _through(chain: list[Layer], values: Float64) -> Float64:
    for layer in chain:
        values = layer.real([values])
    return values.reshape(len(values), -1)


def _chains(network: Network) -> Iterator[list[Layer]]:
    """Maximal affine runs that end in a Dense and hold another weighted layer, without overlap."""
    layers = {layer.name: layer for layer in network.layers}
    uses = _uses(network)
    taken: set[str] = set()
    for end in reversed(network.layers):
        if not isinstance(end, Dense) or end.name in taken:
            continue
        chain: list[Layer] = [end]
        while True:
            before = layers[chain[0].inputs[0]]
            if not isinstance(before, _AFFINE) or uses[before.name] > 1:
                break
            chain.insert(0, before)
        while not isinstance(chain[0], _WEIGHTED):
            chain.pop(0)
        taken.update(layer.name for layer in chain)
        if sum(isinstance(layer, _WEIGHTED) for layer in chain) > 1:
            yield chain


def _replace_chain(network: Network, chain: list[Layer], source: Layer, size: int) -> Network:
    matrix, offset = affine_map(chain, source.shape)
    end = chain[-1]
    gone = {layer.name for layer in chain}
    kept: list[Layer] = []
    for layer in network.layers:
        if layer.name == end.name:
            flat = source.name
            if len(source.shape) != 1:
                flat = f"{chain[0].name}/flat"
                kept.append(Reshape(name=flat, inputs=(source.name,), shape=(size,)))
            kept.append(
                Dense(name=end.name, inputs=(flat,), shape=end.shape, weight=matrix, bias=offset)
            )
        elif layer.name not in gone:
            kept.append(layer)
    return Network(tuple(kept))


def _without_idle_reshapes(network: Network) -> Network:
    """Reshapes that change nothing go, and of two in a row the second is enough."""
    layers: dict[str, Layer] = {}
    stands_for: dict[str, str] = {}
    for layer in network.layers:
        inputs = tuple(stands_for.get(name, name) for name in layer.inputs)
        if isinstance(layer, Reshape):
            before = layers[inputs[0]]
            if isinstance(before, Reshape):
                before = layers[before.inputs[0]]
                inputs = (before.name,)
            if before.shape == layer.shape:
                stands_for[layer.name] = before.name
                continue
        layers[layer.name] = replace(layer, inputs=inputs)
    output = stands_for.get(network.output.name, network.output.name)
    return _reachable(layers, output)


def _with_maxima_before_activations(network: Network) -> Network:
    """A MaxPool after a growing activation goes before it, which then sees fewer values.

    Exact over integers too: a shift that rounds down also grows with its argument.
    """
    layers = {layer.name: layer for layer in network.layers}
    uses = _uses(network)
    for pool in network.layers:
        before = layers[pool.inputs[0]] if pool.inputs else None
        grows = isinstance(before, Activation) and before.grows
        if not isinstance(pool, MaxPool) or before is None or not grows or uses[before.name] > 1:
            continue
        layers[before.name] = replace(pool, name=before.name, inputs=before.inputs)
        layers[pool.name] = replace(before, name=pool.name, inputs=(before.name,), shape=pool.shape)
    return Network(tuple(layers.values()))


def _with_padding_in_convolutions(network: Network) -> Network:
    """A Pad before a Conv2D becomes part of its padding."""
    layers = {layer.name: layer for layer in network.layers}
    for layer in network.layers:
        before = layers[layer.inputs[0]] if layer.inputs else None
        if isinstance(layer, Conv2D) and isinstance(before, Pad):
            (top, bottom), (left, right) = before.padding
            (above, below), (west, east) = layer.padding
            padding = (top + above, bottom + below), (left + west, right + east)
            layers[layer.name] = replace(layer, inputs=before.inputs, padding=padding)
    return _reachable(layers, network.output.name)


def _with_scales_in_convolutions(network: Network) -> Network:
    """s * x + o before convolutions: x + o / s, and s goes into their kernels.

    So a batch normalisation before a convolution costs nothing. Padded zeros stay zeros, as they
    come after the sum.
    """
    layers = {layer.name: layer for layer in network.layers}
    for name in list(layers):
        scale = layers[name]  # with the factors of a scale before it
        users = [layer for layer in layers.values() if name in layer.inputs]
        if not isinstance(scale, Conv2D) or not users or not _is_scale(scale):
            continue
        is_output = name == network.output.name
        if is_output or not all(isinstance(user, Conv2D) for user in users):
            continue
        factors = scale.kernel.reshape(-1)
        shift = scale.bias / factors
        layers[scale.name] = Bias(
            name=scale.name, inputs=scale.inputs, shape=scale.shape, value=shift
        )
        for user in users:
            layers[user.name] = _scaled_input(user, factors)
    return _reachable(layers, network.output.name)


def _is_scale(layer: Conv2D) -> bool:
    """One factor per channel and an offset, that a division does not blow up."""
    if layer.kernel.shape[:3] != (1, 1, 1) or layer.kernel.shape[3] != layer.groups:
        return False
    if layer.strides != (1, 1) or layer.padding != ((0, 0), (0, 0)):
        return False
    return bool(np.all(np.abs(layer.kernel.reshape(-1)) * 16 > np.abs(layer.bias)))


def _scaled_input(user: Layer, factors: Float64) -> Layer:
    """`user` on inputs that were not multiplied by `factors` (C,)."""
    if not isinstance(user, Conv2D):
        raise TypeError(type(user).__name__)
    depth, filters = user.kernel.shape[2:]
    group = np.arange(filters) // (filters // user.groups)
    channel = group * depth + np.arange(depth)[:, np.newaxis]
    return replace(user, kernel=user.kernel * factors[channel])


def _reachable(layers: dict[str, Layer], output: str) -> Network:
    """The layers that `output` depends on, in their order; the input stays."""
    needed = {output, next(iter(layers))}
    for layer in reversed(layers.values()):
        if layer.name in needed:
            needed.update(layer.inputs)
    return Network(tuple(layer for layer in layers.values() if layer.name in needed))


def _uses(network: Network) -> Counter[str]:
    counts = Counter(name for layer in network.layers for name in layer.inputs)
    counts[network.output.name] += 1
    return counts
