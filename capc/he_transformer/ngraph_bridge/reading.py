"""Graphs as networks on one image each, whatever the shape of the result.

The importer of classifiers wants one axis of logits. Here any tensor may be asked for: it is
flattened before the importer sees it, and gets its shape back afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ModelError
from capc.graph.layers import Conv2D, Layer, Network, Reshape, Shape, WeightedLayer
from capc.graph.tensorflow.importer import network_of
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.names import data_inputs
from capc.graph.tensorflow.sources import FrozenGraph
from capc.he_transformer.ngraph_bridge.subgraph import constant_node

Array = NDArray[Any]


def result_shape(nodes: Mapping[str, Any], output: str, shapes: Mapping[str, Shape]) -> Shape:
    """The shape of a node's value, for the shapes of the secret nodes, as TensorFlow infers it.

    ModelError, with TensorFlow's reason, where the graph does not fit these shapes.
    """
    tf = load_tensorflow()
    definition = tf.compat.v1.GraphDef()
    for name, node in nodes.items():
        definition.node.append(_placeholder(node, shapes[name]) if name in shapes else node)
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
        tensor = graph.get_tensor_by_name(f"{output}:0")
        if tensor.shape.is_fully_defined():
            return tuple(int(size) for size in tensor.shape)
        with tf.compat.v1.Session(graph=graph) as session:
            feeds = {f"{name}:0": np.ones(shape) for name, shape in shapes.items()}
            return tuple(np.shape(session.run(tensor, feeds)))
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the graph of '{output}' does not run on such data: {reason}") from None


def image_network(
    nodes: Mapping[str, Any], source: str, output: str, shape: Shape, result: Shape
) -> Network:
    """The layers from `source` to `output` for one row of their first axis; the output is flat.

    `shape` and `result` are theirs, batch first. ModelError where the graph mixes the rows, or
    holds what the importer does not read.
    """
    if len(shape) < 2 or not result or result[0] != shape[0]:
        raise ModelError(f"'{output}' of shape {result} has no row for each row of {shape}")
    changed = {name: _without_batch(nodes, name, shape[0]) for name in nodes}
    for node in list(changed.values()):
        if node.op == "Reshape":
            target = node.input[1]
            if target not in changed and target.removesuffix(_ANY_BATCH) in nodes:
                given = _value(nodes[target.removesuffix(_ANY_BATCH)])
                changed[target] = constant_node(target, np.array([-1, *given[1:]], given.dtype))
    changed[source] = _placeholder(nodes[source], (-1, *shape[1:]))
    flat = _unused(changed, f"{output}/flat")
    if len(result) != 2:
        sizes = constant_node(f"{flat}/shape", np.array([-1, math.prod(result[1:])], np.int32))
        reshape = load_tensorflow().compat.v1.NodeDef(name=flat, op="Reshape")
        reshape.input.extend([output, sizes.name])
        reshape.attr["T"].type = load_tensorflow().float32.as_datatype_enum
        reshape.attr["Tshape"].type = load_tensorflow().int32.as_datatype_enum
        changed.update({flat: reshape, sizes.name: sizes})
        output = flat
    return network_of(FrozenGraph(changed, source, output))


def with_a_product(network: Network) -> Network:
    """The same network, with an identity after the input where no layer is linear.

    The mixed protocol encrypts at its linear layers, and needs one.
    """
    if any(isinstance(layer, WeightedLayer) for layer in network.layers):
        return network
    first, names = network.input, {layer.name for layer in network.layers}
    size = math.prod(first.shape)
    column, product, back = (
        _unused(names, f"{first.name}/{word}") for word in ("column", "identity", "row")
    )
    added: list[Layer] = [
        first,
        Reshape(column, (first.name,), (size, 1, 1)),
        Conv2D(product, (column,), (size, 1, 1), np.ones((1, 1, 1, 1)), np.zeros(1)),
        Reshape(back, (product,), first.shape),
    ]
    for layer in network.layers[1:]:
        added.append(_taking(layer, first, back))
    return Network(tuple(added))


def operation_network(
    node: Any, place: int, shape: Shape, others: Mapping[int, Array]
) -> tuple[Network, Shape]:
    """One node as layers on an image of `shape`, its operand at `place`; the rest is known.

    The network's output is flat; the shape is its own.
    """
    source = f"{node.name}/input"
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    nodes = {}
    for index in sorted({place, *others}):
        name = source if index == place else f"{node.name}/operand{index}"
        copy.input.append(name)
        if index != place:
            nodes[name] = constant_node(name, others[index])
    nodes[source] = _placeholder(None, (-1, *shape), source)
    nodes[node.name] = copy
    result = result_shape(nodes, node.name, {source: (1, *shape)})
    return image_network(nodes, source, node.name, (1, *shape), result), result[1:]


_ANY_BATCH = "/any_batch"


def _without_batch(nodes: Mapping[str, Any], name: str, batch: int) -> Any:
    """A Reshape to a constant [batch, ...] as one to [-1, ...]: the same, as all else is known."""
    node = nodes[name]
    if node.op != "Reshape":
        return node
    target = nodes.get(data_inputs(node)[1])
    if target is None or target.op != "Const":
        return node
    sizes = _value(target)
    if not sizes.size or sizes[0] != batch or np.any(sizes[1:] < 0):
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.input[1] = f"{target.name}{_ANY_BATCH}"
    return copy


def _value(node: Any) -> Array:
    return np.asarray(load_tensorflow().make_ndarray(node.attr["value"].tensor))


def _placeholder(node: Any, shape: Shape, name: str = "") -> Any:
    tf = load_tensorflow()
    made = tf.compat.v1.NodeDef(name=name or node.name, op="Placeholder")
    kind = node.attr["dtype"].type if node is not None else 0
    made.attr["dtype"].type = kind or tf.float32.as_datatype_enum
    for size in shape:
        made.attr["shape"].shape.dim.add().size = size
    return made


def _unused(names: Any, name: str) -> str:
    while name in names:
        name += "_"
    return name


def _taking(layer: Layer, first: Layer, other: str) -> Layer:
    inputs = tuple(other if name == first.name else name for name in layer.inputs)
    return replace(layer, inputs=inputs)
