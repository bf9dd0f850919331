"""Garbled circuits between two parties: circuits, sessions, and the engine behind them."""

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
from capc.gc.session import EvaluatorBatch, EvaluatorSession, GarblerBatch, GarblerSession

__all__ = [
    "Circuit",
    "EvaluatorBatch",
    "EvaluatorSession",
    "GarblerBatch",
    "GarblerSession",
    "argmax_circuit",
    "bounded_relu_circuit",
    "leaky_relu_circuit",
    "maximum_circuit",
    "noisy_argmax_circuit",
    "noisy_argmax_inputs",
    "relu_circuit",
    "square_circuit",
    "step_circuit",
    "top_k_circuit",
    "truncate_circuit",
]
