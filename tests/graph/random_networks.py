"""Small networks at random, of every layer there is, odd shapes included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.graph.kernels import Window
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
    Layers,
    LeakyRelu,
    MaxPool,
    Negative,
    Network,
    Pad,
    PiecewiseLinear,
    Relu,
    Reshape,
    Square,
    Step,
    Transpose,
)
from capc.graph.piecewise import FUNCTIONS

Growth = Callable[["Maker"], None]


class Maker:
    """Grows one network; every choice comes from `seed`."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        shape = (*self.integers(2, 6, 2), self.integer(1, 3))
        self.layers: list[Layer] = [Input("input", (), shape)]

    @property
    def last(self) -> Layer:
        """The layer that the next one takes."""
        return self.layers[-1]

    def integer(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def integers(self, low: int, high: int, count: int) -> tuple[int, ...]:
        """So many such numbers."""
        return tuple(self.integer(low, high) for _ in range(count))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        """Two such numbers."""
        return self.integer(low, high), self.integer(low, high)

    def weights(self, *shape: int) -> NDArray[Any]:
        """Weights as training leaves them: around zero."""
        return self.random.normal(0, 0.6, shape)

    def name(self) -> str:
        """A name that no layer has yet."""
        return f"layer{len(self.layers)}"

    def margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding of zero to two pixels on each side."""
        return self.pair(0, 2), self.pair(0, 2)

    def simple(self, kind: type[Layer], **fields: Any) -> None:
        """Append a layer on the last one; of its shape unless `fields` say another."""
        shape = fields.pop("shape", self.last.shape)
        self.layers.append(kind(self.name(), (self.last.name,), shape, **fields))


def convolution(maker: Maker) -> None:
    """A convolution of random geometry."""
    height, width, channels = maker.last.shape
    groups = int(maker.random.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    filters = groups * maker.integer(1, 2)
    padding, strides, dilations = maker.margins(), maker.pair(1, 3), maker.pair(1, 2)
    room = [side + sum(pad) for side, pad in zip((height, width), padding, strict=True)]
    rows, columns = (
        maker.integer(1, min(3, (side - 1) // dilation + 1))
        for side, dilation in zip(room, dilations, strict=True)
    )
    size = rows, columns
    sides = Window(size, strides, padding, dilations).outputs(maker.last.shape)
    maker.simple(
        Conv2D,
        shape=(*sides, filters),
        kernel=maker.weights(*size, channels // groups, filters),
        bias=maker.weights(filters),
        strides=strides,
        padding=padding,
        dilations=dilations,
        groups=groups,
    )


def pool(maker: Maker) -> None:
    """An average or a maximum over windows, padded by less than a window."""
    height, width, channels = maker.last.shape
    size = (maker.integer(1, min(3, height)), maker.integer(1, min(3, width)))
    padding = maker.pair(0, size[0] - 1), maker.pair(0, size[1] - 1)
    strides = maker.pair(1, 3)
    sides = Window(size, strides, padding).outputs(maker.last.shape)
    kind = MaxPool if maker.integer(0, 1) else AvgPool
    fields = {"window": size, "strides": strides, "padding": padding}
    maker.simple(kind, shape=(*sides, channels), **fields)


def activation(maker: Maker) -> None:
    """One of the non-linear layers of single numbers."""
    kinds: list[type[Layer]] = [Relu, BoundedRelu, LeakyRelu, Square, PiecewiseLinear, Step]
    kind = kinds[maker.integer(0, 5)]
    if kind is PiecewiseLinear:
        maker.simple(kind, function=str(maker.random.choice(list(FUNCTIONS))))
    elif kind is BoundedRelu:
        maker.simple(kind, cap=2.0 ** maker.integer(-2, 5) if maker.integer(0, 1) else 6.0)
    elif kind is LeakyRelu:
        maker.simple(kind, slope=float(maker.random.uniform(0, 0.9)))
    else:
        maker.simple(kind)


def movement(maker: Maker) -> None:
    """A layer that moves numbers, or one of the simple linear ones."""
    height, width, channels = maker.last.shape
    choice = maker.integer(0, 5)
    if choice == 0:
        padding = maker.margins()
        padded = (height + sum(padding[0]), width + sum(padding[1]), channels)
        maker.simple(Pad, shape=padded, padding=padding)
    elif choice == 1:
        order = tuple(int(axis) for axis in maker.random.permutation(3))
        shape = tuple(maker.last.shape[axis] for axis in order)
        maker.simple(Transpose, shape=shape, permutation=order)
    elif choice == 2:
        maker.simple(Reshape, shape=(width, height, channels))
    elif choice == 3:
        maker.simple(Negative)
    elif choice == 4:
        axis = maker.integer(0, 2)
        indices = maker.integers(0, maker.last.shape[axis] - 1, maker.integer(1, 4))
        shape = tuple(len(indices) if k == axis else n for k, n in enumerate(maker.last.shape))
        maker.simple(Gather, shape=shape, axis=axis, indices=indices)
    else:
        maker.simple(Bias, value=maker.weights(channels))


def junction(maker: Maker) -> None:
    """Add or Concat with an earlier layer of the same shape, itself where there is none."""
    twins = [layer for layer in maker.layers if layer.shape == maker.last.shape]
    twin = twins[maker.integer(0, len(twins) - 1)]
    inputs = (twin.name, maker.last.name)
    shape = maker.last.shape
    if maker.integer(0, 1):
        maker.layers.append(Add(maker.name(), inputs, shape))
        return
    axis = maker.integer(0, 2)
    shape = tuple(2 * side if place == axis else side for place, side in enumerate(shape))
    maker.layers.append(Concat(maker.name(), inputs, shape, axis=axis))


STEPS: list[Growth] = [convolution, convolution, activation, activation, pool, movement, junction]


def random_network(seed: int, steps: int = 5, kinds: list[Growth] | None = None) -> Network:
    """`steps` random layers over an image, then one or two dense layers."""
    maker = Maker(seed)
    choices = kinds or STEPS
    for _ in range(steps):
        if np.prod(maker.last.shape) <= 150:
            choices[maker.integer(0, len(choices) - 1)](maker)
    size = int(np.prod(maker.last.shape))
    maker.simple(Reshape, shape=(size,))
    for place in range(maker.integer(1, 2)):
        if place:
            maker.simple(Relu)
        width = maker.integer(1, 4)
        maker.simple(
            Dense,
            shape=(width,),
            weight=maker.weights(maker.last.shape[0], width),
            bias=maker.weights(width),
        )
    return Network(tuple(maker.layers))


def random_images(network: Layers, seed: int, count: int, low: float = 0.0) -> NDArray[Any]:
    """Images (count, H, W, C) in [low, 1], corners of the interval included."""
    random = np.random.default_rng([seed, 1])
    images = random.uniform(low, 1, (count, *network.input.shape))
    corners = random.integers(0, 2, images.shape) * (1 - low) + low
    return np.where(random.random(images.shape) < 0.3, corners, images)
