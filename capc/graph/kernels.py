"""What layers do to a batch of arrays (n, ...): windows, linear maps, and the moving of numbers.

The arithmetic is the caller's: it passes the matrix product, so that floats, ring elements and
interval ends go through the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Int64
from capc.graph.layers import (
    AvgPool,
    Concat,
    Conv2D,
    Dense,
    Gather,
    Layer,
    MaxPool,
    Pad,
    Reshape,
    Shape,
    Transpose,
)

Array = NDArray[Any]
Matmul = Callable[[Array, Array], Array]
Pair = tuple[int, int]

_ELEMENTS_AT_ONCE = 1 << 24  # unfolded windows of 128 MiB at most


def windows(
    images: Array,
    size: Pair,
    strides: Pair,
    padding: tuple[Pair, Pair],
    dilations: Pair = (1, 1),
    *,
    fill: float = 0,
) -> Array:
    """The windows of images (n, H, W, C), as a view (n, H_out, W_out, kh, kw, C).

    Padded pixels have the value `fill`.
    """
    if padding != ((0, 0), (0, 0)):
        widths = ((0, 0), *padding, (0, 0))
        images = np.pad(images, widths, constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    # NumPy's type hints know one axis only.
    view: Array = np.lib.stride_tricks.sliding_window_view(images, reach, axis=(1, 2))  # type: ignore[call-overload]
    view = view[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def window_shape(
    shape: Shape, size: Pair, strides: Pair, padding: tuple[Pair, Pair], dilations: Pair = (1, 1)
) -> Pair:
    """(H_out, W_out) of windows over (H, W, C); ModelError where not one window fits."""
    sides = []
    for axis in range(2):
        room = shape[axis] + sum(padding[axis]) - (size[axis] - 1) * dilations[axis] - 1
        if room < 0:
            raise ModelError(f"a window of {size} does not fit an image of {shape}")
        sides.append(room // strides[axis] + 1)
    return sides[0], sides[1]


def same_padding(
    shape: Shape, size: Pair, strides: Pair, dilations: Pair = (1, 1)
) -> tuple[Pair, Pair]:
    """TensorFlow's SAME padding: H_out = ceil(H / stride), the odd pixel below and to the right."""
    pairs = []
    for axis in range(2):
        outputs = -(-shape[axis] // strides[axis])
        reach = (size[axis] - 1) * dilations[axis] + 1
        total = max((outputs - 1) * strides[axis] + reach - shape[axis], 0)
        pairs.append((total // 2, total - total // 2))
    return pairs[0], pairs[1]


def convolve(layer: Conv2D, images: Array, kernel: Array, matmul: Matmul) -> Array:
    """Cross-correlation with `kernel` as `layer` places it, without bias.

    images (n, H, W, C_in) and kernel (kh, kw, C_in // groups, C_out) to (n, H_out, W_out, C_out).
    """
    rows, columns, depth, filters = kernel.shape
    height, width = layer.shape[:2]
    groups = layer.groups
    weights = kernel.reshape(rows * columns * depth, groups, filters // groups).transpose(1, 0, 2)
    pieces = []
    for part in _pieces(images, height * width * kernel.shape[0] * columns * depth * groups):
        view = windows(part, (rows, columns), layer.strides, layer.padding, layer.dilations)
        split = view.reshape(len(part) * height * width, rows * columns, groups, depth)
        unfolded = split.transpose(2, 0, 1, 3).reshape(groups, len(split), -1)
        product = matmul(unfolded, weights)
        pieces.append(product.transpose(1, 0, 2).reshape(len(part), height, width, filters))
    return np.concatenate(pieces)


def linear_map(layer: Conv2D | Dense, values: Array, weights: Array, matmul: Matmul) -> Array:
    """`layer` on `values` with other weights of the same shape, without bias."""
    if isinstance(layer, Dense):
        return matmul(values, weights)
    return convolve(layer, values, weights, matmul)


def linear_weights(layer: Conv2D | Dense) -> Array:
    """The kernel or the weight matrix."""
    return layer.weight if isinstance(layer, Dense) else layer.kernel


def window_sums(layer: AvgPool, images: Array) -> Array:
    """The sum over each window, (n, H, W, C) to (n, H_out, W_out, C)."""
    view = windows(images, layer.window, layer.strides, layer.padding)
    total: Array = view.sum(axis=(3, 4), dtype=images.dtype)
    return total


def window_counts(layer: AvgPool, shape: Shape) -> Int64:
    """How many pixels that are not padding each window has, (H_out, W_out, 1)."""
    ones = np.ones((1, *shape[:2], 1), dtype=np.int64)
    return np.asarray(window_sums(layer, ones)[0])


def average_factors(layer: AvgPool, shape: Shape, fraction_bits: int) -> Int64:
    """The public factors rint(2^fraction_bits / pixels counted), (H_out, W_out, 1).

    `shape` is the shape of the pool's input.
    """
    factors = np.rint(np.ldexp(1.0, fraction_bits) / window_counts(layer, shape))
    return np.asarray(factors, dtype=np.int64)


def window_maxima(layer: MaxPool, images: Array) -> Array:
    """The largest value of each window, (n, H, W, C) to (n, H_out, W_out, C)."""
    lowest = np.iinfo(np.int64).min if images.dtype.kind == "i" else -np.inf
    view = windows(images, layer.window, layer.strides, layer.padding, fill=lowest)
    best: Array = view.max(axis=(3, 4))
    return best


def moved(layer: Layer, inputs: Sequence[Array]) -> Array | None:
    """The output of a layer that only moves numbers (Reshape, Pad, Concat, Transpose, Gather), else
    None.

    Each party does this alone on its share: padded zeros are shares of zero.
    """
    first = inputs[0]
    if isinstance(layer, Reshape):
        return first.reshape(len(first), *layer.shape)
    if isinstance(layer, Pad):
        return np.pad(first, ((0, 0), *layer.padding, (0, 0)))
    if isinstance(layer, Concat):
        return np.concatenate(list(inputs), axis=layer.axis + 1)
    if isinstance(layer, Transpose):
        return first.transpose(0, *(axis + 1 for axis in layer.permutation))
    if isinstance(layer, Gather):
        return first.take(layer.indices, axis=layer.axis + 1)
    return None


def check_images(images: Array, shape: Shape) -> None:
    """Raise ModelError unless images are (n, *shape) with n >= 1."""
    if images.ndim != len(shape) + 1 or images.shape[1:] != shape or not len(images):
        raise ModelError(
            f"the network takes images of shape {shape}, one or more; got {images.shape[1:]} "
            f"in a batch of {len(images) if images.ndim else 0}"
        )


def _pieces(images: Array, elements: int) -> Iterator[Array]:
    """`images` in parts whose unfolded windows, `elements` per image, fit the memory allowed."""
    step = max(1, _ELEMENTS_AT_ONCE // elements)
    for start in range(0, len(images), step):
        yield images[start : start + step]
