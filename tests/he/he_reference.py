"""Independent plain computations that the tests of capc/he compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.fixed_point import FixedPoint, Int64
from capc.he.client import HEClient
from capc.he.messages import unpack_reply
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.rns import UInt64
from capc.he.server import HEServer, ServerLayer, new_key_seed
from capc.he.shapes import LinearShape

CONFIG = Path(__file__).parents[2] / "config"

CRYPTONETS = {
    "conv": LinearShape.convolution(
        (28, 28, 1), (5, 5, 1, 5), strides=(2, 2), padding=((1, 2), (1, 2))
    ),
    "dense": LinearShape.dense(980, 100),
    "logits": LinearShape.dense(100, 10),
}

# Small and fast, and so not secure: for tests of exactness alone.
TOY = EncryptionParameters("HE_SEAL", 1024, 0, (60, 60, 30))


def load(name: str) -> EncryptionParameters:
    """The encryption parameters of the shipped file config/<name>.json."""
    return EncryptionParameters.from_json(str(CONFIG / f"{name}.json"))


def pair(parameters: EncryptionParameters, ring_bits: int = 41) -> tuple[HEClient, HEServer]:
    """A querying and an answering party with fresh keys, at 12 fractional bits."""
    fixed_point = FixedPoint(ring_bits, 12)
    client = HEClient(parameters, fixed_point, allow_insecure=True)
    return client, server_of(client, parameters, ring_bits)


def server_of(client: HEClient, parameters: EncryptionParameters, ring_bits: int = 41) -> HEServer:
    """One more answering party of this client."""
    seed = new_key_seed()
    ring = FixedPoint(ring_bits, 12)
    return HEServer(parameters, ring, seed, client.public_key(seed), allow_insecure=True)


def prepared_layer(server: HEServer, name: str, packing: Packing, weight: Int64) -> ServerLayer:
    """The layer, with as many bits agreed on as its largest weight has."""
    bits = int(np.abs(weight).max(initial=0)).bit_length()
    return server.prepare_layer(name, packing, weight, bits)


def without_mask(layer: ServerLayer) -> ServerLayer:
    """The layer with replies that are not spread within a cell, so that their noise can be seen."""
    return replace(layer, mask_width=2)


def layer_norm(packing: Packing, weight: Int64) -> int:
    """The largest sum of absolute weights over the products of one output polynomial."""
    norms = [int(np.abs(part).sum()) for part in packing.pack_weights(weight)]
    return max(
        sum(norms[index] for _, index in packing.products(output)) for output in range(packing.sums)
    )


def linear(shape: LinearShape, values: Int64, weight: Int64) -> Int64:
    """The layer, tap by tap, in int64 arithmetic modulo 2^64."""
    x = values.reshape(shape.height, shape.width, shape.channels)
    w = weight.reshape(*shape.kernel, -1, shape.filters)
    padded = np.pad(x, (*shape.padding, (0, 0)))
    rows, columns = shape.output_size
    result = np.zeros((rows, columns, shape.filters), dtype=np.int64)
    inputs, outputs = shape.channels // shape.groups, shape.filters // shape.groups
    for group in range(shape.groups):
        source = padded[:, :, group * inputs : (group + 1) * inputs]
        kernel = w[:, :, :, group * outputs : (group + 1) * outputs]
        for i in range(rows):
            for j in range(columns):
                top, left = i * shape.strides[0], j * shape.strides[1]
                bottom = top + (shape.kernel[0] - 1) * shape.dilations[0] + 1
                right = left + (shape.kernel[1] - 1) * shape.dilations[1] + 1
                step = shape.dilations
                window = source[top : bottom : step[0], left : right : step[1]]
                part = np.einsum("abc,abcf->f", window, kernel)
                result[i, j, group * outputs : (group + 1) * outputs] = part
    return result.reshape(shape.output_shape)


def negacyclic(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """left * right modulo X^N + 1 over the integers, by one product of two long integers."""
    degree = len(left)
    bound = degree * max(map(abs, left), default=0) * max(map(abs, right), default=0)
    width = bound.bit_length() + 2
    product = _evaluate(left, width) * _evaluate(right, width)
    coefficients = _digits(product, width, 2 * degree)
    return [coefficients[k] - coefficients[k + degree] for k in range(degree)]


def reply_residues(client: HEClient, packing: Packing, reply: bytes) -> list[UInt64]:
    """Each ciphertext (2, primes, degree) in coefficient form; what is not sent is 0."""
    setting = client._context
    first, second = unpack_reply(reply, packing, setting)
    found = []
    for used, known, other in zip(
        packing.output_positions, first, setting.from_ntt(second), strict=True
    ):
        found.append(np.stack([np.zeros_like(other), other]))
        found[-1][0][:, used] = known
    return found


def crt(residues: NDArray[np.uint64], primes: Sequence[int]) -> list[int]:
    """Residues (primes, coefficients) -> integers in [0, product of the primes)."""
    product = int(np.prod([int(p) for p in primes], dtype=object))
    total = np.zeros(residues.shape[1], dtype=object)
    for row, prime in zip(residues, primes, strict=True):
        rest = product // prime
        total += row.astype(object) * (rest * pow(rest, -1, prime) % product)
    return [int(value) % product for value in total]


def centred(value: int, modulus: int) -> int:
    """The representative of `value` modulo `modulus` that is nearest to 0."""
    return (value + modulus // 2) % modulus - modulus // 2


def secret_polynomial(client: HEClient) -> list[int]:
    """The ternary secret: times_secret(1), and 1 is 1 throughout in NTT form."""
    context = client._context
    one = np.ones((1, len(context.primes), context.degree), dtype=np.uint64)
    modulus = math.prod(context.primes)
    secret = [
        centred(value, modulus) for value in crt(client._zeros.times_secret(one)[0], context.primes)
    ]
    assert set(secret) == {-1, 0, 1}
    return secret


def noise(
    residues: NDArray[np.uint64], secret: list[int], primes: Sequence[int], ring_bits: int
) -> NDArray[np.float64]:
    """The noise of each coefficient, v = centred(t * phase mod q) / t, without using SEAL."""
    modulus = int(np.prod([int(p) for p in primes], dtype=object))
    first, second = crt(residues[0], primes), crt(residues[1], primes)
    phase = [a + b for a, b in zip(first, negacyclic(second, secret), strict=True)]
    scaled = [centred(value << ring_bits, modulus) for value in phase]
    return np.array([value / (1 << ring_bits) for value in scaled])


def chi_square_is_plausible(values: NDArray[np.int64], bins: int) -> bool:
    """Whether values in [0, bins) look uniform; wrongly false with probability below 1e-9.

    Tails of the chi-square law: Laurent and Massart 2000, lemma 1, with x = 22 on either side.
    """
    counts = np.bincount(values, minlength=bins)
    expected = values.size / bins
    statistic = float(np.sum((counts - expected) ** 2) / expected)
    freedom, log_tail = bins - 1, 22.0
    upper = freedom + 2 * np.sqrt(freedom * log_tail) + 2 * log_tail
    lower = freedom - 2 * np.sqrt(freedom * log_tail)
    return bool(lower <= statistic <= upper)


def _evaluate(coefficients: Sequence[int], width: int) -> int:
    positive = _join([max(c, 0) for c in coefficients], width)
    return positive - _join([max(-c, 0) for c in coefficients], width)


def _join(coefficients: list[int], width: int) -> int:
    size = -(-width // 8)
    return int.from_bytes(b"".join(c.to_bytes(size, "little") for c in coefficients), "little")


def _digits(value: int, width: int, count: int) -> list[int]:
    size = -(-width // 8)
    offset = int.from_bytes((b"\0" * (size - 1) + b"\x40") * count, "little")
    data = (value + offset).to_bytes(size * (count + 1), "little", signed=True)
    half = 0x40 << (8 * (size - 1))
    return [int.from_bytes(data[k * size : (k + 1) * size], "little") - half for k in range(count)]
