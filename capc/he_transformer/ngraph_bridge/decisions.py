"""What a server decides about a client's batch before any ciphertext: shapes, batch, protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from capc.ckks.network import is_polynomial
from capc.errors import CapcError
from capc.fixed_point import Float64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Layer, Network, QuantizedNetwork, Shape, WeightedLayer
from capc.graph.probes import probe_images
from capc.graph.ring_choice import to_ring, why_fewer_bits, why_vanishing
from capc.graph.tensorflow.loader import load_tensorflow
from capc.he.parameters import EncryptionParameters
from capc.he.planner import Product, plan
from capc.he_transformer.link import INSECURE, OfferedTensor, RefusedError, insecure_allowed
from capc.he_transformer.ngraph_bridge.settings import BridgeSettings
from capc.he_transformer.ngraph_bridge.subgraph import Subgraph
from capc.inference.precision import ALLOWED_ERROR
from capc.inference.protocols import linear_shape, require_supported
from capc.inference.reference import evaluate


def full_shape(name: str, static: list[int | None], count: int, batch: int) -> Shape:
    """A placeholder's shape for a client's data; the client's batch size fills the first axis.

    ConfigError where the count does not fit.
    """
    known = tuple(size for size in static if size is not None)
    if len(known) == len(static) and math.prod(known) == count:
        return known
    rest = tuple(size for size in static[1:] if size is not None)
    if static and len(rest) == len(static) - 1 and batch * math.prod(rest) == count:
        return (batch, *rest)
    raise RefusedError(
        "sizes",
        f"tensor '{name}' has the shape {static}; the client's {count} values in a batch of "
        f"{batch} do not fit",
    )


def require_batch(batch: int, shapes: Mapping[str, Shape]) -> None:
    """ConfigError unless the client's batch size is the first axis of a tensor, or 1."""
    if batch != 1 and all(shape[:1] != (batch,) for shape in shapes.values()):
        given = ", ".join(f"'{name}' of shape {shape}" for name, shape in shapes.items())
        raise RefusedError(
            "sizes",
            f"the client's batch size is {batch}, and none of its tensors has so many rows: "
            f"{given}; give the number of rows as batch_size, or 1",
        )


def is_wholly_polynomial(network: Network) -> bool:
    """Whether CKKS alone can evaluate every layer."""
    return all(is_polynomial(layer) for layer in network.layers[1:])


def wants_circuits(settings: BridgeSettings, network: Network) -> bool:
    """Whether the mixed protocol runs: asked for and possible, or the only private way."""
    if not is_wholly_polynomial(network):
        return True
    if not settings.enable_gc:
        return False
    try:
        require_supported(integer_network(network, OfferedTensor(1, True, 0.0, 1.0)))
    except CapcError:
        return False
    return True


def first_non_polynomial(network: Network) -> Layer:
    """The first layer that CKKS alone cannot evaluate; there must be one."""
    return next(layer for layer in network.layers[1:] if not is_polynomial(layer))


def require_circuits(settings: BridgeSettings, layer: Layer) -> None:
    """Without circuits the client would be shown every pre-activation: refused."""
    if settings.enable_gc is not False or insecure_allowed():
        return
    raise RefusedError(
        "activations",
        f"layer '{layer.name}' ({type(layer).__name__}) is no polynomial and enable_gc is False: "
        "the client would have to see the values before every activation, from which it can work "
        f"out the network's weights; set enable_gc to True, or {INSECURE}=1 (circuits are then "
        "used all the same)",
    )


def together(offers: Sequence[OfferedTensor]) -> OfferedTensor:
    """One range around all of them."""
    low, high = min(one.low for one in offers), max(one.high for one in offers)
    return OfferedTensor(sum(one.count for one in offers), True, low, high)


def integer_network(network: Network, offer: OfferedTensor) -> QuantizedNetwork:
    """The network in the smallest public ring that holds it, for the range that the client says.

    Weights and values that would vanish beside the fraction are doubled: the results are to be
    divided by `logit_scale`. With large ones there are fewer fractional bits. RefusedError, with
    the layer, where results may then be off by more than ALLOWED_ERROR of the largest.
    """
    value_range = (offer.low, offer.high)
    integers = to_ring(network, value_range, 0.0)
    doubt = why_fewer_bits(network, value_range, integers.fixed_point)
    doubt = doubt or why_vanishing(network, value_range, integers.fixed_point)
    if doubt is not None:
        images = probe_images(network.input.shape, value_range)
        expected = evaluate_float(network, images)
        error = np.abs(integers.model_logits(evaluate(integers, images)) - expected).max()
        if error > ALLOWED_ERROR * np.abs(expected).max():
            raise RefusedError("network", f"results would be off by up to {error:.3g}: {doubt}")
    return integers


def require_hiding(network: QuantizedNetwork, parameters: EncryptionParameters) -> None:
    """ConfigError, naming the layer, where the parameters are too small for the network."""
    layers = [
        Product(
            layer.name,
            linear_shape(network, layer),
            layer.weights,
            network.weight_bits[layer.name],
        )
        for layer in network.layers
        if isinstance(layer, WeightedLayer)
    ]
    plan(layers, parameters, network.fixed_point)


def plain_result(graph: Subgraph, values: Mapping[str, Float64]) -> Float64:
    """The output for known inputs, by TensorFlow; what finishes it is left to its owner."""
    tf = load_tensorflow()
    inside = tf.Graph()
    with inside.as_default():
        definition = tf.compat.v1.GraphDef()
        definition.node.extend(graph.nodes.values())
        tf.graph_util.import_graph_def(definition, name="")
    with tf.compat.v1.Session(graph=inside) as session:
        feeds = {f"{name}:0": value for name, value in values.items()}
        return np.asarray(session.run(f"{graph.output}:0", feeds), dtype=np.float64)
