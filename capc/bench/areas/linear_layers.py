"""Seconds and bytes of CryptoNets-ReLU's encrypted linear layers alone, both sides in one process.

The configs are those that the runs of the other areas use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from capc.bench.rows import Row, measured
from capc.files import REPOSITORY
from capc.fixed_point import FixedPoint, Int64
from capc.he.allocation import keep_freed_memory
from capc.he.cheapest_packing import plan_packing
from capc.he.client import HEClient
from capc.he.parameters import EncryptionParameters
from capc.he.server import HEServer, ServerLayer, new_key_seed
from capc.he.shapes import LinearShape

CRYPTONETS_RELU: Mapping[str, LinearShape] = {
    "conv 5x5x5/2": LinearShape.convolution(
        (28, 28, 1), (5, 5, 1, 5), strides=(2, 2), padding=((1, 2), (1, 2))
    ),
    "dense 980x100": LinearShape.dense(980, 100),
    "dense 100x10": LinearShape.dense(100, 10),
}
CONFIGS = ("fast.json", "10.json")
_RING = FixedPoint(41, 12)

Result = TypeVar("Result")


def run(repeat: int) -> list[Row]:
    """A row for each layer and operation, and for one query of all layers, under each config."""
    keep_freed_memory()
    rows = []
    for config in CONFIGS:
        path = REPOSITORY / "config" / config
        parameters = EncryptionParameters.from_json(str(path))
        taken = measure(parameters, _RING, CRYPTONETS_RELU, repeat)
        rows += _rows(taken, f"builtin {config}")
    return rows


def _rows(taken: Measurements, implementation: str) -> list[Row]:
    rows = []
    for (layer, operation), seconds in taken.seconds.items():
        sent = taken.bytes_sent.get((layer, operation))
        traffic = None if sent is None else (sent, 0)
        name = f"{layer or 'set-up'}: {operation}"
        rows.append(measured(name, implementation, seconds, traffic=traffic))
    rows.append(measured("one query", implementation, taken.per_query(), note="all layers"))
    return rows


@dataclass
class Measurements:
    """`seconds[(layer, operation)]`, one entry a repetition; set-up operations have one entry.

    `bytes_sent[(layer, operation)]` is the length of the message that the operation makes.
    """

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    bytes_sent: dict[tuple[str, str], int] = field(default_factory=dict)

    def timed(self, layer: str, operation: str, call: Callable[[], Result]) -> Result:
        """The result of `call`, whose time is added to those of the layer's operation."""
        start = time.perf_counter()
        result = call()
        self.seconds.setdefault((layer, operation), []).append(time.perf_counter() - start)
        return result

    def per_query(self) -> list[float]:
        """Seconds of each query over all layers."""
        chosen = [
            seconds
            for (layer, operation), seconds in self.seconds.items()
            if layer and operation != "weights"
        ]
        return [sum(parts) for parts in zip(*chosen, strict=True)]


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
    seed = new_key_seed()
    key = taken.timed("", "half of the key", lambda: client.public_key(seed))
    server = taken.timed("", "public key", lambda: HEServer(parameters, fixed_point, seed, key))
    taken.bytes_sent["", "half of the key"] = len(key)
    layers = []
    for name, shape in shapes.items():
        packing = plan_packing(shape, parameters.poly_modulus_degree)
        weight = _weights(shape, fixed_point)
        prepare = partial(server.prepare_layer, name, packing, weight, fixed_point.fraction_bits)
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
    request = taken.timed(name, "encrypt", lambda: client.encrypt(packing, share))
    reply = taken.timed(name, "evaluate", lambda: server.evaluate(layer, request, mask))
    taken.timed(name, "decrypt", lambda: client.decrypt(packing, reply))
    taken.bytes_sent[name, "encrypt"] = len(request)
    taken.bytes_sent[name, "evaluate"] = len(reply)


def _weights(shape: LinearShape, fixed_point: FixedPoint) -> Int64:
    """Uniform in [-1/2, 1/2), as large as trained weights are."""
    half = 1 << max(fixed_point.fraction_bits - 1, 0)
    count = int(np.prod(shape.weight_shape))
    raw = fixed_point.uniform(count) % (2 * half) - half
    return raw.reshape(shape.weight_shape)
