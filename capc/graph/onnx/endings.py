"""What may stand after the logits of an ONNX model: moves, and functions that keep the order.

A softmax, log-softmax or sigmoid there keeps the order of the classes; it is dropped, and a log
line says so. Several sigmoids are several labels for one image, which is no one-label classifier.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

from capc.errors import ModelError
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.reader import Reader, Tensor
from capc.graph.onnx.sources import OnnxGraph
from capc.graph.two_classes import require_labels

log = logging.getLogger(__name__)

_SOFTMAXES = {"Softmax", "LogSoftmax"}
_MOVES = {"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_FUNCTIONS = {*_SOFTMAXES, "Sigmoid", "Normalizer", "ZipMap"}
_LABELLED = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_OPSET_OF_AXIS = 13  # from here on a softmax is over one axis, before over all behind it


@dataclass(frozen=True)
class Ending:
    """A graph without the functions at its end, the value that holds the logits, and what went."""

    graph: OnnxGraph
    logits: str
    dropped: tuple[Node, ...]


def ending_of(graph: OnnxGraph) -> Ending:
    """Where the logits are. Raises ModelError where the output is a label."""
    name = logits = graph.output_name
    dropped: list[Node] = []
    while name in graph.makers:
        node = graph.nodes[graph.makers[name]]
        if node.op == "LinearClassifier" and name != node.name:
            return Ending(_without_transform(graph, node), name, (*dropped, node))
        if node.op in _FUNCTIONS and node.attributes.get("norm") != "MAX":
            dropped.append(node)
            logits = node.inputs[0]
        elif node.op not in _MOVES:
            break
        name = node.inputs[0]
    if not dropped:
        _require_no_label(graph)
    return Ending(graph, logits, tuple(dropped))


def _without_transform(graph: OnnxGraph, node: Node) -> OnnxGraph:
    """The graph with the scores of a LinearClassifier as they are, before any softmax."""
    model = type(graph.model)()
    model.CopyFrom(graph.model)
    (definition,) = (one for one in model.graph.node if node.name in one.output)
    for attribute in definition.attribute:
        if attribute.name == "post_transform":
            attribute.s = b"NONE"
    plain = replace(
        node, definition=definition, attributes={**node.attributes, "post_transform": "NONE"}
    )
    return replace(graph, model=model, nodes={**graph.nodes, node.name: plain})


def logits_tensor(reader: Reader, tensor: Tensor, ending: Ending) -> Tensor:
    """The logits along one axis, the classes. Raises ModelError where there are several axes."""
    shape = reader.shape(tensor)
    classes = math.prod(shape)
    if max(shape, default=1) != classes:
        raise ModelError(
            f"output '{ending.logits}' has the shape {shape} per image; logits have one axis: name "
            "the value with one number a class with --output_node"
        )
    softmaxes = [node for node in ending.dropped if node.op in _SOFTMAXES]
    for node in softmaxes:
        _check_softmax(node, shape, classes, ending)
    sigmoids = [node for node in ending.dropped if node.op == "Sigmoid"]
    if ending.graph.multi_label:
        softmax = softmaxes[0].name if softmaxes else None
        require_labels(classes, softmax, ending.logits)
    elif classes > 1 and sigmoids and not softmaxes:
        raise ModelError(
            f"node '{sigmoids[0].name}' (Sigmoid) stands after {classes} outputs: the model "
            "gives an image several labels, and a query gets one; add --task multi-label to "
            "capc run, or end with a softmax, or, where exactly one class is right, name the "
            f"logits with --output_node {ending.logits}"
        )
    for node in ending.dropped:
        log.info("node '%s' is dropped: the argmax is the same", node.name)
    return Tensor(reader.reshaped(reader.plain(tensor).layer, (classes,)))


def _check_softmax(node: Node, shape: tuple[int, ...], classes: int, ending: Ending) -> None:
    """ModelError unless a softmax is over all classes, of which there are at least two."""
    rank = len(shape) + 1
    axis = int(node.attributes["axis"]) % rank
    over = shape[axis - 1 : axis] if node.version >= _OPSET_OF_AXIS else shape[axis - 1 :]
    if not axis or math.prod(over) != classes or classes < 2:
        raise ModelError(
            f"node '{node.name}' ({node.op}) is over axis {axis} of {('batch', *shape)}, and the "
            f"output has {classes} numbers; it is dropped only where it is over two classes or "
            "more, and all of them: take it out, or name the logits before it with "
            f"--output_node {ending.logits}"
        )


def _require_no_label(graph: OnnxGraph) -> None:
    """ModelError, with the name of the logits, where the output is an ArgMax and its like."""
    name = graph.output_name
    while name in graph.makers:
        node = graph.nodes[graph.makers[name]]
        if node.op == "ArrayFeatureExtractor" and len(node.inputs) > 1:
            name = node.inputs[1]
            continue
        if node.op in {"ArgMax", "TopK", "Hardmax", "LinearClassifier"}:
            logits = node.outputs[1] if node.op == "LinearClassifier" else node.inputs[0]
            raise ModelError(
                f"node '{node.name}' ({node.op}) gives labels, and the protocol takes the argmax "
                f"itself: name the logits with --output_node {logits}"
            )
        if node.op not in _LABELLED:
            return
        name = node.inputs[0]
