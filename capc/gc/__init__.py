"""Garbled circuits between two parties: circuits, sessions, and the engine behind them."""

import capc.gc.loading  # noqa: F401  before all that loads the engine
from capc.gc.circuits import (
    Circuit,
    argmax_circuit,
    bounded_relu_circuit,
    leaky_relu_circuit,
    maximum_circuit,
    noisy_argmax_circuit,
    noisy_argmax_inputs,
    relu_circuit,
    square_circuit,
    step_circuit,
    top_k_circuit,
    truncate_circuit,
)
from capc.gc.lookups import ChooserSession, HolderSession, Lookups
from capc.gc.session import EvaluatorBatch, EvaluatorSession, GarblerBatch, GarblerSession
from capc.gc.smooth_circuits import (
    from_bristol,
    multi_label_inputs,
    narrow_square_circuit,
    piecewise_linear_circuit,
    to_bristol,
)

__all__ = [
    "ChooserSession",
    "Circuit",
    "EvaluatorBatch",
    "EvaluatorSession",
    "GarblerBatch",
    "GarblerSession",
    "HolderSession",
    "Lookups",
    "argmax_circuit",
    "bounded_relu_circuit",
    "from_bristol",
    "leaky_relu_circuit",
    "maximum_circuit",
    "multi_label_inputs",
    "narrow_square_circuit",
    "noisy_argmax_circuit",
    "noisy_argmax_inputs",
    "piecewise_linear_circuit",
    "relu_circuit",
    "square_circuit",
    "step_circuit",
    "to_bristol",
    "top_k_circuit",
    "truncate_circuit",
]
