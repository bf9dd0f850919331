"""An answering party's side of encrypted linear layers: multiply by weights, hide them, answer.

The server learns nothing: it sees ciphertexts under the client's key. The client learns its share
of the output and nothing of the weights (circuit privacy, docs/homomorphic-encryption.md). Flow,
offline first:

    layer = server.prepare_layer("conv", packing, weight)        once per model
    prepared = server.prepare_reply(layer, additive)             once per query
    received = server.receive_inputs(layer, offline_message)     once per query
    reply = server.evaluate(layer, received, message, prepared)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seal

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.he import rns
from capc.he.context import context
from capc.he.noise import return_level
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.planner import largest_norm, require_flooding, require_range, weight_norm
from capc.he.public import PublicZeroEncryptor
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, uniform_polynomials


@dataclass(frozen=True, eq=False, repr=False)
class ServerLayer:
    """Weight polynomials in NTT form; `is_zero` marks those that are zero throughout."""

    name: str
    packing: Packing
    weights: Sequence[Any]
    is_zero: Sequence[bool]


def public_key_bytes(parameters: EncryptionParameters, fixed_point: FixedPoint) -> int:
    """The length of the client's public key for a ring; ConfigError as `HEServer`."""
    found = context(parameters, fixed_point.ring_bits)
    return 2 * rns.packed_size(found.primes, found.degree)


class _Once:
    """Material for one query of one layer; RuntimeError when it is taken twice."""

    def __init__(self, layer: ServerLayer, content: Any) -> None:
        self._layer = layer
        self._content = content

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def take(self, layer: ServerLayer) -> Any:
        if layer is not self._layer:
            raise RuntimeError(f"layer {layer.name!r} got what was prepared for another layer")
        if self._content is None:
            raise RuntimeError(f"layer {layer.name!r}: used before; prepare fresh material")
        content, self._content = self._content, None
        return content


class PreparedReply(_Once):
    """Two ciphertexts per output polynomial, which only add up to something that may be sent.

    The products of an encryption of zero, in NTT form; its errors, flooding noise and the mask.
    """


class ReceivedInputs(_Once):
    """The client's offline message, parsed: ciphertexts that await their first coefficients."""


class HEServer:
    """Works under the public key of one client.

    ConfigError where the parameters are insecure and not allowed to be, or too small; ProtocolError
    on a public key of another length or out of range.
    """

    def __init__(
        self,
        parameters: EncryptionParameters,
        fixed_point: FixedPoint,
        public_key: bytes | bytearray | memoryview,
        *,
        allow_insecure: bool = False,
    ) -> None:
        parameters.require_secure(allow_insecure)
        self._fixed_point = fixed_point
        self._context = context(parameters, fixed_point.ring_bits)
        self._level = return_level(self._context)
        self._evaluator = seal.Evaluator(self._context.seal)
        key = self._unpack_key(memoryview(public_key))
        self._zeros = PublicZeroEncryptor(self._context, key)

    def prepare_layer(self, name: str, packing: Packing, weight: Int64) -> ServerLayer:
        """Transform centred integer weights, |w| < t/2, of the layer's weight shape.

        RangeError on larger ones; ConfigError where flooding would be below 2^40 times the layer's
        own noise.
        """
        require_range(name, weight, self._fixed_point)
        polynomials, is_zero, norms = [], [], []
        for polynomial in packing.pack_weights(weight):
            norms.append(weight_norm(polynomial))
            is_zero.append(not polynomial.any())
            if is_zero[-1]:
                polynomial[0] = 1  # SEAL refuses a product by zero; this one is thrown away
            plaintext = self._context.plaintext(self._fixed_point.reduce(polynomial))
            self._evaluator.transform_to_ntt_inplace(plaintext, self._context.first_id)
            polynomials.append(plaintext)
        require_flooding(self._context, name, largest_norm(packing, norms))
        return ServerLayer(name, packing, polynomials, is_zero)

    def offline_bytes(self, layer: ServerLayer) -> int:
        """The length of the message that `receive_inputs` takes."""
        rest = self._context.degree - layer.packing.input_length
        size = rns.packed_size(self._context.primes, rest)
        return SEED_BYTES + layer.packing.input_polynomials * size

    def online_bytes(self, layer: ServerLayer) -> int:
        """The length of the message that `evaluate` takes."""
        values = layer.packing.input_polynomials * layer.packing.input_length
        return rns.packed_size(self._context.primes, values)

    def prepare_reply(self, layer: ServerLayer, additive: Int64) -> PreparedReply:
        """Offline: what hides the weights, with `additive` added to the client's output share.

        `additive` holds ring elements of the layer's output shape. The caller draws them fresh and
        uniform (minus the server's own share), so that the result alone says nothing.
        """
        primes = self._context.primes
        values = layer.packing.pack_output(self._fixed_point.reduce(additive))
        message = rns.scaled_message(np.concatenate(values), self._fixed_point.ring_bits, primes)
        flood = rns.uniform_noise(self._level.flood_bits, message.shape[1], primes)
        hidden = rns.add_mod(message, flood, primes)
        ciphertexts, start = [], 0
        for used in layer.packing.output_positions:
            residues = np.zeros((2, len(primes), self._context.degree), dtype=np.uint64)
            part = hidden[:, start : start + used.size]
            errors, residues[1] = self._zeros.errors(used.size)
            residues[0][:, used] = rns.add_mod(errors, part, primes)
            ciphertexts.append((self._zeros.products(), self._context.ciphertext(residues)))
            start += used.size
        return PreparedReply(layer, ciphertexts)

    def receive_inputs(
        self, layer: ServerLayer, offline_message: bytes | bytearray | memoryview
    ) -> ReceivedInputs:
        """Offline: parse PreparedInputs.offline_message; ProtocolError where it is malformed."""
        view = memoryview(offline_message)
        primes, degree = self._context.primes, self._context.degree
        count, rest = layer.packing.input_polynomials, degree - layer.packing.input_length
        size = rns.packed_size(primes, rest)
        if len(view) != self.offline_bytes(layer):
            raise ProtocolError(
                f"layer {layer.name!r}: the peer's offline message has {len(view)} bytes, "
                f"not {self.offline_bytes(layer)}"
            )
        residues = np.zeros((count, 2, len(primes), degree), dtype=np.uint64)
        seed = bytes(view[:SEED_BYTES])
        residues[:, 1] = uniform_polynomials(seed, count, self._context)
        for k in range(count):
            start = SEED_BYTES + k * size
            part = rns.unpack(view[start : start + size], primes, rest)
            residues[k, 0, :, degree - rest :] = part
        return ReceivedInputs(layer, residues)

    def evaluate(
        self,
        layer: ServerLayer,
        received: ReceivedInputs,
        message: bytes | bytearray | memoryview,
        prepared: PreparedReply,
    ) -> bytes:
        """Online: weights times the encrypted share plus `additive`, hidden, at a small modulus.

        Only the coefficients that carry results are in the reply. ProtocolError on a malformed
        message; RuntimeError where prepared material is used twice.
        """
        packing = layer.packing
        hidden = prepared.take(layer)
        inputs = self._inputs(packing, received.take(layer), memoryview(message))
        kept = self._context.primes[: self._level.primes]
        parts = []
        for output, used in enumerate(packing.output_positions):
            product, is_zero = self._product(layer, inputs, output)
            zero, rest = hidden[output]
            self._evaluator.add_inplace(product, zero)
            result = zero if is_zero else product
            self._evaluator.transform_from_ntt_inplace(result)
            self._evaluator.add_inplace(result, rest)
            self._evaluator.mod_switch_to_inplace(result, self._context.levels[len(kept)])
            first, second = self._context.residues(result)
            parts.append(rns.pack(first[:, used], kept))
            parts.append(rns.pack(second, kept))
        return b"".join(parts)

    def _inputs(self, packing: Packing, residues: UInt64, message: memoryview) -> list[Any]:
        count, length = packing.input_polynomials, packing.input_length
        heads = rns.unpack(message, self._context.primes, count * length)
        for k in range(count):
            residues[k, 0, :, :length] = heads[:, k * length : (k + 1) * length]
        for k in range(0, count, 2):  # a SEAL ciphertext has room for two polynomials
            two = self._context.ciphertext(residues[[k, min(k + 1, count - 1)], 0])
            self._evaluator.transform_to_ntt_inplace(two)
            residues[k : k + 2, 0] = self._context.residues(two)[: count - k]
        return [self._context.ciphertext(both, is_ntt=True) for both in residues]

    def _product(self, layer: ServerLayer, inputs: Sequence[Any], output: int) -> tuple[Any, bool]:
        """The sum of products of one output polynomial; True where it counts as zero.

        Products by zero weights go to a sum of their own, which is dropped, by as many operations.
        """
        sums: dict[bool, Any] = {}
        for k, weight in layer.packing.products(output):
            product = self._evaluator.multiply_plain(inputs[k], layer.weights[weight])
            is_zero = layer.is_zero[weight]
            if is_zero in sums:
                self._evaluator.add_inplace(sums[is_zero], product)
            else:
                sums[is_zero] = product
        if len(sums) == 2:
            self._evaluator.add_inplace(sums[True], sums[True])
        return (sums[False], False) if False in sums else (sums[True], True)

    def _unpack_key(self, view: memoryview) -> UInt64:
        primes, degree = self._context.primes, self._context.degree
        size = rns.packed_size(primes, degree)
        if len(view) != 2 * size:
            raise ProtocolError(
                f"the peer's public key has {len(view)} bytes, not {2 * size}; "
                "both parties need the same encryption parameters"
            )
        return np.stack([rns.unpack(part, primes, degree) for part in (view[:size], view[size:])])
