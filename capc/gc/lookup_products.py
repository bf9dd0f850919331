"""Squares and leaky ReLUs by table look-ups, exactly as their circuits (docs/garbled-circuits.md).

The functions run in the smallest rings that hold what they compute: capc.gc.lookup_layers says how
both parties follow them.
"""

from __future__ import annotations

from capc.fixed_point import Int64
from capc.gc import _engine
from capc.gc.lookup_layers import Constant, Evaluate, LookupLayer, one_function
from capc.gc.lookups import Lookups

_WORD_BITS = 63  # of a share in an array of signed words


def leaky_relu_lookups(ring_bits: int, shift: int, slope: int, fraction_bits: int) -> LookupLayer:
    """y = x >> shift for x >= 0, else (slope * x) >> (shift + fraction_bits): as its circuit.

    Raises ValueError unless `leaky_relu_has_lookups`.
    """
    if not leaky_relu_has_lookups(ring_bits, shift, slope, fraction_bits):
        raise ValueError(
            f"no leaky ReLU of slope {slope}/2^{fraction_bits} in a ring of {ring_bits} bits less "
            f"{shift} by look-ups"
        )
    function = Lookups.leaky_relu(ring_bits, shift, slope, fraction_bits)
    name = f"leaky relu {ring_bits} >> {shift} * {slope}/2^{fraction_bits}"
    return one_function(name, function)


def leaky_relu_has_lookups(ring_bits: int, shift: int, slope: int, fraction_bits: int) -> bool:
    """Whether leaky_relu_lookups has a form for these figures of a circuit.

    There is none for a slope of 0, which is a ReLU, nor where more bits are dropped than there are.
    """
    fits = 1 <= fraction_bits <= min(ring_bits - shift, _engine.MAX_SLOPE_BITS)
    return fits and 0 <= shift <= ring_bits - 2 and 0 < slope < 1 << fraction_bits


def narrow_square_lookups(ring_bits: int, shift: int, drop: int, value_bits: int) -> LookupLayer:
    """y = v^2 >> drop for v = x >> shift, right only where |v| < 2^value_bits: as its circuit.

    v is brought into the ring of its square, squared there, and the square brought back. Raises
    ValueError for figures that narrow_square_circuit refuses, and where a ring is too narrow
    (`square_has_lookups`).
    """
    if not square_has_lookups(ring_bits, shift, drop, value_bits):
        raise ValueError(
            f"no square of {value_bits} bits in a ring of {ring_bits} less {shift} by look-ups"
        )
    wide = _square_bits(ring_bits, drop, value_bits)
    narrow = _argument_bits(shift, value_bits)
    enters = None if shift == 0 and wide <= ring_bits else _moved(narrow, shift, wide)
    square = Lookups.square(wide)
    leaves = None if drop == 0 and wide == ring_bits else _moved(wide, drop, ring_bits)

    def program(share: Int64, evaluate: Evaluate, constant: Constant) -> Int64:
        value = share[:, 0]
        if enters is not None:  # a number from 0 on, with a spare bit
            above = evaluate(enters, value + constant(1 << (shift + value_bits)))
            value = above - constant(1 << value_bits)
        value = evaluate(square, value)
        return value if leaves is None else evaluate(leaves, value)

    return LookupLayer(f"narrow square {ring_bits} >> {shift}", ring_bits, ring_bits, 1, program)


def square_has_lookups(ring_bits: int, shift: int, drop: int, value_bits: int) -> bool:
    """Whether narrow_square_lookups has a form for these figures of a circuit.

    The argument needs a sign and a spare bit beside its own, and the square a word.
    """
    fits = 2 <= value_bits <= (ring_bits + drop) // 2 and 0 <= drop < 2 * value_bits
    argument = _argument_bits(shift, value_bits)
    return (
        fits and argument <= ring_bits and _square_bits(ring_bits, drop, value_bits) <= _WORD_BITS
    )


def _moved(ring_bits: int, shift: int, output_bits: int) -> Lookups:
    if shift == 0:
        return Lookups.widened(ring_bits, output_bits)
    return Lookups.shift(ring_bits, shift, output_bits)


def _argument_bits(shift: int, value_bits: int) -> int:
    return shift + value_bits + 2


def _square_bits(ring_bits: int, drop: int, value_bits: int) -> int:
    """A bit more than the square has, unless fewer do: above ring_bits + drop none counts."""
    return min(2 * value_bits + 1, ring_bits + drop)
