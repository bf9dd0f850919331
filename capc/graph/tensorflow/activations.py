"""Smooth activations that a graph spells out: x * sigmoid(x), x / 2 * erfc(-x / sqrt(2)), others.

A product of two values that depend on the query has no layer here, unless both are functions of one
value alone. Such a product is evaluated on numbers and compared with the functions that have a
piecewise-linear form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from capc.fixed_point import Float64
from capc.graph.piecewise import FUNCTIONS
from capc.graph.tensorflow.loader import load_tensorflow

_GRID: Float64 = np.arange(-240, 241) / 20
_TOLERANCE = 1e-4
_MOST_NODES = 64

_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_erf = np.vectorize(math.erf, otypes=[np.float64])

Rule = Callable[..., Any]
_RULES: dict[str, Rule] = {
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "RealDiv": np.divide,
    "Neg": np.negative,
    "Square": np.square,
    "Pow": np.power,
    "Erf": _erf,
    "Erfc": _erfc,
    "Tanh": np.tanh,
    "Sigmoid": FUNCTIONS["sigmoid"].exact,
    "Softplus": FUNCTIONS["softplus"].exact,
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Identity": lambda x: x,
    "StopGradient": lambda x: x,
}

# Nodes that are such a function by themselves.
NAMED = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Elu": "elu"}


SPELLED_OUT = "PiecewiseLinear"  # no operation of TensorFlow; its name is in the attribute below
_FUNCTION = "function"


def with_activations(
    nodes: dict[str, Any], inputs_of: Callable[[Any], Sequence[str]]
) -> dict[str, Any]:
    """The nodes, with a SPELLED_OUT one in place of every product that is a known function."""
    result = dict(nodes)
    for name, node in nodes.items():
        found = spelled_out(nodes, inputs_of, name) if node.op == "Mul" else None
        if found is not None:
            function, source = found
            copy = type(node)()
            copy.name, copy.op = name, SPELLED_OUT
            copy.input.append(source)
            copy.attr[_FUNCTION].s = function.encode()
            result[name] = copy
    return result


def function_of(node: Any) -> str:
    """The function that an activation node stands for."""
    return NAMED[node.op] if node.op in NAMED else str(node.attr[_FUNCTION].s.decode())


def spelled_out(
    nodes: dict[str, Any], inputs_of: Callable[[Any], Sequence[str]], name: str
) -> tuple[str, str] | None:
    """(function, source) where the product `name` is a known function of the node `source` alone.

    The nearest such source is taken; None where there is none.
    """
    if nodes[name].op != "Mul":
        return None
    for source in _ancestors(nodes, inputs_of, name):
        values = _evaluate(nodes, inputs_of, name, source)
        if values is None:
            continue
        for function, shape in FUNCTIONS.items():
            if np.allclose(values, shape.exact(_GRID), rtol=_TOLERANCE, atol=_TOLERANCE):
                return function, source
    return None


def _ancestors(
    nodes: dict[str, Any], inputs_of: Callable[[Any], Sequence[str]], name: str
) -> list[str]:
    """Nodes before `name` through element-wise operations, nearest first."""
    found: list[str] = []
    waiting = list(inputs_of(nodes[name]))
    while waiting and len(found) < _MOST_NODES:
        current = waiting.pop(0)
        if current in found or current not in nodes or nodes[current].op == "Const":
            continue
        found.append(current)
        if nodes[current].op in _RULES:
            waiting.extend(inputs_of(nodes[current]))
    return found


def _evaluate(
    nodes: dict[str, Any], inputs_of: Callable[[Any], Sequence[str]], name: str, source: str
) -> Float64 | None:
    """`name` on the grid in place of `source`; None where it depends on anything else."""
    values: dict[str, Any] = {source: _GRID}

    def value(current: str, depth: int) -> Any:
        if current not in values:
            node = nodes.get(current)
            if node is None or depth > _MOST_NODES:
                values[current] = None
            elif node.op == "Const":
                constant = load_tensorflow().make_ndarray(node.attr["value"].tensor)
                values[current] = float(constant.reshape(-1)[0]) if constant.size == 1 else None
            elif node.op in _RULES:
                given = [value(parent, depth + 1) for parent in inputs_of(node)]
                known = all(one is not None for one in given)
                values[current] = _RULES[node.op](*given) if known else None
            else:
                values[current] = None
        return values[current]

    with np.errstate(all="ignore"):
        result = value(name, 0)
    return None if result is None else np.asarray(result, dtype=np.float64)
