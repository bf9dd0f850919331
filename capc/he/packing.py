"""Coefficient packing: a linear layer as products of polynomials modulo X^N + 1.

Cheetah (USENIX Security 2022, section 4), extended to strides, dilations, groups and tiles. All of
it follows from the public shape of the layer, so both parties compute the same packing.

A stride-s convolution is a stride-1 convolution of its s * s phases (every s-th row and column),
each taken as one more channel; phases that no tap reads are left out. One plane then has
S = (tile rows + reach) * (tile columns + reach) values, where `reach` is the largest shift of a
tap. With b channels, F filters and B images in one polynomial, b * F * B * S <= N, a plane W wide:

    input    x[g, v, i, j] at  (g S + i W + j) b + v
    weight   w[f, v, a, c] at  (f B S + R - (a W + c)) b + b - 1 - v,  R = reach_rows W + reach_cols
    output   y[g, f, i, j] at  ((f B + g) S + R + i W + j) b + b - 1

No other term of the product, wrapped or not, meets an output position. Channels beyond b go to
further input polynomials, whose products add up; filters beyond F to further sums. A dense layer
is the case S = 1.

Results lie b apart. So where m divides b, m sums can be merged into one polynomial of the reply
(capc.he.merging). Weights are multiplied by X^-(m - 1) for it: then results lie at multiples of m,
and those of the k-th sum of a merged polynomial go k further.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import Int64
from capc.he.shapes import LinearShape


@dataclass(frozen=True)
class Axis:
    """One spatial axis: phase and shift of each tap, the phases that are read, the output size."""

    before: int
    stride: int
    taps: tuple[tuple[int, int], ...]
    phases: tuple[int, ...]
    reach: int
    outputs: int

    @classmethod
    def of(cls, shape: LinearShape, axis: int) -> Axis:
        """The rows of a layer where `axis` is 0, its columns where it is 1."""
        stride = shape.strides[axis]
        offsets = [tap * shape.dilations[axis] for tap in range(shape.kernel[axis])]
        taps = tuple((offset % stride, offset // stride) for offset in offsets)
        return cls(
            before=shape.padding[axis][0],
            stride=stride,
            taps=taps,
            phases=tuple(sorted({phase for phase, _ in taps})),
            reach=max(shift for _, shift in taps),
            outputs=shape.output_size[axis],
        )


@dataclass(frozen=True, order=True)
class Blocks:
    """The sizes that a packing is free to choose; plan_packing chooses them by cost."""

    tile: tuple[int, int]  # output rows and columns of one tile
    merged_groups: int  # groups of the convolution in one polynomial
    channels: int  # channels (times phases) in one input polynomial
    filters: int  # filters in one output polynomial
    images: int = 1  # of one batch, in every polynomial
    merged: int = 1  # sums in one polynomial of the reply, a power of two that divides `channels`


class Packing:
    """How one layer lies in polynomials of `degree` coefficients.

    Input polynomials are numbered by tile, group block, channel block; sums of products by tile,
    group block, filter block; weight polynomials by (group block, filter block, channel block), the
    same for every tile. An output polynomial holds `blocks.merged` sums, in this order. Arrays of
    values have a first axis of `blocks.images` images where that is more than one.
    """

    def __init__(self, shape: LinearShape, degree: int, blocks: Blocks) -> None:
        self.shape = shape
        self.degree = degree
        self.blocks = blocks
        self._rows, self._columns = Axis.of(shape, 0), Axis.of(shape, 1)
        self._plane = (blocks.tile[0] + self._rows.reach, blocks.tile[1] + self._columns.reach)
        self._size = self._plane[0] * self._plane[1]
        if blocks.channels * blocks.filters * blocks.images * self._size > degree:
            raise ValueError(f"{blocks} do not fit into {degree} coefficients")
        if blocks.channels % blocks.merged:
            raise ValueError(f"{blocks}: the channels must be a multiple of what is merged")
        self._reach = self._rows.reach * self._plane[1] + self._columns.reach
        self._phases = len(self._rows.phases) * len(self._columns.phases)
        self._group_blocks = shape.groups // blocks.merged_groups
        self._channels = shape.channels // self._group_blocks * self._phases
        self._filters = shape.filters // self._group_blocks
        self._channel_blocks = -(-self._channels // blocks.channels)
        self._filter_blocks = -(-self._filters // blocks.filters)
        self._tiles = [
            (row, column)
            for row in range(0, self._rows.outputs, blocks.tile[0])
            for column in range(0, self._columns.outputs, blocks.tile[1])
        ]
        batch = (blocks.images,) if blocks.images > 1 else ()
        self.input_shape: tuple[int, ...] = (*batch, *shape.input_shape)
        self.output_shape: tuple[int, ...] = (*batch, *shape.output_shape)
        self._input_index = self._build_input_index()
        self.output_positions, self._output_targets = self._build_outputs()

    def __str__(self) -> str:
        return (
            f"{self.blocks.images} images, {self.blocks.channels} channels and "
            f"{self.blocks.filters} filters in a polynomial; {self.input_polynomials} in, "
            f"{self.sums} sums, {self.output_polynomials} out, "
            f"{self.weight_polynomials} of weights"
        )

    @property
    def input_polynomials(self) -> int:
        """Polynomials that the querying party encrypts for one batch of inputs."""
        return len(self._tiles) * self._group_blocks * self._channel_blocks

    @property
    def sums(self) -> int:
        """Sums of products that the answering party computes for one batch of inputs."""
        return len(self._tiles) * self._group_blocks * self._filter_blocks

    @property
    def output_polynomials(self) -> int:
        """Polynomials that the answering party sends back for one batch of inputs."""
        return -(-self.sums // self.blocks.merged)

    @property
    def merges(self) -> int:
        """How often two polynomials become one."""
        return self.sums - self.output_polynomials

    @property
    def weight_polynomials(self) -> int:
        """Polynomials that hold the weights; the tiles share them."""
        return self._group_blocks * self._filter_blocks * self._channel_blocks

    @property
    def weights_together(self) -> int:
        """The most weights that enter one sum; the others there are 0."""
        filters = min(self.blocks.filters, self._filters)
        return filters * int(np.prod(self.shape.weight_shape)) // self.shape.filters

    @property
    def input_length(self) -> int:
        """Coefficients at the start of an input polynomial that may be used; the rest are 0."""
        return int(self._input_index.shape[1])

    def products(self, place: int) -> list[tuple[int, int]]:
        """The (input, weight) polynomials whose products add up to the sum of this number."""
        block, filter_block = divmod(place, self._filter_blocks)
        weights = (block % self._group_blocks) * self._filter_blocks + filter_block
        return [
            (block * self._channel_blocks + k, weights * self._channel_blocks + k)
            for k in range(self._channel_blocks)
        ]

    def pack_input(self, values: ArrayLike) -> Int64:
        """Values of `input_shape` -> (input_polynomials, input_length)."""
        array = np.asarray(values, dtype=np.int64)
        if array.shape != self.input_shape:
            raise ValueError(f"input has shape {array.shape}, not {self.input_shape}")
        return np.append(array.reshape(-1), np.int64(0))[self._input_index]

    def pack_weights(self, weight: ArrayLike) -> Iterator[Int64]:
        """Centred integer weights -> the weight polynomials in order, each (degree,)."""
        array = np.asarray(weight, dtype=np.int64)
        if array.shape != self.shape.weight_shape:
            raise ValueError(f"weights have shape {array.shape}, not {self.shape.weight_shape}")
        kernel = array.reshape(*self.shape.kernel, -1, self.shape.filters)
        for group_block in range(self._group_blocks):
            for filter_block in range(self._filter_blocks):
                for channel_block in range(self._channel_blocks):
                    yield self._weight(kernel, group_block, filter_block, channel_block)

    def pack_output(self, values: ArrayLike) -> list[Int64]:
        """Values of `output_shape` -> per output polynomial those at its output_positions."""
        array = np.asarray(values, dtype=np.int64)
        if array.shape != self.output_shape:
            raise ValueError(f"output has shape {array.shape}, not {self.output_shape}")
        flat = array.reshape(-1)
        return [flat[targets] for targets in self._output_targets]

    def unpack_output(self, polynomials: list[Int64]) -> Int64:
        """The inverse of pack_output."""
        flat = np.empty(int(np.prod(self.output_shape)), dtype=np.int64)
        for targets, values in zip(self._output_targets, polynomials, strict=True):
            flat[targets] = values
        return flat.reshape(self.output_shape)

    def _build_input_index(self) -> Int64:
        """Per input polynomial and coefficient, the flat input index; padding is one past it."""
        shape, block, images = self.shape, self.blocks.channels, self.blocks.images
        plane_rows, plane_columns = np.arange(self._plane[0]), np.arange(self._plane[1])
        elements = shape.height * shape.width * shape.channels
        nowhere = images * elements
        image = np.arange(images)[:, None, None, None]
        index = np.full(
            (self.input_polynomials, images, self._size, block), nowhere, dtype=np.int64
        )
        polynomial = 0
        for top, left in self._tiles:
            for group_block in range(self._group_blocks):
                for start in range(0, self._channels, block):
                    virtual = np.arange(start, min(start + block, self._channels))
                    channel, row_phase, column_phase = self._split_channel(virtual)
                    channel = channel + group_block * (shape.channels // self._group_blocks)
                    row = _source(self._rows, top + plane_rows, row_phase)[:, :, None]
                    column = _source(self._columns, left + plane_columns, column_phase)[:, None, :]
                    flat = (row * shape.width + column) * shape.channels + channel[:, None, None]
                    inside = (row >= 0) & (row < shape.height)
                    inside = inside & (column >= 0) & (column < shape.width)
                    values = np.where(inside, image * elements + flat, nowhere)
                    planes = values.reshape(images, virtual.size, -1)
                    index[polynomial, :, :, : virtual.size] = planes.transpose(0, 2, 1)
                    polynomial += 1
        return index.reshape(self.input_polynomials, -1)

    def _build_outputs(self) -> tuple[list[Int64], list[Int64]]:
        """Per output polynomial the coefficients that hold results, and their flat indices."""
        positions: list[Int64] = []
        targets: list[Int64] = []
        images, merged = self.blocks.images, self.blocks.merged
        elements = int(np.prod(self.shape.output_shape))
        image = np.arange(images)[:, None, None, None]
        for top, left in self._tiles:
            row = np.arange(min(self.blocks.tile[0], self._rows.outputs - top))[None, :, None]
            column = np.arange(min(self.blocks.tile[1], self._columns.outputs - left))
            for group_block in range(self._group_blocks):
                for start in range(0, self._filters, self.blocks.filters):
                    stop = min(start + self.blocks.filters, self._filters)
                    slot = np.arange(stop - start)[:, None, None]
                    base = (slot * images + image) * self._size + self._reach
                    place = base + row * self._plane[1] + column
                    position = (place + 1) * self.blocks.channels - merged + len(positions) % merged
                    filters = group_block * self._filters + start + slot
                    pixel = (top + row) * self._columns.outputs + left + column
                    positions.append(position.reshape(-1))
                    target = image * elements + pixel * self.shape.filters + filters
                    targets.append(target.reshape(-1))
        return _joined(positions, merged), _joined(targets, merged)

    def _weight(
        self, kernel: Int64, group_block: int, filter_block: int, channel_block: int
    ) -> Int64:
        start = channel_block * self.blocks.channels
        virtual = np.arange(start, min(start + self.blocks.channels, self._channels))
        first = filter_block * self.blocks.filters
        filters = np.arange(first, min(first + self.blocks.filters, self._filters))
        channel, row_phase, column_phase = self._split_channel(virtual)
        filter_group = filters // (self._filters // self.blocks.merged_groups)
        per_group = self.shape.channels // self.shape.groups
        same_group = filter_group[:, None] == (channel // per_group)[None, :]
        block, shift = self.blocks.channels, self.blocks.merged - 1
        base = (filters - first)[:, None] * self.blocks.images * self._size + self._reach
        base = (base + 1) * block - 1 - (virtual - start)[None, :] - shift
        polynomial = np.zeros(self.degree, dtype=np.int64)
        for a, (tap_row_phase, tap_row) in enumerate(self._rows.taps):
            for c, (tap_column_phase, tap_column) in enumerate(self._columns.taps):
                reads = (row_phase == tap_row_phase) & (column_phase == tap_column_phase)
                chosen = same_group & reads[None, :]
                position = base - (tap_row * self._plane[1] + tap_column) * block
                values = kernel[a, c][channel % per_group][:, group_block * self._filters + filters]
                polynomial[position[chosen]] = values.T[chosen]
        if shift:
            polynomial[-shift:] *= -1  # X^-k is -X^(degree - k)
        return polynomial

    def _split_channel(self, virtual: Int64) -> tuple[Int64, Int64, Int64]:
        """A channel in the sense of the packing -> channel of the group block, its two phases."""
        channel, phase = np.divmod(virtual, self._phases)
        row, column = np.divmod(phase, len(self._columns.phases))
        return channel, np.array(self._rows.phases)[row], np.array(self._columns.phases)[column]


def _source(axis: Axis, index: Int64, phase: Int64) -> Int64:
    """Input coordinate behind each (channel, plane coordinate); outside the input: padding."""
    return index[None, :] * axis.stride + phase[:, None] - axis.before


def _joined(arrays: list[Int64], count: int) -> list[Int64]:
    """Each `count` arrays after one another as one."""
    starts = range(0, len(arrays), count)
    return [np.concatenate(arrays[start : start + count]) for start in starts]
