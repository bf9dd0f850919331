"""Activations as layers, and those that a graph spells out of simpler operations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from capc.graph import spelled_out as spelling
from capc.graph.layers import Add, BoundedRelu, LeakyRelu, Negative, PiecewiseLinear, Relu
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.operands import constant_at, optional_constant, refused, single, tensor_at
from capc.graph.onnx.reader import Constant, Reader, Tensor, Value
from capc.graph.piecewise import SELU_SCALE
from capc.graph.spelled_out import ELEMENTWISE, Rule, Term
from capc.graph.tensorflow.builder import Builder
from capc.graph.tensorflow.pairs import maximum, minimum, square

_RULES: dict[str, Rule] = {
    **ELEMENTWISE,
    "Div": np.divide,
    "Greater": np.greater,
    "Where": np.where,
}
_ENDS = {"Mul", "Div", "Where"}  # the last operation of a function that is spelled out

SPELLED_OUT = "PiecewiseLinear"  # no operation of ONNX; its attribute is the function's name
_UNBOUNDED = 3e38  # float32's largest number stands for no bound
_CLOSE = 1e-5
_SELU_ALPHA = 1.6732632423543772


def relu(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Relu."""
    source = tensor_at(node, values)
    shape = reader.builder.shape(source.layer)
    return reader.added(Relu(node.name, (source.layer,), shape), source.layout)


def leaky_relu(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """LeakyRelu."""
    return _sloped(reader, node, tensor_at(node, values), float(node.attributes["alpha"]))


def parametric_relu(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """PRelu with constant slopes: one, or one a channel, as Relu(x) - slope * Relu(-x)."""
    source = tensor_at(node, values)
    slopes = constant_at(node, values).astype(np.float64)
    if np.all(slopes == slopes.flat[0]) and 0 <= slopes.flat[0] < 1:
        return _sloped(reader, node, source, float(slopes.flat[0]))
    builder, shape = reader.builder, reader.builder.shape(source.layer)

    def part(kind: str) -> str:
        return builder.unused(f"{node.name}/{kind}")

    above = builder.add(Relu(part("above"), (source.layer,), shape))
    turned = builder.add(Negative(part("turned"), (source.layer,), shape))
    below = builder.add(Relu(part("below"), (turned,), shape))
    factor = -reader.arranged(node, slopes, source)
    scaled = builder.scaled(part("sloped"), below, factor)
    return reader.added(Add(node.name, (above, scaled), shape), source.layout)


def clip(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Clip between two constants, or with one of them."""
    source = tensor_at(node, values)
    low, high = (
        _bound(node, values, name, place, default)
        for name, place, default in (("min", 1, -math.inf), ("max", 2, math.inf))
    )
    layer = source.layer
    if high < _UNBOUNDED:
        upper = replace(node, name=f"{node.name}/upper")
        layer = minimum(reader.builder, upper, [layer, np.array(high)])
    if low > -_UNBOUNDED:
        layer = maximum(reader.builder, node, [layer, np.array(low)])
    return Tensor(layer, source.layout)


def smooth(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """A function that has a piecewise-linear form."""
    return _smooth(reader, node, tensor_at(node, values), _function(node))


def hard_sigmoid(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """HardSigmoid: alpha * x + beta between 0 and 1."""
    source, builder = tensor_at(node, values), reader.builder
    alpha, beta = float(node.attributes["alpha"]), float(node.attributes["beta"])
    if math.isclose(alpha, 1 / 6, rel_tol=_CLOSE) and math.isclose(beta, 0.5, rel_tol=_CLOSE):
        return _smooth(reader, node, source, "hard_sigmoid")
    layer = builder.scaled(f"{node.name}/scaled", source.layer, np.array(alpha))
    layer = builder.shifted(f"{node.name}/shifted", layer, np.array(beta))
    bounded = BoundedRelu(builder.unused(node.name), (layer,), builder.shape(layer), cap=1.0)
    return reader.added(bounded, source.layout)


def selu(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Selu with the constants of its paper."""
    _require(node, "alpha", _SELU_ALPHA)
    _require(node, "gamma", SELU_SCALE)
    source, builder = tensor_at(node, values), reader.builder
    name, shape = builder.unused(f"{node.name}/unscaled"), builder.shape(source.layer)
    unscaled = builder.add(PiecewiseLinear(name, (source.layer,), shape, function="selu_unscaled"))
    return Tensor(builder.scaled(node.name, unscaled, np.array(SELU_SCALE)), source.layout)


def power(builder: Builder, node: Node, values: Sequence[Any]) -> str:
    """Pow with the exponent 2."""
    if isinstance(values[1], str) or np.any(values[1] != 2):
        raise refused(node, "has another exponent than 2; use a square, or a smooth activation")
    return square(builder, node, values)


def with_activations(
    nodes: Mapping[str, Node], constants: Mapping[str, Constant]
) -> dict[str, Node]:
    """The nodes, with a SPELLED_OUT one in place of every end of a known function."""

    def term(name: str) -> Term | None:
        if name in constants:
            value = constants[name]
            number = float(value.reshape(-1)[0]) if value.size == 1 else None
            return Term((), constant=number, is_constant=True)
        node = nodes.get(name)
        if node is None:
            return None
        return Term([name for name in node.inputs if name], _rule(node))

    result = dict(nodes)
    for name, node in nodes.items():
        found = spelling.spelled_out(term, name) if node.op in _ENDS else None
        if found is not None:
            function, source = found
            attributes = {"function": function}
            result[name] = Node(
                name, SPELLED_OUT, (source,), (name,), attributes, frozenset(attributes), 1
            )
    return result


def _rule(node: Node) -> Rule | None:
    """What an element-wise node makes of numbers."""
    alpha, beta = (node.attributes.get(name, 0.0) for name in ("alpha", "beta"))
    if node.op in _RULES:
        return _RULES[node.op]
    if node.op == "HardSigmoid":
        return lambda x: np.clip(alpha * x + beta, 0, 1)
    if node.op == "Clip" and len(node.inputs) == 3 and all(node.inputs):
        return np.clip
    return None


def _function(node: Node) -> str:
    """The function of a node; ModelError where its attributes make it another."""
    if node.op == SPELLED_OUT:
        return str(node.attributes["function"])
    if node.op == "Gelu":
        return "gelu_tanh" if node.attributes["approximate"] == "tanh" else "gelu"
    if node.op in {"Elu", "Celu", "Swish"}:
        _require(node, "alpha", 1.0)
    names = {"Celu": "elu", "HardSwish": "hard_swish"}
    return names.get(node.op, node.op.lower())


def _require(node: Node, name: str, value: float) -> None:
    if not math.isclose(float(node.attributes[name]), value, rel_tol=_CLOSE):
        raise refused(
            node,
            f"has {name} {node.attributes[name]:g}; supported is {value:g}: train with that",
        )


def _smooth(reader: Reader, node: Node, source: Tensor, function: str) -> Tensor:
    shape = reader.builder.shape(source.layer)
    layer = PiecewiseLinear(node.name, (source.layer,), shape, function=function)
    return reader.added(layer, source.layout)


def _sloped(reader: Reader, node: Node, source: Tensor, slope: float) -> Tensor:
    if not 0 <= slope < 1:
        raise refused(node, f"has the slope {slope:g}; allowed is [0, 1): train with such a slope")
    shape = reader.builder.shape(source.layer)
    return reader.added(LeakyRelu(node.name, (source.layer,), shape, slope=slope), source.layout)


def _bound(node: Node, values: Sequence[Value], name: str, place: int, default: float) -> float:
    """A bound: an attribute in early versions, an input in later ones."""
    if name in node.attributes:
        return float(node.attributes[name])
    given = optional_constant(node, values, place)
    return default if given is None else single(node, given, name)
