"""Squares of known width, piecewise-linear functions, and circuits as text.

Words as in capc.gc.circuits: the garbler's online shares, its fresh masks, the evaluator's shares;
the evaluator alone learns values minus masks. Docs: docs/garbled-circuits.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import RangeError
from capc.fixed_point import FixedPoint, Int64
from capc.gc import _engine
from capc.gc.circuits import Circuit
from capc.piecewise import PiecewiseTable


def narrow_square_circuit(ring_bits: int, shift: int, drop: int, value_bits: int) -> Circuit:
    """y = v^2 >> drop for v = x >> shift: square_circuit with fewer gates.

    Right only where |v| < 2^value_bits: a model's bounds have to prove it. `value_bits` is from 2
    to (ring_bits + drop) // 2, which no square that fits the ring passes.
    """
    return Circuit(
        f"narrow square {ring_bits} >> {shift}",
        _engine.narrow_square_circuit(ring_bits, shift, drop, value_bits),
    )


def piecewise_linear_circuit(ring_bits: int, shift: int, table: PiecewiseTable) -> Circuit:
    """The public piecewise-linear function `table` of v = x >> shift.

    Raises ValueError for a table that no circuit has.
    """
    return Circuit(
        f"piecewise linear {ring_bits} >> {shift}",
        _engine.piecewise_linear_circuit(ring_bits, shift, engine_table(table)),
    )


def engine_table(table: PiecewiseTable) -> _engine.PiecewiseLinear:
    """The table as the engine takes it."""
    return _engine.PiecewiseLinear(
        table.reach, table.slope_bits, table.slopes, table.bases, table.below, table.above
    )


def multi_label_inputs(ring: FixedPoint, shares: ArrayLike, thresholds: ArrayLike) -> Int64:
    """The garbler's online words of step_circuit for the vote [z_j > threshold_j].

    `thresholds` are integers with the logits' fractional bits, one a class; they cost no gate and
    stay with the garbler. The difference has to fit the ring as the logits do. Raises RangeError
    for a threshold that is no ring element.
    """
    limits = np.asarray(thresholds, dtype=np.int64)
    half = ring.modulus // 2
    if np.any(limits < -half) or np.any(limits >= half - 1):
        raise RangeError(f"a threshold does not fit {ring.ring_bits} bits; use a smaller one")
    return ring.reduce(np.asarray(shares, dtype=np.int64) - limits - 1)


def to_bristol(circuit: Circuit) -> str:
    """The circuit in Bristol Fashion; masks are its last inputs, and outputs are masked."""
    return circuit.compiled.to_bristol()


def from_bristol(text: str, owners: Sequence[str], name: str = "imported") -> Circuit:
    """A circuit from Bristol Fashion, all outputs to the evaluator.

    `owners` names for each input value who feeds it: "evaluator", "garbler" or "garbler-fixed".
    Values above 64 bits become several words, the lowest first. Raises ValueError, with the line,
    where the text is not such a circuit.
    """
    return Circuit(name, _engine.from_bristol(text, list(owners)))
