"""The non-linear layers.

Over integers, with s = `scales.shift` the fractional bits to drop, every activation takes the
signed value, applies its function and gives f fractional bits; `>>` is the arithmetic shift, which
rounds toward minus infinity.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from typing_extensions import override

from capc.errors import ModelError
from capc.fixed_point import FixedPoint, Float64, Int64
from capc.graph.kernels import Array
from capc.graph.layers.base import Layer, Scales
from capc.graph.layers.interval import Interval, dropped
from capc.graph.piecewise import FUNCTIONS, exact_function, table_of
from capc.piecewise import PiecewiseTable, apply_table, table_range

__all__ = [
    "Activation",
    "BoundedRelu",
    "LeakyRelu",
    "PiecewiseLinear",
    "Relu",
    "Rescale",
    "Square",
    "Step",
]

_WIDTH_STEP = 4  # of a square's value_bits: the coarser, the less it says about the weights


@dataclass(frozen=True, eq=False)
class Activation(Layer, abstract=True):
    """A function of each number alone; it drops the fractional bits above f.

    `grows` says whether a larger input never gives a smaller output.
    """

    grows: ClassVar[bool] = False

    @property
    @abstractmethod
    def needs_bound(self) -> bool:
        """Whether calibration gives the layer an upper end, as its output has none of its own."""

    @override
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        return fraction_bits

    def with_proof(self, argument: tuple[int, int], scales: Scales, ring: FixedPoint) -> Layer:
        """The integer layer, once its input is proved to lie in the interval `argument`.

        For a layer whose protocol is cheaper where its argument is known to be small.
        """
        return self


@dataclass(frozen=True, eq=False)
class Relu(Activation):
    """max(x, 0). Over integers: max(x, 0) >> s."""

    grows: ClassVar[bool] = True

    @property
    @override
    def needs_bound(self) -> bool:
        return True

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.maximum(inputs[0], 0.0)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return np.maximum(inputs[0], 0) >> np.int64(scales.shift)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        x = inputs[0]
        positive = Interval(np.maximum(x.low, 0), np.maximum(x.high, 0))
        return positive.dropped(scales.shift)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return self

    @override
    def label(self) -> str:
        return "Relu"


@dataclass(frozen=True, eq=False)
class BoundedRelu(Activation):
    """min(max(x, 0), cap) for cap > 0: Relu6, and what calibration puts in place of Relu.

    Over integers `cap` is rint(cap * 2^f), at least 1, and public: the result is that of Relu with
    its shift, then the minimum with it.
    """

    cap: float

    grows: ClassVar[bool] = True

    @property
    @override
    def needs_bound(self) -> bool:
        return False

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.clip(inputs[0], 0.0, self.cap)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        kept = np.maximum(inputs[0], 0) >> np.int64(scales.shift)
        return np.asarray(np.minimum(kept, int(self.cap)))

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        x, cap = inputs[0], int(self.cap)
        positive = Interval(np.maximum(x.low, 0), np.maximum(x.high, 0)).dropped(scales.shift)
        return Interval(np.minimum(positive.low, cap), np.minimum(positive.high, cap))

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return replace(self, cap=max(int(np.rint(np.ldexp(self.cap, fraction_bits))), 1))

    @override
    def label(self) -> str:
        return f"BoundedRelu <= {self.cap:g}"


@dataclass(frozen=True, eq=False)
class LeakyRelu(Activation):
    """x for x >= 0, else slope * x, 0 <= slope < 1.

    Over integers `slope` is rint(slope * 2^f):
    x >> s for x >= 0, else (slope * x) >> (s + f).
    """

    slope: float

    grows: ClassVar[bool] = True

    @property
    @override
    def needs_bound(self) -> bool:
        return True

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.where(inputs[0] >= 0, inputs[0], self.slope * inputs[0])

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        # slope * x may pass 2^63, so x is cut at f bits: slope * high is whole, the rest is floored
        x, slope, bits = inputs[0], int(self.slope), np.int64(scales.fraction_bits)
        high, low = x >> bits, x & np.int64((1 << scales.fraction_bits) - 1)
        sloped = (slope * high + ((slope * low) >> bits)) >> np.int64(scales.shift)
        return np.where(x >= 0, x >> np.int64(scales.shift), sloped)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        slope = int(self.slope)
        x = inputs[0].within(max(slope, 1))

        def end(values: Array) -> Array:
            sloped = dropped(values * slope, scales.shift + scales.fraction_bits)
            return np.where(values >= 0, dropped(values, scales.shift), sloped)

        return Interval(end(x.low), end(x.high))

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return replace(self, slope=int(np.rint(np.ldexp(self.slope, fraction_bits))))

    @override
    def label(self) -> str:
        return "LeakyRelu"


@dataclass(frozen=True, eq=False)
class Square(Activation):
    """x * x. Over integers: (x >> s)^2 >> f.

    `value_bits` is public, and proved by quantisation: |x >> s| < 2^value_bits. It is coarse, so
    that it says little about the weights; 0 where nothing is proved yet.
    """

    value_bits: int = 0

    @property
    @override
    def needs_bound(self) -> bool:
        return True

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return inputs[0] * inputs[0]

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        # x = 2^f high + low: the square modulo 2^64 although x * x may pass 2^63
        x, bits = inputs[0] >> np.int64(scales.shift), np.int64(scales.fraction_bits)
        high, low = x >> bits, x & np.int64((1 << scales.fraction_bits) - 1)
        return np.asarray(((high * high) << bits) + 2 * high * low + ((low * low) >> bits))

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        x = inputs[0].dropped(scales.shift)
        x = x.within(x.widest())
        ends = np.stack([x.low * x.low, x.high * x.high])
        spans_zero = (x.low <= 0) & (x.high >= 0)
        squares = Interval(np.where(spans_zero, 0, ends.min(axis=0)), ends.max(axis=0))
        return squares.dropped(scales.fraction_bits)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return self

    @override
    def with_proof(self, argument: tuple[int, int], scales: Scales, ring: FixedPoint) -> Layer:
        low, high = (end >> scales.shift for end in argument)
        proved = max(abs(low), abs(high)).bit_length()
        width = max(-(-proved // _WIDTH_STEP) * _WIDTH_STEP, scales.fraction_bits // 2 + 1, 2)
        # No square that fits the ring has a wider argument.
        widest = min((ring.ring_bits + scales.fraction_bits) // 2, ring.ring_bits - scales.shift)
        return replace(self, value_bits=min(width, widest))

    @override
    def label(self) -> str:
        return "Square"


@dataclass(frozen=True, eq=False)
class PiecewiseLinear(Activation):
    """A smooth `function` of capc.graph.piecewise.

    Over integers: the piecewise-linear function of x >> s that `table` describes. Rounding makes
    the table; it is public.
    """

    function: str
    table: PiecewiseTable | None = None

    @property
    @override
    def needs_bound(self) -> bool:
        return FUNCTIONS[self.function].above is None

    @property
    def integers(self) -> PiecewiseTable:
        """The table of a rounded layer. Raises ModelError where the layer is not rounded yet."""
        if self.table is None:
            raise ModelError(f"layer '{self.name}' has no table: it is not over integers")
        return self.table

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return exact_function(self.function, inputs[0])

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return apply_table(self.integers, inputs[0] >> np.int64(scales.shift))

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        x, table = inputs[0].dropped(scales.shift), self.integers
        if x.exact:
            return Interval(*table_range(table, x.low, x.high))
        # Beyond exact integers the tails decide: a constant, or x itself and all between.
        limit = 1 << table.reach
        ends = (np.full((1,), end, np.int64) for end in (-limit, limit))
        least, most = (float(end[0]) for end in table_range(table, *ends))
        if table.above is not None:
            return Interval(np.full_like(x.low, least), np.full_like(x.high, most))
        return Interval(np.full_like(x.low, least), np.maximum(x.high, most))

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return replace(self, table=table_of(self.function, fraction_bits))

    @override
    def label(self) -> str:
        return f"PiecewiseLinear {self.function}"


@dataclass(frozen=True, eq=False)
class Step(Activation):
    """1 for x >= 0, else 0: the activation of networks with binary values.

    Over integers 2^f for x >= 0, else 0.
    """

    grows: ClassVar[bool] = True

    @property
    @override
    def needs_bound(self) -> bool:
        return False

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return np.asarray(inputs[0] >= 0, dtype=np.float64)

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return np.asarray(inputs[0] >= 0, dtype=np.int64) << np.int64(scales.output)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        low, high = (end >= 0 for end in (inputs[0].low, inputs[0].high))
        ones = Interval(low.astype(np.int64), high.astype(np.int64))
        return ones.times(1 << scales.output)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return self

    @override
    def label(self) -> str:
        return "Step"


@dataclass(frozen=True, eq=False)
class Rescale(Activation):
    """The identity over reals. Over integers x >> s, back to f fractional bits.

    Quantisation puts it between two linear layers that nothing else separates.
    """

    grows: ClassVar[bool] = True

    @property
    @override
    def needs_bound(self) -> bool:
        return False

    @override
    def real(self, inputs: Sequence[Float64]) -> Float64:
        return inputs[0]

    @override
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        return inputs[0] >> np.int64(scales.shift)

    @override
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        return inputs[0].dropped(scales.shift)

    @override
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        return self

    @override
    def label(self) -> str:
        return "Rescale"
