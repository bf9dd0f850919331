"""One evaluation for a client: wait for it, choose how to compute, compute, reply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.ckks.context import ckks_context
from capc.ckks.session import (
    EncryptedInput,
    HomomorphicServer,
    Program,
    network_program,
    rehearse_program,
)
from capc.ckks.tensor import CipherTensor
from capc.errors import CapcError, ConfigError, ModelError
from capc.fixed_point import Float64
from capc.graph.layers import Layer, Network
from capc.he_transformer.link import (
    MIXED_BATCH,
    Hello,
    RefusedError,
    Welcome,
    accept,
    insecure_allowed,
    receive_values,
    send_values,
)
from capc.he_transformer.ngraph_bridge.arithmetic import ArithmeticGraph, is_polynomial_graph
from capc.he_transformer.ngraph_bridge.decisions import (
    first_non_polynomial,
    full_shape,
    integer_network,
    is_wholly_polynomial,
    plain_result,
    require_batch,
    require_circuits,
    require_hiding,
    together,
    wants_circuits,
)
from capc.he_transformer.ngraph_bridge.engines import CkksEngine, RecordingEngine
from capc.he_transformer.ngraph_bridge.places import BatchMovedError
from capc.he_transformer.ngraph_bridge.reading import (
    image_network,
    result_shape,
    with_a_product,
)
from capc.he_transformer.ngraph_bridge.recorded import Recording
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
from capc.inference.protocols import require_supported
from capc.inference.server import InferenceServer
from capc.inference.words import send_words
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

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

    Raises CapcError with the reason where it cannot be done; the client is told a fixed text that
    says nothing of the network.
    """
    say(PARAMETERS, "Starting server")
    channel, hello = accept(task.settings.port)
    with channel:
        say(PARAMETERS, f"Client inputs: {', '.join(sorted(hello.tensors))}")
        try:
            session = _ClientSession(channel, task, hello)
        except CapcError as error:
            _refuse(channel, error)
            raise
        shape = session.run()
        traffic = channel.traffic
        say(
            COMMUNICATION,
            f"Server sent {traffic.bytes_sent} bytes, received {traffic.bytes_received}",
        )
        return shape


def _refuse(channel: Channel, error: CapcError) -> None:
    """Tell the client that its request is refused, without the network's part in it."""
    reason = error.reason if isinstance(error, RefusedError) else "network"
    Welcome("refused", reason).send(channel)


class _ClientSession:
    """One client's batch; the constructor decides everything that can be decided before data."""

    def __init__(self, channel: Channel, task: Task, hello: Hello) -> None:
        self._channel = channel
        self._task = task
        self._hello = hello
        self._timer = OperationTimer()
        missing = [name for name in task.graph.secrets if name not in hello.tensors]
        if missing:
            raise RefusedError(
                "names",
                f"the client gives {', '.join(sorted(hello.tensors))}, and the graph takes "
                f"{', '.join(missing)} from it: use these names",
            )
        self._offers = {name: hello.tensors[name] for name in task.graph.secrets}
        self._shapes = {
            name: full_shape(name, task.static_shapes[name], offer.count, hello.batch_size)
            for name, offer in self._offers.items()
        }
        require_batch(hello.batch_size, self._shapes)
        self._encrypted = [name for name, offer in self._offers.items() if offer.is_encrypted]
        self._result = result_shape(task.graph.nodes, task.graph.output, self._shapes)
        self._batch = self._common_rows()
        self._decide()

    def _decide(self) -> None:
        """How to compute, and whether the batch lies in the slots."""
        graph, settings = self._task.graph, self._task.settings
        self._network: Network | None = None
        self._layout = "image"
        if not self._encrypted:
            self._mode = "plain"
            return
        self._network = self._classifier()
        if self._network is not None:
            if not is_wholly_polynomial(self._network):
                require_circuits(settings, first_non_polynomial(self._network))
            self._mode = "mixed" if wants_circuits(settings, self._network) else "homomorphic"
            return
        ones = {
            name: np.ones(shape) for name, shape in self._shapes.items()
            if name not in self._encrypted
        }  # fmt: skip
        if is_polynomial_graph(graph):
            self._mode = "homomorphic"
            if not (self._is_packed() and self._stays_packed(ones)):
                self._batch = 1
            return
        self._mode = "mixed"
        self._layout = "rows" if self._batch > 1 else "whole"
        try:
            network = self._recorded(ones)
        except BatchMovedError as error:
            say(PARAMETERS, f"One image for the whole batch: {error}")
            self._layout, self._batch = "whole", 1
            network = self._recorded(ones)
        if not is_wholly_polynomial(network):
            require_circuits(settings, first_non_polynomial(network))

    def run(self) -> Shape:
        """The shape of the results."""
        if self._mode == "plain":
            self._plain()
        elif self._mode == "mixed":
            self._mixed()
        else:
            self._homomorphic()
        return self._result

    def _classifier(self) -> Network | None:
        """The graph as a network on the rows of one encrypted tensor, where it is one."""
        graph = self._task.graph
        if len(graph.secrets) != 1 or len(self._encrypted) != 1:
            return None
        (name,) = graph.secrets
        try:
            return image_network(graph.nodes, name, graph.output, self._shapes[name], self._result)
        except ModelError as error:
            say(PARAMETERS, f"Evaluated node by node: {error}")
            return None

    def _common_rows(self) -> int:
        """The batch axis that all encrypted tensors and the result share; 1 where there is none."""
        shapes = [*(self._shapes[name] for name in self._encrypted), self._result]
        sizes = {shape[0] if shape else 0 for shape in shapes}
        return sizes.pop() if len(sizes) == 1 and 0 not in sizes else 1

    def _recorded(self, plain: Mapping[str, Float64]) -> Network:
        """The graph as a network on the encrypted tensors side by side."""
        shapes = {name: self._inner_shape(name) for name in sorted(self._encrypted)}
        recording = Recording(shapes)
        graph = ArithmeticGraph(
            self._task.graph.with_constants(plain), self._batch, RecordingEngine()
        )
        return recording.network(graph(recording.inputs))

    def _inner_shape(self, name: str) -> Shape:
        """A tensor's shape, where the batch in the slots counts as 1."""
        shape = self._shapes[name]
        return (1, *shape[1:]) if self._batch > 1 else shape

    def _stays_packed(self, plain: Mapping[str, Float64]) -> bool:
        """Whether every node treats the images in the slots alike."""
        parameters = self._task.settings.parameters_for("homomorphic")
        inputs = {
            name: EncryptedInput(self._inner_shape(name), offer.low, offer.high)
            for name, offer in self._offers.items()
            if name in self._encrypted
        }
        try:
            parameters.require_secure(insecure_allowed())
            rehearse_program(
                ckks_context(parameters), inputs, self._program(plain), wants_complex=False
            )
        except BatchMovedError as error:
            say(PARAMETERS, f"Not packed: {error}")
            return False
        except ConfigError:
            return True  # told, with its reason, by the server's own rehearsal
        return True

    def _welcome(self, parameters: str = "") -> None:
        finish = self._task.graph.finish
        Welcome(self._mode, "", self._shapes, finish, parameters, self._layout, self._result).send(
            self._channel
        )
        say(PARAMETERS, f"Client connected; computing: {self._mode}")

    def _receive_plain(self) -> dict[str, Float64]:
        """The tensors that the client gives in the clear, in its order."""
        return {
            name: receive_values(self._channel, MessageType.UNENCRYPTED_QUERY, self._shapes[name])
            for name, offer in self._hello.tensors.items()
            if not offer.is_encrypted and name in self._shapes
        }

    def _plain(self) -> None:
        """Everything in the clear: the client has asked for it."""
        self._welcome()
        values = self._receive_plain()
        results = plain_result(self._task.graph, values)
        self._channel.send_json(MessageType.PLAN, {"shape": list(results.shape)})
        send_values(self._channel, MessageType.LOGIT_SHARE, results)

    def _mixed(self) -> None:
        """The client gives its plain tensors first; then the network is known, and told or not."""
        parameters = self._task.settings.parameters_for("mixed")
        say_parameters(parameters, "BFV")
        self._welcome(parameters.to_json())
        plain = self._receive_plain()
        try:
            network = with_a_product(self._network or self._recorded(plain))
            offers = [self._offers[name] for name in self._encrypted]
            quantized = integer_network(network, together(offers))
            require_supported(quantized)
            require_hiding(quantized, parameters)
        except CapcError as error:
            _refuse(self._channel, error)
            raise
        Welcome("mixed", doublings=int(math.log2(quantized.logit_scale))).send(self._channel)
        server = InferenceServer(
            self._channel, quantized, parameters, allow_insecure=insecure_allowed()
        )
        self._timer.restart()
        batch = self._batch if self._network is None else self._images()
        for start in range(0, batch, MIXED_BATCH):
            count = min(MIXED_BATCH, batch - start)
            prepared = server.prepare(count)
            self._timer.done("Offline", f"{count} of {batch} images")
            server.evaluate_hidden(prepared)
            self._timer.done("HiddenLayers", f"{count} of {batch} images")
            share = server.evaluate_logits(prepared)
            send_words(self._channel, MessageType.LOGIT_SHARE, quantized.fixed_point, share)
            self._timer.done("LastLayer", f"{count} of {batch} images")
        self._timer.total()

    def _images(self) -> int:
        return self._shapes[self._encrypted[0]][0]

    def _homomorphic(self) -> None:
        parameters = self._task.settings.parameters_for("homomorphic")
        say_parameters(parameters, "CKKS")
        network = self._network
        packed = network is not None or self._batch > 1
        inputs = {
            name: EncryptedInput(
                self._shapes[name][1:] if network is not None else self._inner_shape(name),
                self._offers[name].low,
                self._offers[name].high,
            )
            for name in self._encrypted
        }
        self._welcome()
        plain = self._receive_plain()
        server = HomomorphicServer(
            self._channel,
            parameters,
            inputs,
            network_program(network, self._watch_layer) if network else self._program(plain),
            batch=self._images() if network is not None else self._batch,
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

    def _program(self, plain: Mapping[str, Float64]) -> Program:
        graph = self._task.graph.with_constants(plain)

        def run(inputs: Mapping[str, CipherTensor], rows: slice) -> CipherTensor:
            engine = CkksEngine(rows)
            return ArithmeticGraph(graph, self._batch, engine, watch=self._watch)(inputs)

        return run

    def _is_packed(self) -> bool:
        """All encrypted tensors are asked to be packed, and share the batch axis."""
        wanted = [self._task.settings.tensors[name].packed for name in self._encrypted]
        return all(wanted) and self._batch > 1

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
