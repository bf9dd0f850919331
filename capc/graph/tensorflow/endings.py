"""What may stand after the logits: moves of the same numbers, and functions that keep the order.

A softmax, log-softmax or sigmoid there keeps the order of the classes; it is dropped, and a log
line says so. Several sigmoids are several labels for one image, which is no one-label classifier.
Where several labels are asked for they are dropped too: a label is there where its logit is above
0.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Reshape
from capc.graph.tensorflow.builder import Builder
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import data_inputs
from capc.graph.tensorflow.operations import PASSED_THROUGH
from capc.graph.tensorflow.sources import FrozenGraph
from capc.graph.two_classes import require_labels

log = logging.getLogger(__name__)

_NORMALISED = {"Softmax", "LogSoftmax"}
_MOVES = {"Reshape", "Squeeze", "ExpandDims", "Transpose"}
_CHOICES = {"StridedSlice", "Slice", "GatherV2", "Mean", "Sum", "Max", "Min"}
_JOINS = {"ConcatV2", "Pack"}
_GROWING = {"Exp", "Log", "Log1p", "Sqrt"}
_LEAST = 1e-4  # of a probability, as a lower bound: below the largest of 10,000 classes


@dataclass(frozen=True)
class Ending:
    """A graph whose last softmax and sigmoid are identities, and the names of these."""

    graph: FrozenGraph
    softmaxes: tuple[str, ...]
    sigmoids: tuple[str, ...]


def without_ending(graph: FrozenGraph) -> Ending:
    """The graph without the functions at its end that keep the order of the classes."""
    path = list(_tail(graph, graph.output_name))
    places = [i for i, name in enumerate(path) if graph.nodes[name].op in {*_NORMALISED, "Sigmoid"}]
    dropped = [path[place] for place in places]
    nodes = dict(graph.nodes)
    for name in dropped:
        nodes[name] = _identity(graph.nodes[name], data_inputs(graph.nodes[name])[0])
    for name in path[: max(places, default=0)]:  # of probabilities: log(p), p + c and the like
        kept = _growing(graph, graph.nodes[name])
        if kept is not None:
            nodes[name] = _identity(graph.nodes[name], kept)
    softmaxes = tuple(name for name in dropped if graph.nodes[name].op in _NORMALISED)
    sigmoids = tuple(name for name in dropped if name not in softmaxes)
    if not sigmoids and path:
        sigmoids = _joined_sigmoids(graph, graph.nodes[path[-1]])
    return Ending(replace(graph, nodes=nodes), softmaxes, sigmoids)


def logits_layer(builder: Builder, output: str, ending: Ending) -> str:
    """The layer with one axis, the classes. Raises ModelError where there are several axes."""
    layer = builder.tensor(output)
    shape = builder.shape(layer)
    classes = int(np.prod(shape))
    if ending.graph.multi_label:
        _check_labels(ending, classes)
    for name in ending.softmaxes:
        _check_softmax(builder, ending.graph, name, classes)
    if ending.sigmoids and not ending.softmaxes and classes > 1 and not ending.graph.multi_label:
        _refuse_labels(ending.graph, ending.sigmoids[0], classes)
    for name in (*ending.softmaxes, *ending.sigmoids):
        log.info("node '%s' is dropped: the labels are the same", name)
    if len(shape) == 1 or max(shape, default=1) != classes:
        return one_axis(builder, output)
    return builder.add(Reshape(builder.unused(f"{output}/logits"), (layer,), (classes,)))


def one_axis(builder: Builder, output: str) -> str:
    """The layer of the output. Raises ModelError unless it has one axis per image."""
    layer = builder.tensor(output)
    shape = builder.shape(layer)
    if len(shape) != 1:
        raise ModelError(
            f"output node '{output}' has the shape {shape} per image; logits have one axis: name "
            "the node with one value a class with --output_node"
        )
    return layer


def _tail(graph: FrozenGraph, name: str) -> Iterable[str]:
    """The nodes from `name` back through what may stand after the logits, and one more."""
    moves_only = True
    while name in graph.nodes and name != graph.input_name:
        node = graph.nodes[name]
        if node.op == "Sigmoid" and not moves_only:
            return  # it stays a layer: what is chosen of several sigmoids may be anything
        yield name
        inputs = data_inputs(node)
        moves_only = moves_only and node.op not in _CHOICES
        through = {*PASSED_THROUGH, *_MOVES, *_CHOICES, *_NORMALISED, "Sigmoid"}
        growing = _growing(graph, node)
        if growing is None and (node.op not in through or not inputs):
            return
        name = growing or inputs[0]


def _growing(graph: FrozenGraph, node: Any) -> str | None:
    """The input x of a function that keeps the order of probabilities, else None.

    log(x) and its like, x + c and x - c, x * c and x / c for c > 0, and bounds that two
    probabilities do not both pass. c is one number for all classes.
    """
    inputs = data_inputs(node)
    if node.op in _GROWING:
        return inputs[0]
    if len(inputs) != 2:
        return None
    numbers = [_number(graph, name) for name in inputs]
    if (numbers[0] is None) == (numbers[1] is None):
        return None
    place = 0 if numbers[0] is None else 1
    value = numbers[1 - place]
    keeps = value is not None and {
        "Add": True,
        "AddV2": True,
        "Maximum": value <= _LEAST,
        "Minimum": value > 0.5,
        "Mul": value > 0,
        "RealDiv": value > 0 and place == 0,
        "Sub": place == 0,
    }.get(node.op, False)
    return inputs[place] if keeps else None


def _number(graph: FrozenGraph, name: str) -> float | None:
    """The value of a constant with one element."""
    node = graph.nodes.get(name)
    while node is not None and node.op in PASSED_THROUGH and node.input:
        node = graph.nodes.get(data_inputs(node)[0])
    if node is None or node.op != "Const":
        return None
    value = load_tensorflow().make_ndarray(node.attr["value"].tensor)
    return float(value.reshape(-1)[0]) if value.size == 1 else None


def _joined_sigmoids(graph: FrozenGraph, join: Any) -> tuple[str, ...]:
    """The sigmoids that one node puts side by side; none where anything else is among them."""
    if join.op not in _JOINS:
        return ()
    inputs = data_inputs(join)
    found = []
    for given in inputs[:-1] if join.op == "ConcatV2" else inputs:
        ends = [name for name in _tail(graph, given) if graph.nodes[name].op == "Sigmoid"]
        if not ends:
            return ()
        found.append(ends[0])
    return tuple(found)


def _check_softmax(builder: Builder, graph: FrozenGraph, name: str, classes: int) -> None:
    shape = builder.shape(builder.tensor(name))
    size = shape[-1] if shape else 1
    if size == classes == int(np.prod(shape)) and classes > 1:
        return
    raise ModelError(
        f"node '{name}' (Softmax) is over {size} of {shape} per image, of which the output has "
        f"{classes}; it is dropped only where it is over two classes or more, and all of them: "
        f"take it out, or name the logits before it with --output_node {_before(graph, name)}"
    )


def _check_labels(ending: Ending, classes: int) -> None:
    """Raise ModelError unless each output is a logit, or a sigmoid that is dropped."""
    softmax = next(iter(ending.softmaxes), None)
    before = ending.graph.output_name if softmax is None else _before(ending.graph, softmax)
    require_labels(classes, softmax, before)
    if any(ending.graph.nodes[name].op == "Sigmoid" for name in ending.sigmoids):
        raise ModelError(
            f"node '{ending.sigmoids[0]}' is one of several sigmoids that are put together "
            "afterwards: put the logits together first, then one sigmoid over all of them, or name "
            "such a node with --output_node"
        )


def _refuse_labels(graph: FrozenGraph, name: str, classes: int) -> None:
    raise ModelError(
        f"node '{name}' (Sigmoid) stands after {classes} outputs: the model gives an image several "
        "labels, and a query gets one; add --task multi-label to capc run, or end with a softmax, "
        "or, where exactly one class is right, name the logits with --output_node "
        f"{_before(graph, name)}"
    )


def _before(graph: FrozenGraph, name: str) -> str:
    return data_inputs(graph.nodes[name])[0]


def _identity(node: Any, source: str) -> Any:
    copy = type(node)()
    copy.name, copy.op = node.name, "Identity"
    copy.input.append(source)
    copy.attr["T"].type = node.attr["T"].type
    return copy
