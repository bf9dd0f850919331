"""Seconds and bytes of the encrypted linear layers alone, both sides in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from capc.fixed_point import FixedPoint, Int64
from capc.he.client import HEClient
from capc.he.packing import plan_packing
from capc.he.parameters import EncryptionParameters
from capc.he.server import HEServer, ServerLayer
from capc.he.shapes import LinearShape

CRYPTONETS_RELU: Mapping[str, LinearShape] = {
    "conv 5x5x5/2": LinearShape.convolution(
        (28, 28, 1), (5, 5, 1, 5), strides=(2, 2), padding=((1, 2), (1, 2))
    ),
    "dense 980x100": LinearShape.dense(980, 100),
    "dense 100x10": LinearShape.dense(100, 10),
}
ONLINE = ("encrypt", "evaluate", "decrypt")

Result = TypeVar("Result")


@dataclass
class Measurements:
    """`seconds[(layer, operation)]`, one entry a repetition; set-up operations have one entry.

    `bytes_sent[(layer, message)]` with messages offline, online (to the server) and reply.
    """

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    bytes_sent: dict[tuple[str, str], int] = field(default_factory=dict)

    def timed(self, layer: str, operation: str, call: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = call()
        self.seconds.setdefault((layer, operation), []).append(time.perf_counter() - start)
        return result

    def median(self, layer: str, operation: str) -> float:
        return float(np.median(self.seconds[layer, operation]))

    def total(self, operations: tuple[str, ...] | None = None) -> float:
        """The sum of the medians per query, over all layers, of these or of all operations."""
        return sum(
            self.median(layer, operation)
            for layer, operation in self.seconds
            if layer and (operation in operations if operations else operation != "weights")
        )


def measure(
    parameters: EncryptionParameters,
    fixed_point: FixedPoint,
    shapes: Mapping[str, LinearShape],
    repetitions: int,
) -> Measurements:
    """Run every layer on uniform shares and random weights; the key set-up has the layer name ''.

    Raises what HEClient and HEServer raise, for insecure parameters among others.
    """
    taken = Measurements()
    client = taken.timed("", "keys", lambda: HEClient(parameters, fixed_point))
    key = client.public_key()
    server = taken.timed("", "public key", lambda: HEServer(parameters, fixed_point, key))
    taken.bytes_sent["", "public key"] = len(key)
    layers = []
    for name, shape in shapes.items():
        packing = plan_packing(shape, parameters.poly_modulus_degree)
        weight = _weights(shape, fixed_point)
        prepare = partial(server.prepare_layer, name, packing, weight)
        layers.append(taken.timed(name, "weights", prepare))
    for _ in range(repetitions):
        for layer in layers:
            _one_query(taken, client, server, layer, fixed_point)
    return taken


def _one_query(
    taken: Measurements,
    client: HEClient,
    server: HEServer,
    layer: ServerLayer,
    fixed_point: FixedPoint,
) -> None:
    packing, name = layer.packing, layer.name
    share = fixed_point.uniform(packing.input_shape)
    mask = fixed_point.uniform(packing.output_shape)
    zeros = taken.timed(name, "prepare inputs", lambda: client.prepare_inputs(packing))
    offline = zeros.offline_message
    inputs = taken.timed(name, "receive inputs", lambda: server.receive_inputs(layer, offline))
    hidden = taken.timed(name, "prepare reply", lambda: server.prepare_reply(layer, mask))
    message = taken.timed(name, "encrypt", lambda: client.encrypt(packing, share, zeros))
    reply = taken.timed(name, "evaluate", lambda: server.evaluate(layer, inputs, message, hidden))
    taken.timed(name, "decrypt", lambda: client.decrypt(packing, reply))
    for kind, data in (("offline", offline), ("online", message), ("reply", reply)):
        taken.bytes_sent[name, kind] = len(data)


def _weights(shape: LinearShape, fixed_point: FixedPoint) -> Int64:
    """Uniform in [-1/2, 1/2), as large as trained weights are."""
    half = 1 << max(fixed_point.fraction_bits - 1, 0)
    count = int(np.prod(shape.weight_shape))
    raw = fixed_point.uniform(count) % (2 * half) - half
    return raw.reshape(shape.weight_shape)
