"""A trained ONNX classifier as a Network: the nodes between the query and the logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import Input, Network
from capc.graph.onnx.activations import SPELLED_OUT, with_activations
from capc.graph.onnx.endings import ending_of, logits_tensor
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.operands import refused
from capc.graph.onnx.operations import OPERATIONS
from capc.graph.onnx.reader import Layout, Reader, Tensor, Value
from capc.graph.onnx.refusals import CONTROL_FLOW, RANDOM, way_out
from capc.graph.onnx.runtime import computed
from capc.graph.onnx.sources import OnnxGraph, read_onnx
from capc.graph.simplify import simplify
from capc.graph.tensorflow.builder import Builder
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.graph.two_classes import with_two_classes

_SHAPES = {"Shape", "Size"}  # what they say of a value does not depend on the query


def import_network(
    path: Path, input_node: str = DEFAULT_INPUT, output_node: str = DEFAULT_OUTPUT
) -> Network:
    """Read an `.onnx` file. TensorFlow is not imported.

    Raises ModelError, with the node, where the file is not such a model, lacks the names, holds an
    operation or an attribute that is not supported, or its shapes do not fit.
    """
    return classifier_of(read_onnx(Path(path), input_node, output_node))


def classifier_of(graph: OnnxGraph) -> Network:
    """The layers from a graph's input to its logits, one value a class."""
    return with_two_classes(simplify(converted(graph).network))


@dataclass(frozen=True, eq=False)
class Conversion:
    """A classifier's layers before `simplify`; the value that a layer is, and how it lies in it."""

    network: Network
    values: Mapping[str, tuple[str, Layout]]


def converted(graph: OnnxGraph) -> Conversion:
    """The layers of every node that the logits depend on."""
    ending = ending_of(graph)
    found = _Import(ending.graph, ending.logits)
    output = found.values.get(ending.logits)
    if not isinstance(output, Tensor):
        raise ModelError(
            f"output '{ending.logits}' does not depend on the query; name another --output_node"
        )
    last = logits_tensor(found.reader, output, ending)
    return Conversion(found.reader.builder.network(last.layer), found.standing())


class _Import:
    """Every value on the way to the output: a constant, or a layer and how the value lies in it."""

    def __init__(self, graph: OnnxGraph, output: str) -> None:
        self._graph = graph
        self._nodes = with_activations(graph.nodes, _numbers(graph))
        order = self._needed(output)
        self._uses = self._counted(order, output)
        given = Input(name=graph.input_name, inputs=(), shape=graph.shape)
        self.reader = Reader(Builder(given, self._uses), graph.batch)
        self.reader.builder.bind(given.name, given.name)
        self.values: dict[str, Value] = {given.name: Tensor(given.name)}
        self._owned: dict[str, tuple[str, Layout]] = {}
        for node in order:
            self._convert(node)

    def standing(self) -> dict[str, tuple[str, Layout]]:
        """By layer, the value that it stands for alone, the last of those merged into it."""
        return self._owned

    def _needed(self, output: str) -> list[Node]:
        """The nodes that the output depends on, each after its inputs."""
        needed = {output}
        found = []
        for node in reversed(self._nodes.values()):
            if needed.intersection(node.outputs):
                if node.op in CONTROL_FLOW:  # its branches take values that are no inputs of it
                    raise _unsupported(node)
                found.append(node)
                needed.update(node.inputs)
        if self._graph.input_name not in needed:
            raise ModelError(
                f"output '{output}' does not depend on '{self._graph.input_name}'; name the values "
                "that belong together with --input_node and --output_node"
            )
        return found[::-1]

    def _counted(self, order: Sequence[Node], output: str) -> dict[str, int]:
        """How often each value is used; asking its shape is no use."""
        uses: dict[str, int] = {output: 1}
        for node in order:
            for name in node.inputs if node.op not in _SHAPES else ():
                uses[name] = uses.get(name, 0) + 1
        return uses

    def _convert(self, node: Node) -> None:
        values = [self._value(node, name) for name in node.inputs]
        if not any(isinstance(value, Tensor) for value in values):
            self._fold(node, values)
            return
        if node.op in _SHAPES:
            self.values[node.name] = self._size(node, values[0])
            return
        convert = OPERATIONS.get(node.op)
        if convert is None:
            raise _unsupported(node)
        for name in sorted(node.given - convert.attributes):
            raise refused(
                node, f"has the attribute {name}, which is not understood here; export it without"
            )
        self._require_axes(node, values)
        builder = self.reader.builder
        before = {
            value.layer: builder.layer(value.layer) for value in values if isinstance(value, Tensor)
        }
        results = convert.convert(self.reader, node, values)
        results = [results] if isinstance(results, Tensor) else results
        for name, result in zip(node.outputs, results, strict=False):
            if result is not None and name:
                self._bind(name, result, before)

    def _bind(self, name: str, result: Tensor, before: Mapping[str, Any]) -> None:
        """Record what a value stands for.

        Where its layer is an input's, unchanged, who uses the one uses the other.
        """
        self.values[name] = result
        builder = self.reader.builder
        if before.get(result.layer) is builder.layer(result.layer):
            origin = builder.origin(result.layer)
            self._uses[origin] = self._uses.get(origin, 1) + self._uses.get(name, 0) - 1
        else:
            builder.bind(name, result.layer)
            self._owned[result.layer] = name, result.layout

    def _value(self, node: Node, name: str) -> Value:
        if not name:
            return None
        if name not in self.values:
            if name not in self._graph.constants:
                maker = self._graph.makers.get(name)
                what = f"an output of '{maker}' that no layer has" if maker else "another input"
                raise refused(
                    node,
                    f"takes '{name}', which is {what}; a classifier has one input, and every other "
                    "value must be a constant",
                )
            self.values[name] = self._graph.constant(name)
        return self.values[name]

    def _fold(self, node: Node, values: Sequence[Value]) -> None:
        """A node that takes constants alone, computed by onnxruntime."""
        if node.op in RANDOM:
            raise _unsupported(node)
        arrays = [value for value in values if not isinstance(value, Tensor)]
        for name, value in zip(node.outputs, computed(self._graph, node, arrays), strict=True):
            if name:
                self.values[name] = np.asarray(value)

    def _size(self, node: Node, value: Value) -> Any:
        """The shape of a value, or its size, for one image."""
        if not isinstance(value, Tensor):
            raise refused(node, "has no input; export the model again")
        shape = [1, *self.reader.shape(value)]
        if node.op == "Size":
            return np.array(int(np.prod(shape)))
        start, end = node.attributes.get("start", 0), node.attributes.get("end")
        return np.array(shape[start:end], dtype=np.int64)

    def _require_axes(self, node: Node, values: Sequence[Value]) -> None:
        """What is one number per image, without an axis, can only be given one."""
        tensors = [value for value in values if isinstance(value, Tensor)]
        bare = any(not self.reader.shape(tensor) for tensor in tensors)
        if bare and node.op not in {"Reshape", "Unsqueeze", "Identity"}:
            raise refused(
                node, "takes one number per image without an axis; keep one, with keepdims=True"
            )


def _unsupported(node: Node) -> ModelError:
    supported = ", ".join(sorted({*OPERATIONS, *_SHAPES, "Constant"} - {SPELLED_OUT}))
    return ModelError(
        f"node '{node.name}' is of type {node.op}, which is not supported; "
        f"{way_out(node.op)}; supported are {supported}"
    )


def _numbers(graph: OnnxGraph) -> dict[str, Any]:
    """The constants of one number, by name."""
    found = {
        name: graph.constant(name)
        for name, tensor in graph.constants.items()
        if all(size == 1 for size in tensor.dims)
    }
    for node in graph.nodes.values():
        for key in ("value", "value_float", "value_int") if node.op == "Constant" else ():
            if key in node.attributes and np.size(node.attributes[key]) == 1:
                found[node.name] = np.asarray(node.attributes[key])
    return found
