"""Smooth activations of TensorFlow: single nodes, and those that a graph spells out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from capc.graph import spelled_out as spelling
from capc.graph.spelled_out import ELEMENTWISE, Rule, Term
from capc.graph.tensorflow.loader import load_tensorflow

_RULES: dict[str, Rule] = {
    **ELEMENTWISE,
    "AddV2": np.add,
    "RealDiv": np.divide,
    "Square": np.square,
    "Erfc": spelling.erfc,
    "Relu6": lambda x: np.clip(x, 0, 6),
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

    def term(current: str) -> Term | None:
        node = nodes.get(current)
        if node is None:
            return None
        if node.op == "Const":
            constant = load_tensorflow().make_ndarray(node.attr["value"].tensor)
            number = float(constant.reshape(-1)[0]) if constant.size == 1 else None
            return Term((), constant=number, is_constant=True)
        return Term(inputs_of(node), _RULES.get(node.op))

    return spelling.spelled_out(term, name)
