"""A Network as a frozen TensorFlow graph, under the node names of the original programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.files import write_whole
from capc.graph.kernels import same_padding
from capc.graph.layers import (
    Conv2D,
    Dense,
    Layer,
    MaxPool,
    Network,
    Relu,
    Reshape,
    Square,
)
from capc.graph.tensorflow.importer import network_of_keras
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.sources import freeze_keras


def save_frozen(network: Network, path: Path) -> None:
    """Write a GraphDef `.pb` of its owner alone, with `input` and `output/BiasAdd`, in float32.

    Runs of Conv2D, Dense, Relu, Square, MaxPool and Reshape are supported, the last a Dense.
    Raises ModelError for others, and where the file cannot be written.
    """
    if not isinstance(network.output, Dense):
        raise ModelError("a frozen graph ends in a dense layer, to be named output/BiasAdd")
    tf = load_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        values = tf.compat.v1.placeholder(tf.float32, (None, *network.input.shape), name="input")
        counts: dict[str, int] = {}
        previous = network.input
        for layer in network.layers[1:]:
            if layer.inputs != (previous.name,):
                raise ModelError(
                    f"layer '{layer.name}' is not fed by the one before it alone; "
                    "save the model with Keras"
                )
            values = _node(tf, layer, values, _scope(network, layer, counts))
            previous = layer
    write_whole(
        path,
        graph.as_graph_def().SerializeToString(deterministic=True),
        make_folder=True,
        error=ModelError,
    )


def _scope(network: Network, layer: Layer, counts: dict[str, int]) -> str:
    """conv1, conv2, dense1, ... and output."""
    if layer is network.output:
        return "output"
    kind = {"Conv2D": "conv", "MaxPool": "pool"}.get(type(layer).__name__)
    name = kind or type(layer).__name__.lower()
    counts[name] = counts.get(name, 0) + 1
    return f"{name}{counts[name]}"


def _node(tf: Any, layer: Layer, values: Any, scope: str) -> Any:
    with tf.name_scope(scope):
        if isinstance(layer, Conv2D):
            return _convolution(tf, layer, values)
        if isinstance(layer, Dense):
            product = tf.matmul(values, _float32(tf, layer.weight, "kernel"), name="MatMul")
            return tf.nn.bias_add(product, _float32(tf, layer.bias, "bias"), name="BiasAdd")
        if isinstance(layer, Relu):
            return tf.nn.relu(values, name="Relu")
        if isinstance(layer, Square):
            return tf.multiply(values, values, name="Mul")
        if isinstance(layer, Reshape):
            return tf.reshape(values, (-1, *layer.shape), name="Reshape")
        if isinstance(layer, MaxPool) and layer.padding == ((0, 0), (0, 0)):
            return tf.nn.max_pool2d(values, layer.window, layer.strides, "VALID", name="MaxPool")
    raise ModelError(
        f"layer '{layer.name}': {type(layer).__name__} cannot be written as a graph; "
        "save the model with Keras"
    )


def _convolution(tf: Any, layer: Conv2D, values: Any) -> Any:
    """Padding goes as SAME where it is TensorFlow's own, so that older readers know it."""
    shape = tuple(int(size) for size in values.shape[1:])
    size = layer.kernel.shape[0], layer.kernel.shape[1]
    same = same_padding(shape, size, layer.strides, layer.dilations)
    if layer.padding == ((0, 0), (0, 0)):
        padding: str | Sequence[Sequence[int]] = "VALID"
    elif layer.padding == same:
        padding = "SAME"
    else:
        padding = [(0, 0), *layer.padding, (0, 0)]
    product = tf.nn.conv2d(
        values,
        _float32(tf, layer.kernel, "kernel"),
        strides=layer.strides,
        padding=padding,
        dilations=layer.dilations,
        name="Conv2D",
    )
    return tf.nn.bias_add(product, _float32(tf, layer.bias, "bias"), name="BiasAdd")


def _float32(tf: Any, weights: Any, name: str) -> Any:
    return tf.constant(np.asarray(weights, dtype=np.float32), name=name)


def save_keras(model: Any, label: str, path: Path) -> None:
    """Write a Keras classifier as a frozen graph, under the names that runs look for.

    Its linear layers are folded where the layers can be written. `label` is what errors call it.
    """
    try:
        save_frozen(network_of_keras(model, label), path)
    except ModelError:
        _save_as_it_is(model, path)


def _save_as_it_is(model: Any, path: Path) -> None:
    """A graph with branches: Keras's own nodes, but for the names of input and output."""
    frozen = freeze_keras(model)
    graph, names = frozen.graph, (*frozen.inputs.values(), *frozen.outputs.values())
    new = dict(zip(names, ("input", "output/BiasAdd"), strict=True))
    clashing = {node.name for node in graph.node} & set(new.values()) - set(names)
    if clashing:
        raise ModelError(f"{path.name}: a node inside is already called {sorted(clashing)[0]}")
    for node in graph.node:
        node.name = new.get(node.name, node.name)
        for place, source in enumerate(node.input):
            node.input[place] = new.get(source, source)
    write_whole(path, graph.SerializeToString(), make_folder=True)
