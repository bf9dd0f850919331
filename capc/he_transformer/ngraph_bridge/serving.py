"""One evaluation for a client: wait for it, choose how to compute, compute, reply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.ckks.network import is_polynomial, require_polynomial
from capc.ckks.session import (
    EncryptedInput,
    HomomorphicServer,
    Program,
    network_program,
)
from capc.ckks.tensor import CipherTensor
from capc.errors import CapcError, ConfigError, ModelError
from capc.fixed_point import FixedPoint, Float64, choose_ring_bits
from capc.graph.layers import Layer, Network, QuantizedNetwork, WeightedLayer
from capc.graph.quantize import quantize, required_ring_bits
from capc.graph.tensorflow.importer import network_of
from capc.he.parameters import EncryptionParameters
from capc.he.planner import Product, plan
from capc.he_transformer.link import (
    INSECURE,
    MIXED_BATCH,
    Hello,
    OfferedTensor,
    Welcome,
    accept,
    insecure_allowed,
    receive_values,
    send_values,
)
from capc.he_transformer.ngraph_bridge.arithmetic import ArithmeticGraph
from capc.he_transformer.ngraph_bridge.settings import BridgeSettings
from capc.he_transformer.ngraph_bridge.subgraph import Subgraph
from capc.he_transformer.ngraph_bridge.verbose import (
    COMMUNICATION,
    PARAMETERS,
    OperationTimer,
    operation_name,
    say,
    say_parameters,
)
from capc.inference.protocols import linear_shape, require_supported
from capc.inference.server import InferenceServer
from capc.inference.unencrypted import send_words
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

FRACTION_BITS = 12

Shape = tuple[int, ...]
StaticShape = list[int | None]


@dataclass(frozen=True)
class Task:
    """What a session asks for: a subgraph, its placeholders' static shapes, sample data."""

    graph: Subgraph
    static_shapes: Mapping[str, StaticShape]
    settings: BridgeSettings
    feeds: Mapping[str, NDArray[Any]]


def serve_client(task: Task) -> Shape:
    """Compute one batch for one client. Returns the shape of its results, which stay with it.

    Raises CapcError with the reason where it cannot be done; the client is told the same.
    """
    say(PARAMETERS, "Starting server")
    with accept(task.settings.port) as channel:
        hello = Hello.receive(channel)
        say(PARAMETERS, f"Client inputs: {', '.join(sorted(hello.tensors))}")
        try:
            session = _ClientSession(channel, task, hello)
        except CapcError as error:
            Welcome("refused", reason=str(error)).send(channel)
            raise
        shape = session.run()
        traffic = channel.traffic
        say(
            COMMUNICATION,
            f"Server sent {traffic.bytes_sent} bytes, received {traffic.bytes_received}",
        )
        return shape


class _ClientSession:
    """One client's batch; the constructor decides everything that can be decided before data."""

    def __init__(self, channel: Channel, task: Task, hello: Hello) -> None:
        self._channel = channel
        self._task = task
        self._hello = hello
        self._timer = OperationTimer()
        missing = [name for name in task.graph.secrets if name not in hello.tensors]
        if missing:
            raise ConfigError(
                f"the client gives {', '.join(sorted(hello.tensors))}, and the graph takes "
                f"{', '.join(missing)} from it: use these names"
            )
        self._offers = {name: hello.tensors[name] for name in task.graph.secrets}
        self._shapes = {
            name: full_shape(name, task.static_shapes[name], offer.count, hello.batch_size)
            for name, offer in self._offers.items()
        }
        require_batch(hello.batch_size, self._shapes)
        self._encrypted = [name for name, offer in self._offers.items() if offer.is_encrypted]
        network = self._network()
        if network is not None and not is_wholly_polynomial(network):
            require_circuits(task.settings, network)
        self._network_found = network

    def run(self) -> Shape:
        """The shape of the results."""
        network, task = self._network_found, self._task
        if not self._encrypted:
            return self._plain()
        if network is not None and wants_circuits(task.settings, network):
            return self._mixed(network)
        return self._homomorphic(network)

    def _network(self) -> Network | None:
        """The graph as a classifier of one encrypted tensor, where it is one."""
        if len(self._task.graph.secrets) != 1 or len(self._encrypted) != 1:
            return None
        try:
            return network_of(self._task.graph.frozen())
        except ModelError as error:
            if not _is_arithmetic(self._task.graph):
                raise
            say(PARAMETERS, f"Evaluated node by node: {error}")
            return None

    def _welcome(self, mode: str, parameters: str = "") -> None:
        finish = self._task.graph.finish
        Welcome(mode, "", self._shapes, finish, parameters).send(self._channel)
        say(PARAMETERS, f"Client connected; computing: {mode}")

    def _receive_plain(self) -> dict[str, Float64]:
        """The tensors that the client gives in the clear, in its order."""
        return {
            name: receive_values(self._channel, MessageType.UNENCRYPTED_QUERY, self._shapes[name])
            for name, offer in self._hello.tensors.items()
            if not offer.is_encrypted and name in self._shapes
        }

    def _plain(self) -> Shape:
        """Everything in the clear: the client has asked for it."""
        self._welcome("plain")
        values = self._receive_plain()
        results = plain_result(self._task.graph, values)
        self._channel.send_json(MessageType.PLAN, {"shape": list(results.shape)})
        send_values(self._channel, MessageType.LOGIT_SHARE, results)
        return tuple(results.shape)

    def _mixed(self, network: Network) -> Shape:
        (offer,) = self._offers.values()
        parameters = self._task.settings.parameters_for("mixed")
        say_parameters(parameters, "BFV")
        quantized = integer_network(network, offer)
        try:
            require_supported(quantized)
            require_flooding(quantized, parameters)
        except CapcError as error:
            Welcome("refused", reason=str(error)).send(self._channel)
            raise
        self._welcome("mixed", parameters.to_json())
        server = InferenceServer(
            self._channel, quantized, parameters, allow_insecure=insecure_allowed()
        )
        self._timer.restart()
        batch = next(iter(self._shapes.values()))[0]
        for start in range(0, batch, MIXED_BATCH):
            count = min(MIXED_BATCH, batch - start)
            prepared = server.prepare(count)
            self._timer.done("Offline", f"{count} of {batch} images")
            server.evaluate_hidden(prepared)
            self._timer.done("HiddenLayers", f"{count} of {batch} images")
            share = server.evaluate_logits(prepared)
            send_words(self._channel, MessageType.LOGIT_SHARE, share)
            self._timer.done("LastLayer", f"{count} of {batch} images")
        self._timer.total()
        return (batch, *network.output.shape)

    def _homomorphic(self, network: Network | None) -> Shape:
        settings, batch = self._task.settings, self._hello.batch_size
        parameters = settings.parameters_for("homomorphic")
        say_parameters(parameters, "CKKS")
        if network is not None:
            batch = self._shapes[network.input.name][0]
        packed = network is not None or self._is_packed()
        inputs = {
            name: EncryptedInput(
                self._shapes[name][1:] if network is not None
                else ((1, *self._shapes[name][1:]) if packed else self._shapes[name]),
                self._offers[name].low,
                self._offers[name].high,
            )
            for name in self._encrypted
        }  # fmt: skip
        self._welcome("homomorphic")
        program = self._program(network, batch if packed else 1, self._receive_plain())
        server = HomomorphicServer(
            self._channel,
            parameters,
            inputs,
            program,
            batch=batch if packed else 1,
            is_packed=packed,
            samples=self._samples(inputs),
            allow_insecure=insecure_allowed(),
        )
        if server.reason:
            say(PARAMETERS, f"No complex packing: {server.reason}")
        say(
            PARAMETERS,
            f"Precision {server.plan.bits:.1f} bits; noise over the network's own: "
            f"{server.flood_bits:.1f} bits",
        )
        self._timer.restart()
        server.answer()
        self._timer.total()
        rest = server.plan.output_shape
        return (batch, *(rest if network is not None else rest[1:])) if packed else rest

    def _program(
        self, network: Network | None, batch: int, plain: Mapping[str, Float64]
    ) -> Program:
        if network is not None:
            require_polynomial(network)
            return network_program(network, self._watch_layer)
        graph = ArithmeticGraph(self._task.graph.with_constants(plain), batch, watch=self._watch)
        return graph

    def _is_packed(self) -> bool:
        """All encrypted tensors are asked to be packed, and share the batch axis."""
        wanted = [self._task.settings.tensors[name].packed for name in self._encrypted]
        sizes = {self._shapes[name][0] if self._shapes[name] else 0 for name in self._encrypted}
        return all(wanted) and sizes == {self._hello.batch_size}

    def _samples(self, inputs: Mapping[str, EncryptedInput]) -> dict[str, Float64]:
        """What the program feeds for the client's tensors, where it can stand for real data."""
        samples = {}
        for name, value in inputs.items():
            fed = self._task.feeds.get(name)
            if fed is None or np.ndim(fed) == 0 or tuple(np.shape(fed)[1:]) != value.shape:
                continue
            samples[name] = np.asarray(fed, dtype=np.float64)
        return samples if len(samples) == len(inputs) == 1 else {}

    def _watch_layer(self, layer: Layer, tensor: CipherTensor) -> None:
        self._watch(operation_name(layer), tensor)

    def _watch(self, operation: str, tensor: CipherTensor) -> None:
        if tensor.parts is not None:
            detail = f"shape {tensor.shape}, {tensor.primes} primes left"
            self._timer.done(operation, detail)


def full_shape(name: str, static: StaticShape, count: int, batch: int) -> Shape:
    """A placeholder's shape for a client's data; the client's batch size fills the first axis.

    ConfigError where the count does not fit.
    """
    known = tuple(size for size in static if size is not None)
    if len(known) == len(static) and math.prod(known) == count:
        return known
    rest = tuple(size for size in static[1:] if size is not None)
    if static and len(rest) == len(static) - 1 and batch * math.prod(rest) == count:
        return (batch, *rest)
    raise ConfigError(
        f"tensor '{name}' has the shape {static}; the client's {count} values in a batch of "
        f"{batch} do not fit"
    )


def require_batch(batch: int, shapes: Mapping[str, Shape]) -> None:
    """ConfigError unless the client's batch size is the first axis of a tensor, or 1."""
    if batch != 1 and all(shape[:1] != (batch,) for shape in shapes.values()):
        given = ", ".join(f"'{name}' of shape {shape}" for name, shape in shapes.items())
        raise ConfigError(
            f"the client's batch size is {batch}, and none of its tensors has so many rows: "
            f"{given}; give the number of rows as batch_size, or 1"
        )


def is_wholly_polynomial(network: Network) -> bool:
    """Whether no layer needs a circuit: sums and products alone compute the network."""
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


def require_circuits(settings: BridgeSettings, network: Network) -> None:
    """Without circuits the client would be shown every pre-activation: refused."""
    if settings.enable_gc is not False or insecure_allowed():
        return
    layer = next(layer for layer in network.layers[1:] if not is_polynomial(layer))
    raise ConfigError(
        f"layer '{layer.name}' ({type(layer).__name__}) is no polynomial and enable_gc is False: "
        "the client would have to see the values before every activation, from which it can work "
        f"out the network's weights; set enable_gc to True, or {INSECURE}=1 (circuits are then "
        "used all the same)"
    )


def integer_network(network: Network, offer: OfferedTensor) -> QuantizedNetwork:
    """The network in the smallest public ring that holds it, for the range that the client says."""
    value_range = (offer.low, offer.high)
    needed = required_ring_bits(network, FRACTION_BITS, value_range)
    limit = 1 << (needed - 1)
    ring = FixedPoint(choose_ring_bits([(-limit, limit - 1)]), FRACTION_BITS)
    return quantize(network, ring, value_range)


def require_flooding(network: QuantizedNetwork, parameters: EncryptionParameters) -> None:
    """ConfigError, naming the layer, where the parameters are too small for the network."""
    layers = [
        Product(layer.name, linear_shape(network, layer), layer.weights)
        for layer in network.layers
        if isinstance(layer, WeightedLayer)
    ]
    plan(layers, parameters, network.fixed_point)


def plain_result(graph: Subgraph, values: Mapping[str, Float64]) -> Float64:
    """The output for known inputs, by TensorFlow; what finishes it is left to its owner."""
    import tensorflow as tf  # noqa: PLC0415  only where a graph is at hand anyway

    inside = tf.Graph()
    with inside.as_default():
        definition = tf.compat.v1.GraphDef()
        definition.node.extend(graph.nodes.values())
        tf.graph_util.import_graph_def(definition, name="")
    with tf.compat.v1.Session(graph=inside) as session:
        feeds = {f"{name}:0": value for name, value in values.items()}
        return np.asarray(session.run(f"{graph.output}:0", feeds), dtype=np.float64)


def _is_arithmetic(graph: Subgraph) -> bool:
    """Whether the node-by-node evaluator may take over: no convolutions, no pooling."""
    images = {"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"}
    return not images & {node.op for node in graph.nodes.values()}
