"""A trained TensorFlow classifier as a Network: the nodes between the query and the logits.

What training leaves behind the output is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from capc.errors import ModelError
from capc.graph.layers import Input, Network
from capc.graph.simplify import simplify
from capc.graph.tensorflow.activations import SPELLED_OUT, with_activations
from capc.graph.tensorflow.batches import MOVES_THE_BATCH, lacks_batch, per_image
from capc.graph.tensorflow.builder import Builder, Value
from capc.graph.tensorflow.constants import folded
from capc.graph.tensorflow.endings import logits_layer, one_axis, without_ending
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT, data_inputs
from capc.graph.tensorflow.operations import (
    OPERATIONS,
    PASSED_THROUGH,
    WITHIN_ROWS,
    WITHIN_SPACE_TO_BATCH,
    constant_of,
)
from capc.graph.tensorflow.refusals import ANY_WAY_OUT, WAYS_OUT
from capc.graph.tensorflow.selections import with_split_outputs
from capc.graph.tensorflow.sources import FrozenGraph, fixed_batch, graph_of_keras, read_graph
from capc.graph.two_classes import with_two_classes


def import_network(
    path: Path, input_node: str = DEFAULT_INPUT, output_node: str = DEFAULT_OUTPUT
) -> Network:
    """Read a frozen GraphDef `.pb`, a SavedModel directory, or a Keras `.keras` or `.h5` file.

    The prefix `import/` and the suffix `:0` of node names may be left out. Takes seconds:
    TensorFlow is imported. Raises ModelError, with the node, where the file is not such a graph,
    lacks the nodes, holds an operation that is not supported, or its shapes do not fit.
    """
    return classifier_of(read_graph(Path(path), input_node, output_node))


def network_of_keras(model: Any, label: str) -> Network:
    """The layers of a Keras classifier in memory; `label` is what error messages call it."""
    return classifier_of(graph_of_keras(model, label))


def classifier_of(graph: FrozenGraph) -> Network:
    """The layers from a frozen graph's input to its logits, one value a class or label."""
    return with_two_classes(simplify(converted(graph)[0]))


def network_of(graph: FrozenGraph) -> Network:
    """The layers between input and output of a frozen graph, nothing left out at its end."""
    builder = _built(graph)
    return simplify(builder.network(one_axis(builder, graph.output_name)))


def converted(graph: FrozenGraph) -> tuple[Network, dict[str, str]]:
    """A classifier's layers before `simplify`, and the node that each stands for."""
    ending = without_ending(graph)
    builder = _built(ending.graph)
    network = builder.network(logits_layer(builder, graph.output_name, ending))
    return network, {found.name: builder.origin(found.name) for found in network.layers}


def _built(graph: FrozenGraph) -> Builder:
    """The layers of every node that the output depends on."""
    nodes = with_split_outputs(with_activations(graph.nodes, data_inputs))
    graph = replace(graph, nodes=nodes)
    order = _sorted_nodes(graph, graph.output_name)
    batch = fixed_batch(graph.nodes[graph.input_name])
    builder = Builder(_placeholder(graph), _use_counts(graph, order, graph.output_name), batch)
    constants = folded(nodes, order, graph.input_name, graph.output_name)
    for name in order:
        if name in constants.values:
            builder.bind(name, constants.values[name])
        elif name not in constants.inner:
            _convert(graph, builder, name)
    return builder


def nodes_before(graph: FrozenGraph) -> list[str]:
    """The names of all nodes that the output depends on, each after its inputs, and the output."""
    split = replace(graph, nodes=with_split_outputs(graph.nodes))
    order = (
        name if name in graph.nodes else name.partition(":")[0]
        for name in _sorted_nodes(split, graph.output_name)
    )
    return list(dict.fromkeys(order))


def _placeholder(graph: FrozenGraph) -> Input:
    node = graph.nodes[graph.input_name]
    if node.op not in {"Placeholder", "PlaceholderWithDefault"}:
        raise ModelError(
            f"input node '{node.name}' is of type {node.op}, not a Placeholder: "
            "name another with --input_node"
        )
    kind = load_tensorflow().as_dtype(node.attr["dtype"].type)
    if not kind.is_floating:
        raise ModelError(
            f"input node '{node.name}' takes {kind.name}, and queries are pixels in floating "
            "point: export the model with a float32 input"
        )
    shape = node.attr["shape"].shape
    sizes = [int(dimension.size) for dimension in shape.dim]
    if shape.unknown_rank or len(sizes) < 2 or any(size < 1 for size in sizes[1:]):
        raise ModelError(
            f"input node '{node.name}' has the shape {sizes or 'unknown'}; it must be "
            "(batch, height, width, channels) with every size but the batch known: export the "
            "model with a fixed image size"
        )
    return Input(name=node.name, inputs=(), shape=tuple(sizes[1:]))


def _present(graph: FrozenGraph, user: str, names: Iterable[str]) -> list[str]:
    found = list(names)
    for name in found:
        if name not in graph.nodes:
            origin = graph.nodes.get(name.partition(":")[0])
            if origin is not None and origin.op in WAYS_OUT:
                raise ModelError(
                    f"node '{origin.name}' is of type {origin.op}, which is not supported; "
                    f"{WAYS_OUT[origin.op]}"
                )
            raise ModelError(
                f"node '{user}' takes '{name}', which the graph does not have as a first output; "
                "freeze the whole model again, or name an earlier --output_node"
            )
    return found


def _sorted_nodes(graph: FrozenGraph, output: str) -> list[str]:
    """The nodes that the output depends on, each after its inputs; the input node ends a path."""
    order: list[str] = []
    state: dict[str, bool] = {}  # False while open, True when placed
    stack = [output]
    while stack:
        name = stack[-1]
        if state.get(name):
            stack.pop()
            continue
        inputs = []
        if name != graph.input_name:
            inputs = _present(graph, name, data_inputs(graph.nodes[name]))
        waiting = [given for given in inputs if not state.get(given)]
        if not waiting:
            state[name] = True
            order.append(name)
            stack.pop()
            continue
        if name in state:
            raise ModelError(
                f"node '{name}' depends on itself: recurrent graphs do not run here; unroll it, or "
                "name an earlier --output_node"
            )
        state[name] = False
        stack.extend(waiting)
    if graph.input_name not in state:
        raise ModelError(
            f"output node '{output}' does not depend on '{graph.input_name}'; name the nodes that "
            "belong together with --input_node and --output_node"
        )
    return order


def _use_counts(graph: FrozenGraph, order: list[str], output: str) -> dict[str, int]:
    """How often each node's value is used, seen through identities; asking its shape is no use."""
    counts = dict.fromkeys(order, 0)
    roots: dict[str, str] = {}
    for name in order:
        node = graph.nodes[name]
        inputs = [] if name == graph.input_name else data_inputs(node)
        if node.op in PASSED_THROUGH and inputs:
            roots[name] = roots.get(inputs[0], inputs[0])
        elif node.op != "Shape":
            for given in inputs:
                counts[roots.get(given, given)] += 1
    counts[roots.get(output, output)] += 1
    return counts


def _convert(graph: FrozenGraph, builder: Builder, name: str) -> None:
    node = graph.nodes[name]
    if name == graph.input_name:
        builder.bind(name, name)
        return
    values = [builder.value(given) for given in data_inputs(node)]
    if node.op in PASSED_THROUGH and values:
        builder.alias(name, values[0])
        return
    _check_axes(builder, node, values)
    _check_spread(builder, node, values)
    without_batch = lacks_batch(builder, node, values)
    if builder.batch is not None and not without_batch:
        values = per_image(builder, node, values, builder.batch)
    constant = constant_of(node, values, builder)
    if constant is not None:
        builder.bind(name, constant)
        return
    convert = OPERATIONS.get(node.op)
    if convert is None:
        supported = ", ".join(
            sorted({*OPERATIONS} - {SPELLED_OUT} | {*PASSED_THROUGH, "Const", "Placeholder"})
        )
        raise ModelError(
            f"node '{name}' is of type {node.op}, which is not supported; "
            f"{WAYS_OUT.get(node.op, ANY_WAY_OUT)}; supported are {supported}"
        )
    if not any(isinstance(value, str) for value in values):
        raise ModelError(
            f"node '{name}' ({node.op}) depends on the batch size in a way that is not supported; "
            "work on the axes of one image alone"
        )
    result = convert(builder, node, values)
    if without_batch and node.op not in MOVES_THE_BATCH:
        builder.bare.add(result)
    builder.bind(name, result)


def _check_axes(builder: Builder, node: Any, values: list[Value]) -> None:
    """What is one number per image, without an axis, can only be given one, or be the output."""
    scalars = [value for value in values if isinstance(value, str) and not builder.shape(value)]
    if scalars and node.op not in {"Reshape", "ExpandDims", "Squeeze", "Shape"}:
        raise ModelError(
            f"node '{node.name}' ({node.op}) takes one number per image without an axis; keep one, "
            "with keepdims=True or a slice a:b"
        )


def _check_spread(builder: Builder, node: Any, values: list[Value]) -> None:
    """Where pixels or rows are part of the batch, few operations have a meaning here."""
    inside = any(isinstance(value, str) and value in builder.spread for value in values)
    if inside and node.op not in WITHIN_SPACE_TO_BATCH:
        raise ModelError(
            f"node '{node.name}' ({node.op}) stands between SpaceToBatchND and BatchToSpaceND, "
            "where only a convolution is supported; use a convolution with dilations"
        )
    merged = any(isinstance(value, str) and value in builder.rows for value in values)
    if merged and node.op not in WITHIN_ROWS:
        raise ModelError(
            f"node '{node.name}' ({node.op}) takes images whose rows were merged into the batch, "
            "where only a matrix product is supported; "
            "flatten each image by itself"
        )
