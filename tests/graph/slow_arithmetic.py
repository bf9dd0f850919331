"""Integer networks in Python integers, one number at a time: an evaluator to compare with.

Shares no code with the package but the layer classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.graph.layers import (
    Add,
    AvgPool,
    Bias,
    BoundedRelu,
    Concat,
    Conv2D,
    Dense,
    Gather,
    Input,
    Layer,
    LeakyRelu,
    MaxPool,
    Negative,
    Pad,
    PiecewiseLinear,
    QuantizedNetwork,
    Relu,
    Rescale,
    Reshape,
    Square,
    Step,
    Transpose,
)


def slow_evaluate(network: QuantizedNetwork, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every layer's output for one image (H, W, C), as object arrays of signed Python ints."""
    values: dict[str, NDArray[Any]] = {}
    bits = network.fraction_bits
    f = network.fixed_point.fraction_bits
    for layer in network.layers:
        if isinstance(layer, Input):
            result = np.empty(image.shape, dtype=object)
            for index in np.ndindex(*image.shape):
                result[index] = round(float(image[index]) * (1 << f))
        else:
            inputs = [values[name] for name in layer.inputs]
            drops = [bits[name] - bits[layer.name] for name in layer.inputs]
            result = np.empty(layer.shape, dtype=object)
            for index in np.ndindex(*layer.shape):
                result[index] = _element(layer, inputs, drops, index, f)
        values[layer.name] = _signed(result, network.fixed_point.ring_bits)
    return values


def _signed(values: NDArray[Any], ring_bits: int) -> NDArray[Any]:
    t = 1 << ring_bits
    result = np.empty(values.shape, dtype=object)
    for index in np.ndindex(*values.shape):
        result[index] = (int(values[index]) + t // 2) % t - t // 2
    return result


def _element(
    layer: Layer, inputs: list[NDArray[Any]], drops: list[int], index: tuple[int, ...], f: int
) -> int:
    x = inputs[0]
    if isinstance(layer, Conv2D):
        return _convolution(layer, x, index)
    if isinstance(layer, Dense):
        column = index[0]
        total = sum(int(x[row]) * int(layer.weight[row, column]) for row in range(x.size))
        return total + int(layer.bias[column])
    if isinstance(layer, AvgPool):
        pixels = list(_window(layer, x, index))
        return sum(pixels) * round((1 << f) / len(pixels))
    if isinstance(layer, MaxPool):
        return max(_window(layer, x, index))
    if isinstance(layer, Add):
        return sum(int(v[index]) << -drop for v, drop in zip(inputs, drops, strict=True))
    if isinstance(layer, Concat):
        return _joined(layer, inputs, drops, index)
    if isinstance(layer, Reshape):
        return int(x.ravel()[np.ravel_multi_index(index, layer.shape)])
    if isinstance(layer, Transpose):
        source = [0, 0, 0]
        for place, axis in enumerate(layer.permutation):
            source[axis] = index[place]
        return int(x[tuple(source)])
    if isinstance(layer, Pad):
        row, column = index[0] - layer.padding[0][0], index[1] - layer.padding[1][0]
        inside = 0 <= row < x.shape[0] and 0 <= column < x.shape[1]
        return int(x[row, column, index[2]]) if inside else 0
    if isinstance(layer, Gather):
        source = list(index)
        source[layer.axis] = layer.indices[index[layer.axis]]
        return int(x[tuple(source)])
    if isinstance(layer, Negative):
        return -int(x[index])
    if isinstance(layer, Bias):
        return int(x[index]) + int(np.broadcast_to(layer.value, layer.shape)[index])
    return _activation(layer, int(x[index]), drops[0], f)


def _activation(layer: Layer, x: int, drop: int, f: int) -> int:
    if isinstance(layer, Relu):
        return max(x, 0) >> drop
    if isinstance(layer, BoundedRelu):
        return min(max(x, 0) >> drop, int(layer.cap))
    if isinstance(layer, LeakyRelu):
        return x >> drop if x >= 0 else (x * int(layer.slope)) >> (drop + f)
    if isinstance(layer, Square):
        return ((x >> drop) ** 2) >> f
    if isinstance(layer, Step):
        return int(x >= 0) << f
    if isinstance(layer, PiecewiseLinear):
        return _piecewise(layer, x >> drop)
    assert isinstance(layer, Rescale)
    return x >> drop


def _piecewise(layer: PiecewiseLinear, v: int) -> int:
    table = layer.table
    assert table is not None
    limit = 2**table.reach
    if v < -limit:
        return table.below
    if v >= limit:
        return v if table.above is None else table.above
    segment, offset = divmod(v + limit, 2 * limit // len(table.slopes))
    value: int = (table.bases[segment] + table.slopes[segment] * offset) // 2**table.slope_bits
    return value


def _convolution(layer: Conv2D, x: NDArray[Any], index: tuple[int, ...]) -> int:
    rows, columns, depth, filters = layer.kernel.shape
    group = index[2] // (filters // layer.groups)
    total = int(layer.bias[index[2]])
    for i, j, k in itertools.product(range(rows), range(columns), range(depth)):
        row = index[0] * layer.strides[0] + i * layer.dilations[0] - layer.padding[0][0]
        column = index[1] * layer.strides[1] + j * layer.dilations[1] - layer.padding[1][0]
        if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
            pixel = int(x[row, column, group * depth + k])
            total += pixel * int(layer.kernel[i, j, k, index[2]])
    return total


def _window(layer: Any, x: NDArray[Any], index: tuple[int, ...]) -> Iterator[int]:
    for i, j in itertools.product(*(range(side) for side in layer.window)):
        row = index[0] * layer.strides[0] + i - layer.padding[0][0]
        column = index[1] * layer.strides[1] + j - layer.padding[1][0]
        if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
            yield int(x[row, column, index[2]])


def _joined(
    layer: Concat, inputs: list[NDArray[Any]], drops: list[int], index: tuple[int, ...]
) -> int:
    place = list(index)
    for values, drop in zip(inputs, drops, strict=True):
        if place[layer.axis] < values.shape[layer.axis]:
            return int(values[tuple(place)]) << -drop
        place[layer.axis] -= values.shape[layer.axis]
    raise AssertionError(index)
