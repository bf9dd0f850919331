"""Data in the shape and the range that a model takes: rearranged where that is certain.

A query holds the same numbers as images (28, 28), (28, 28, 1), (1, 28, 28) and a row (784,). Axes
may be merged, split and, between channels first and channels last, moved; anything else would
scramble the pixels and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError

Shape = tuple[int, ...]
Range = tuple[float, float]

_USUAL_RANGES: tuple[Range, ...] = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


def fitted(samples: NDArray[Any], shape: Shape, origin: str = "the queries") -> NDArray[Any]:
    """Samples (n, ...) as (n, *shape). Raises ConfigError, with both shapes, where none is sure."""
    given = tuple(samples.shape[1:])
    if given == shape:
        return samples
    if math.prod(given) == math.prod(shape):
        before, after = _without_ones(given), _without_ones(shape)
        if _refines(before, after) or _refines(after, before):
            return samples.reshape(-1, *shape)
        if len(given) == len(shape) == 3:
            if shape == (given[2], given[0], given[1]):  # NHWC to NCHW
                return np.ascontiguousarray(samples.transpose(0, 3, 1, 2))
            if shape == (given[1], given[2], given[0]):  # NCHW to NHWC
                return np.ascontiguousarray(samples.transpose(0, 2, 3, 1))
    raise ConfigError(
        f"the model takes inputs of shape {shape}, {origin} have {given}: name another model, or "
        "save the data in the model's shape"
    )


def settled(values: NDArray[Any], shape: Shape, origin: str) -> NDArray[Any]:
    """Stored values as samples (n, ...), of as many numbers as `shape`; axes of size 1 may lack.

    Raises ConfigError, with both shapes, where the values are no such samples.
    """
    elements, rest = math.prod(shape), tuple(values.shape[1:])
    if values.ndim and _without_ones(rest) == _without_ones(shape):
        return values.reshape(-1, *shape)
    if values.ndim > 1 and math.prod(rest) == elements:
        return values
    if values.size == elements:  # one sample, without its axis
        return values[np.newaxis]
    raise ConfigError(
        f"{origin} holds samples of shape {rest or values.shape}, not {shape}: name another model, "
        "--dataset_name or --dataset_path"
    )


def stated_range(ends: Sequence[float]) -> Range:
    """What --input_range gives, as a closed interval; ConfigError where it is none."""
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"--input_range is {low:g} {high:g}; allowed are two numbers, the lower first"
        )
    return low, high


def range_of(values: NDArray[Any]) -> Range:
    """A closed interval that holds all values and says little about them.

    [0, 1], [-1, 1] or [0, 255] where that holds them, else up to the next power of two.
    """
    low, high = float(values.min()), float(values.max())
    for least, most in _USUAL_RANGES:
        if least <= low and high <= most:
            return least, most
    end = 2.0 ** math.ceil(math.log2(max(-low, high)))
    return (0.0 if low >= 0 else -end), end


def assumed_range(values: str, found: Range) -> str | None:
    """A sentence on the range that was derived from data; None for [0, 1], which most models take.

    `values` is what the sentence calls the data.
    """
    low, high = found
    if found == (0.0, 1.0):
        return None
    return (
        f"{values} are no bytes, and are taken as they are: [{low:g}, {high:g}] holds them and is "
        "assumed for every query; --input_range LOW HIGH states another range"
    )


def scaled(pixels: NDArray[Any], input_range: Range = (0.0, 1.0)) -> NDArray[np.float32]:
    """Bytes k as low + k / 255 * (high - low), float32; values of any other type as they are."""
    if pixels.dtype != np.uint8:
        return pixels.astype(np.float32)
    low, high = input_range
    if (low, high) == (0.0, 255.0):
        return pixels.astype(np.float32)
    unit = pixels.astype(np.float32) / np.float32(255)
    if (low, high) == (0.0, 1.0):
        return unit
    least, most = np.float32(low), np.float32(high)
    if least < low:  # rounding must not leave the range
        least = np.nextafter(least, np.float32(np.inf))
    if most > high:
        most = np.nextafter(most, np.float32(-np.inf))
    return np.clip(least + unit * (most - least), least, most)


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _refines(fine: Shape, coarse: Shape) -> bool:
    """Whether merging neighbouring axes of `fine` gives `coarse`."""
    return set(accumulate(coarse, mul)) <= set(accumulate(fine, mul))
