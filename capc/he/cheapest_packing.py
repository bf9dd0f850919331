"""Which packing of a linear layer is the cheapest: by the work it takes, and by the bytes it sends.

All of it follows from the public shape of the layer and from what was agreed on, so that both
parties come to the same packing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from capc.he.packing import Axis, Blocks, Packing
from capc.he.shapes import LinearShape

# Relative costs, measured at degree 8192 with two 60-bit primes (docs/homomorphic-encryption.md).
_INPUT_COST = 15
_OUTPUT_COST = 23
_PRODUCT_COST = 1
_MERGE_COST = 13  # of each sum but the first of a polynomial
_WORDS_BYTES = 16  # a coefficient modulo two primes
_MAX_WEIGHT_BYTES = 1 << 27  # of one layer's weights, where images share polynomials


@dataclass(frozen=True)
class Weighing:
    """What a packing may do, and what its bytes cost.

    `merged` is the most sums that one polynomial of a reply may hold, a power of two.
    `polynomial_cost` is what sending a polynomial costs, in units of one product's work.
    """

    merged: int = 1
    polynomial_cost: float = 0.0


WORK_ALONE = Weighing()


@lru_cache(maxsize=256)
def plan_packing(
    shape: LinearShape, degree: int, images: int = 1, weighing: Weighing = WORK_ALONE
) -> Packing:
    """The cheapest packing of a layer by the measured cost of encryptions, replies and products.

    `images` of a batch run at a time; `blocks.images` says how many of them share polynomials, a
    power of two. ValueError where one output value alone needs more than `degree` coefficients.
    """
    return Packing(shape, degree, cheapest(shape, degree, images, weighing)[1])


@lru_cache(maxsize=1024)
def cheapest(
    shape: LinearShape, degree: int, images: int, weighing: Weighing
) -> tuple[float, Blocks]:
    """The cost of the cheapest packing for an image, in units of one product's work, and its sizes.

    Images that a last group lacks cost as much as others. ValueError as plan_packing.
    """
    best = min(_candidates(shape, degree, 1, weighing))
    together = 1
    while together < images:
        together *= 2
        filled = -(-images // together) * together / images
        # No more filters than one image has: the noise of a sum grows with them.
        fitting = (
            (filled * cost, blocks)
            for cost, blocks in _candidates(shape, degree, together, weighing)
            if blocks.filters <= best[1].filters
        )
        best = min([best, *fitting])
    return best


def _candidates(
    shape: LinearShape, degree: int, images: int, weighing: Weighing
) -> Iterator[tuple[float, Blocks]]:
    """Ways to pack, each with its cost an image."""
    rows, columns = Axis.of(shape, 0), Axis.of(shape, 1)
    tile = _tile(rows, columns, degree)
    size = (tile[0] + rows.reach) * (tile[1] + columns.reach)
    tiles = -(-rows.outputs // tile[0]) * -(-columns.outputs // tile[1])
    phases = len(rows.phases) * len(columns.phases)
    for merged_groups in (m for m in range(1, shape.groups + 1) if shape.groups % m == 0):
        groups = shape.groups // merged_groups
        channels = shape.channels // shape.groups * merged_groups * phases
        filters = shape.filters // shape.groups * merged_groups
        if merged_groups > 1 and size * channels * filters > degree:
            break
        for merged, block in _channel_blocks(channels, weighing.merged):
            room = degree // (block * size * images)
            if room == 0:
                continue
            inputs = -(-channels // block)
            outputs = -(-filters // min(filters, room))
            products = inputs * outputs
            if images > 1 and groups * products * degree * _WORDS_BYTES > _MAX_WEIGHT_BYTES:
                continue
            places = tiles * groups  # each with inputs and sums of its own
            replies = math.ceil(places * outputs / merged)
            cost = (
                places * (_INPUT_COST * inputs + _PRODUCT_COST * products)
                + _OUTPUT_COST * replies
                + _MERGE_COST * (places * outputs - replies)
                + weighing.polynomial_cost * (places * inputs + replies)
            )
            filters_each = -(-filters // outputs)
            yield cost / images, Blocks(tile, merged_groups, block, filters_each, images, merged)


def _channel_blocks(channels: int, most_merged: int) -> Iterator[tuple[int, int]]:
    """(merged, channels in one input polynomial), in the order in which equal costs are told."""
    blocks = sorted({-(-channels // parts) for parts in range(1, channels + 1)})
    merged = 1
    while merged <= most_merged:
        for block in sorted({-(-block // merged) * merged for block in blocks}):
            yield merged, block
        merged *= 2


def _tile(rows: Axis, columns: Axis, degree: int) -> tuple[int, int]:
    """Output rows and columns per tile: as few tiles as fit, of nearly equal size."""
    best: tuple[int, tuple[int, int]] | None = None
    for parts in range(1, columns.outputs + 1):
        width = -(-columns.outputs // parts)
        height = min(degree // (width + columns.reach) - rows.reach, rows.outputs)
        if height >= 1:
            bands = -(-rows.outputs // height)
            if best is None or bands * parts < best[0]:
                best = bands * parts, (-(-rows.outputs // bands), width)
    if best is None:
        raise ValueError(f"a kernel that spans {rows.reach} rows does not fit degree {degree}")
    return best[1]
