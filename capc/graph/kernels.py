"""What layers do to a batch of arrays (n, ...): windows, convolutions, pools.

The arithmetic is the caller's: it passes the matrix product, so that floats, ring elements and
interval ends go through the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.fixed_point import Int64

Array = NDArray[Any]
Shape = tuple[int, ...]
Matmul = Callable[[Array, Array], Array]
Pair = tuple[int, int]

_ELEMENTS_AT_ONCE = 1 << 24  # unfolded windows of 128 MiB at most


@dataclass(frozen=True)
class Window:
    """How windows of `size` are laid over (H, W, C); `padding` is ((top, bottom), (left, right)).

    All in pixels.
    """

    size: Pair
    strides: Pair
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilations: Pair = (1, 1)

    def outputs(self, shape: Shape) -> Pair:
        """(H_out, W_out) over (H, W, C); ModelError where not one window fits."""
        (top, bottom), (left, right) = self.padding
        if min(*self.size, *self.strides, *self.dilations) < 1 or min(top, bottom, left, right) < 0:
            raise ModelError(f"a window cannot be {self}")
        sides = []
        for axis in range(2):
            reach = (self.size[axis] - 1) * self.dilations[axis] + 1
            room = shape[axis] + sum(self.padding[axis]) - reach
            if room < 0:
                raise ModelError(f"a window of {self.size} does not fit an image of {shape}")
            sides.append(room // self.strides[axis] + 1)
        return sides[0], sides[1]


def windows(images: Array, window: Window, *, fill: float = 0) -> Array:
    """The windows of images (n, H, W, C), as a view (n, H_out, W_out, kh, kw, C).

    Padded pixels have the value `fill`.
    """
    strides, dilations = window.strides, window.dilations
    if window.padding != ((0, 0), (0, 0)):
        widths = ((0, 0), *window.padding, (0, 0))
        images = np.pad(images, widths, constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(window.size, dilations, strict=True)]
    # NumPy's type hints know one axis only.
    view: Array = np.lib.stride_tricks.sliding_window_view(images, reach, axis=(1, 2))  # type: ignore[call-overload]
    view = view[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


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


def convolve(values: Array, kernel: Array, window: Window, groups: int, matmul: Matmul) -> Array:
    """Cross-correlation in `groups` groups of channels, without bias.

    values (n, H, W, C_in) and kernel (kh, kw, C_in // groups, C_out) to (n, H_out, W_out, C_out);
    the size of `window` is the kernel's.
    """
    rows, columns, depth, filters = kernel.shape
    height, width = window.outputs(values.shape[1:])
    weights = kernel.reshape(rows * columns * depth, groups, filters // groups).transpose(1, 0, 2)
    pieces = []
    for part in _pieces(values, height * width * rows * columns * depth * groups):
        view = windows(part, window)
        split = view.reshape(len(part) * height * width, rows * columns, groups, depth)
        unfolded = split.transpose(2, 0, 1, 3).reshape(groups, len(split), -1)
        product = matmul(unfolded, weights)
        pieces.append(product.transpose(1, 0, 2).reshape(len(part), height, width, filters))
    return np.concatenate(pieces)


def window_sums(images: Array, window: Window) -> Array:
    """The sum over each window, (n, H, W, C) to (n, H_out, W_out, C)."""
    total: Array = windows(images, window).sum(axis=(3, 4), dtype=images.dtype)
    return total


def window_counts(shape: Shape, window: Window) -> Int64:
    """How many pixels of (H, W, C) that are not padding each window has, (H_out, W_out, 1)."""
    ones = np.ones((1, *shape[:2], 1), dtype=np.int64)
    return np.asarray(window_sums(ones, window)[0])


def window_maxima(images: Array, window: Window) -> Array:
    """The largest value of each window, (n, H, W, C) to (n, H_out, W_out, C)."""
    lowest = np.iinfo(np.int64).min if images.dtype.kind == "i" else -np.inf
    best: Array = windows(images, window, fill=lowest).max(axis=(3, 4))
    return best


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
