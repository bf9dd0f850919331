"""Smooth activations that a graph spells out: x * sigmoid(x), x / 2 * erfc(-x / sqrt(2)), others.

A product of two values that depend on the query has no layer here, unless both are functions of one
value alone. Such a product is evaluated on numbers and compared with the functions that have a
piecewise-linear form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from capc.fixed_point import Float64
from capc.graph.piecewise import FUNCTIONS

_GRID: Float64 = np.arange(-240, 241) / 20
_TOLERANCE = 1e-4
_MOST_NODES = 64

erfc = np.vectorize(math.erfc, otypes=[np.float64])
erf = np.vectorize(math.erf, otypes=[np.float64])

Rule = Callable[..., Any]

# What frameworks name alike.
ELEMENTWISE: Mapping[str, Rule] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Pow": np.power,
    "Erf": erf,
    "Tanh": np.tanh,
    "Sigmoid": FUNCTIONS["sigmoid"].exact,
    "Softplus": FUNCTIONS["softplus"].exact,
    "Relu": lambda x: np.maximum(x, 0),
    "Identity": lambda x: x,
}


@dataclass(frozen=True)
class Term:
    """A node of a graph: the names of its inputs, and what it makes of numbers.

    `rule` is None where it is not element-wise. `constant` is the number of a node that is one.
    """

    inputs: Sequence[str]
    rule: Rule | None = None
    constant: float | None = None
    is_constant: bool = False


def spelled_out(terms: Callable[[str], Term | None], name: str) -> tuple[str, str] | None:
    """(function, source) where the product `name` is a known function of the node `source` alone.

    `terms` gives a node by its name, None where there is none. The nearest such source is taken;
    None where there is none.
    """
    for source in _ancestors(terms, name):
        values = _evaluate(terms, name, source)
        if values is None:
            continue
        for function, shape in FUNCTIONS.items():
            if np.allclose(values, shape.exact(_GRID), rtol=_TOLERANCE, atol=_TOLERANCE):
                return function, source
    return None


def _ancestors(terms: Callable[[str], Term | None], name: str) -> list[str]:
    """Nodes before `name` through element-wise operations, nearest first."""
    found: list[str] = []
    start = terms(name)
    waiting = list(start.inputs) if start is not None else []
    while waiting and len(found) < _MOST_NODES:
        current = waiting.pop(0)
        term = terms(current)
        if current in found or term is None or term.is_constant:
            continue
        found.append(current)
        if term.rule is not None:
            waiting.extend(term.inputs)
    return found


def _evaluate(terms: Callable[[str], Term | None], name: str, source: str) -> Float64 | None:
    """`name` on the grid in place of `source`; None where it depends on anything else."""
    values: dict[str, Any] = {source: _GRID}

    def value(current: str, depth: int) -> Any:
        if current not in values:
            term = terms(current)
            if term is None or depth > _MOST_NODES:
                values[current] = None
            elif term.is_constant:
                values[current] = term.constant
            elif term.rule is not None:
                given = [value(parent, depth + 1) for parent in term.inputs]
                known = all(one is not None for one in given)
                values[current] = term.rule(*given) if known else None
            else:
                values[current] = None
        return values[current]

    with np.errstate(all="ignore"):
        result = value(name, 0)
    return None if result is None else np.asarray(result, dtype=np.float64)
