"""Encrypted data and its key in one process: he-transformer's way to try a model out.

Nothing is hidden from anybody here. It shows what a model computes on ciphertexts, how long that
takes and how precise it is; activations that are no polynomials are computed in the clear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.ckks.context import CkksContext, ckks_context
from capc.ckks.elements import from_elements
from capc.ckks.keys import CkksKeys
from capc.ckks.network import evaluate_encrypted
from capc.ckks.session import EncryptedInput, Program, rehearse_program
from capc.ckks.slots import fresh
from capc.ckks.tensor import CipherTensor
from capc.errors import ConfigError, ModelError
from capc.fixed_point import Float64
from capc.graph.layers import Layer, Network, Shape
from capc.he_transformer.link import insecure_allowed
from capc.he_transformer.ngraph_bridge.arithmetic import ArithmeticGraph
from capc.he_transformer.ngraph_bridge.engines import CkksEngine
from capc.he_transformer.ngraph_bridge.places import BatchMovedError
from capc.he_transformer.ngraph_bridge.reading import image_network, result_shape
from capc.he_transformer.ngraph_bridge.settings import BridgeSettings
from capc.he_transformer.ngraph_bridge.subgraph import Subgraph
from capc.he_transformer.ngraph_bridge.verbose import (
    PARAMETERS,
    OperationTimer,
    operation_name,
    say,
    say_parameters,
)

Array = NDArray[Any]


def evaluate_local(
    graph: Subgraph, settings: BridgeSettings, feeds: Mapping[str, Array]
) -> Float64:
    """The result for data that is encrypted here, evaluated, and decrypted here.

    ConfigError where the data is missing or the parameters are too small.
    """
    missing = [name for name in graph.secrets if name not in feeds]
    if missing:
        raise ConfigError(
            f"tensor '{missing[0]}' is to be encrypted, and nothing is fed for it: name a "
            "placeholder that Session.run is given values for"
        )
    parameters = settings.parameters_for("homomorphic")
    parameters.require_secure(insecure_allowed())
    say_parameters(parameters, "CKKS")
    values = {name: np.asarray(feeds[name], dtype=np.float64) for name in graph.secrets}
    return _Local(ckks_context(parameters), graph, settings, values).run()


class _Local:
    def __init__(
        self,
        context: CkksContext,
        graph: Subgraph,
        settings: BridgeSettings,
        values: Mapping[str, Float64],
    ) -> None:
        self._context = context
        self._graph = graph
        self._values = values
        self._timer = OperationTimer()
        self._keys = CkksKeys(context)
        relin = self._keys.relin_keys()
        self._relin = context.seal.from_relin_str(relin) if relin else None
        shapes = {name: value.shape for name, value in values.items()}
        self._result = result_shape(graph.nodes, graph.output, shapes)
        self._network = _classifier(graph, shapes, self._result)
        wanted = all(settings.tensors[name].packed for name in graph.secrets)
        sizes = {len(value) if value.ndim else 0 for value in values.values()}
        shared = len({*sizes, self._result[0] if self._result else 0}) == 1 and 0 not in sizes
        self._packed = self._network is not None or (wanted and shared and sizes != {1})
        self._batch = max(sizes) if self._packed else 1

    def run(self) -> Float64:
        """All images, as many at once as there are slots."""
        try:
            return self._run().reshape(self._result)
        except BatchMovedError as error:
            say(PARAMETERS, f"Not packed: {error}")
            self._packed, self._batch = False, 1
            return self._run().reshape(self._result)

    def _run(self) -> Float64:
        self._complex, step = False, self._context.slots
        inputs = {name: self._described(name, value) for name, value in self._values.items()}
        wants = self._context.parameters.complex_packing and self._packed
        _, self._complex, reason = rehearse_program(
            self._context, inputs, self._program(), wants_complex=wants
        )
        if reason:
            say(PARAMETERS, f"No complex packing: {reason}")
        step *= 2 if self._complex else 1
        self._timer.restart()
        pieces = [self._piece(inputs, start, step) for start in range(0, self._batch, step)]
        self._timer.total()
        return np.concatenate(pieces) if self._packed else pieces[0]

    def _described(self, name: str, value: Float64) -> EncryptedInput:
        shape = value.shape
        if self._packed:
            shape = shape[1:] if self._network is not None else (1, *shape[1:])
        return EncryptedInput(shape, min(0.0, float(value.min())), max(0.0, float(value.max())))

    def _piece(self, inputs: Mapping[str, EncryptedInput], start: int, step: int) -> Float64:
        count = min(step, self._batch - start) if self._packed else 1
        tensors = {}
        for name, described in inputs.items():
            chunk = self._values[name]
            chunk = chunk[start : start + count] if self._packed else chunk[None]
            chunk = chunk.reshape(count, *described.shape)
            if not self._packed:
                chunk = np.broadcast_to(chunk, (self._context.slots, *described.shape))
            tensors[name] = self._encrypted(chunk, (described.low, described.high))
        rows = slice(start, start + count) if self._packed else slice(None)
        result = self._program()(tensors, rows).at_last_level()
        return self._keys.decrypt(result, count)

    def _encrypted(self, values: Float64, value_range: tuple[float, float]) -> CipherTensor:
        shape = values.shape[1:]
        encrypted = self._keys.encrypt(values, is_complex=self._complex)
        return fresh(
            self._context,
            shape,
            value_range,
            is_complex=self._complex,
            relin_keys=self._relin,
            parts=from_elements(self._context, shape, encrypted),
        )

    def _program(self) -> Program:
        network = self._network

        def run(inputs: Mapping[str, CipherTensor], rows: slice) -> CipherTensor:
            if network is not None:
                query = inputs[network.input.name]
                return evaluate_encrypted(network, query, self._watch_layer, self._activation)
            engine = CkksEngine(rows, self._refreshed)
            return ArithmeticGraph(self._graph, self._batch, engine, watch=self._watch)(inputs)

        return run

    def _activation(self, layer: Layer, tensor: CipherTensor) -> CipherTensor:
        return self._refreshed(tensor, lambda values: layer.real([values]))

    def _refreshed(self, tensor: CipherTensor, apply: Callable[[Array], Array]) -> CipherTensor:
        """Decrypt, apply, encrypt again. Its rehearsal guesses the range from sample values."""
        sample = np.asarray(apply(tensor.sample), dtype=np.float64)
        if tensor.parts is None:
            reach = max(float(tensor.magnitude.max()), float(np.abs(sample).max()))
            return fresh(
                self._context,
                sample.shape[1:],
                (-reach, reach),
                sample=sample,
                is_complex=tensor.is_complex,
            )
        count = self._context.slots * (2 if tensor.is_complex else 1)
        values = apply(self._keys.decrypt(tensor.at_last_level(), count))
        reach = float(np.abs(values).max())
        return self._encrypted(np.asarray(values, dtype=np.float64), (-reach, reach))

    def _watch_layer(self, layer: Layer, tensor: CipherTensor) -> None:
        self._watch(operation_name(layer), tensor)

    def _watch(self, operation: str, tensor: CipherTensor) -> None:
        if tensor.parts is not None:
            self._timer.done(operation, f"shape {tensor.shape}, {tensor.primes} primes left")


def _classifier(graph: Subgraph, shapes: Mapping[str, Shape], result: Shape) -> Network | None:
    if len(graph.secrets) != 1:
        return None
    (name,) = graph.secrets
    try:
        return image_network(graph.nodes, name, graph.output, shapes[name], result)
    except ModelError as error:
        say(PARAMETERS, f"Evaluated node by node: {error}")
        return None
