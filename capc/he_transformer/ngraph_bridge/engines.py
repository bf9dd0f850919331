"""What evaluates encrypted tensors for ArithmeticGraph: CKKS, or a recording of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from capc.ckks.network import evaluate_encrypted
from capc.ckks.slots import plus_slots, times_slots
from capc.ckks.tensor import CipherTensor
from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.layers import Layer, Network
from capc.he_transformer.ngraph_bridge.places import BatchMovedError
from capc.he_transformer.ngraph_bridge.recorded import LayerTensor

Array = NDArray[Any]
T = TypeVar("T")
Local = Callable[[CipherTensor, Callable[[Array], Array]], CipherTensor]
ALL_ROWS = slice(None)


class Engine(Protocol[T]):
    """What is done differently on ciphertexts and on layers."""

    def plus_rows(self, node: Any, tensor: T, values: Float64) -> T:
        """Plus values (batch, *shape), others for every image in the slots."""

    def times_rows(self, node: Any, tensor: T, values: Float64) -> T:
        """Times values (batch, *shape), others for every image in the slots."""

    def through(self, node: Any, tensor: T, network: Network) -> T:
        """A network on one image of the tensor's shape; the result is flat."""

    def apply(self, node: Any, tensor: T, function: Callable[[Array], Array]) -> T:
        """Any function of arrays (n, *shape), where the key is at hand; ModelError elsewhere."""


class CkksEngine:
    """On ciphertexts. `rows` are the images of the batch that lie in the slots now.

    `local` computes what is no polynomial, where this process holds the secret key.
    """

    def __init__(self, rows: slice = ALL_ROWS, local: Local | None = None) -> None:
        self._rows = rows
        self._local = local

    def plus_rows(self, node: Any, tensor: CipherTensor, values: Float64) -> CipherTensor:
        """See Engine."""
        return plus_slots(tensor, values, self._rows)

    def times_rows(self, node: Any, tensor: CipherTensor, values: Float64) -> CipherTensor:
        """See Engine."""
        return times_slots(tensor, values, self._rows)

    def through(self, node: Any, tensor: CipherTensor, network: Network) -> CipherTensor:
        """See Engine."""

        def fallback(layer: Layer, inputs: CipherTensor) -> CipherTensor:
            return self.apply(node, inputs, lambda values: layer.real([values]))

        image = tensor.picked([], np.arange(tensor.size).reshape(network.input.shape))
        return evaluate_encrypted(network, image, fallback=fallback)

    def apply(
        self, node: Any, tensor: CipherTensor, function: Callable[[Array], Array]
    ) -> CipherTensor:
        """See Engine."""
        if self._local is None:
            raise ModelError(
                f"node '{node.name}' ({node.op}) is no polynomial, and CKKS alone cannot evaluate "
                "it on a client's data"
            )
        return self._local(tensor, function)


class RecordingEngine:
    """Into layers."""

    def plus_rows(self, node: Any, tensor: LayerTensor, values: Float64) -> LayerTensor:
        """See Engine: a network does the same to every image."""
        raise BatchMovedError(f"node '{node.name}' ({node.op}) differs from image to image")

    def times_rows(self, node: Any, tensor: LayerTensor, values: Float64) -> LayerTensor:
        """See Engine."""
        return self.plus_rows(node, tensor, values)

    def through(self, node: Any, tensor: LayerTensor, network: Network) -> LayerTensor:
        """See Engine."""
        return tensor.through(network)

    def apply(
        self, node: Any, tensor: LayerTensor, function: Callable[[Array], Array]
    ) -> LayerTensor:
        """See Engine: nobody holds the numbers."""
        raise ModelError(
            f"node '{node.name}' ({node.op}) is supported at the end of a graph, where the client "
            "applies it, and not in the middle of one on a client's data"
        )
