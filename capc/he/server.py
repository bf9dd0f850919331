"""An answering party's side of encrypted linear layers: multiply by weights, hide them, answer.

The server learns nothing: it sees ciphertexts under the client's key. The client learns its share
of the output and nothing of the weights, whatever it sends (circuit privacy,
docs/homomorphic-encryption.md). Flow:

    seed = new_key_seed()                                        sent; the public key answers it
    server = HEServer(parameters, fixed_point, seed, public_key)
    layer = server.prepare_layer("conv", packing, weight, bits)  once per model
    reply = server.evaluate(layer, request, additive)            once per query
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.he import rns
from capc.he.context import context
from capc.he.merging import Merger, keys_bytes
from capc.he.messages import pack_reply, request_bytes, unpack_request
from capc.he.noise import require_mask
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.planner import require_range
from capc.he.public import PublicZeroEncryptor
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, uniform_polynomials

_TRANSFORMED_AT_ONCE = 64  # weight polynomials, of which a transform makes copies


@dataclass(frozen=True, eq=False, repr=False)
class ServerLayer:
    """Weight polynomials (weight polynomials, primes, degree) in NTT form.

    `pairs` numbers the factors of each sum's products (rns.sums_of_products). `mask_width` is the
    width of the masks' noise (noise.ResultMask).
    """

    name: str
    packing: Packing
    weights: UInt64
    pairs: Int64
    mask_width: int


def public_key_bytes(
    parameters: EncryptionParameters, fixed_point: FixedPoint, merged: int = 1
) -> int:
    """The length of what the client's public_key returns; ConfigError as `HEServer`."""
    found = context(parameters, fixed_point.ring_bits)
    return rns.packed_size(found.primes, found.degree) + keys_bytes(found, merged)


def new_key_seed() -> bytes:
    """32 fresh bytes, from which p1 of the client's public key is expanded; anyone may know them.

    The server chooses them, and sends them before the client makes its key.
    """
    return os.urandom(SEED_BYTES)


class HEServer:
    """Works under the public key of one client, the answer to `key_seed`, a new_key_seed().

    Up to `merged` sums of products share a polynomial of a reply: the key is for as many.
    ConfigError where the parameters are insecure and not allowed to be, or too small; ProtocolError
    on a public key of another length or out of range.
    """

    def __init__(
        self,
        parameters: EncryptionParameters,
        fixed_point: FixedPoint,
        key_seed: bytes,
        public_key: bytes | bytearray | memoryview,
        *,
        merged: int = 1,
        allow_insecure: bool = False,
    ) -> None:
        parameters.require_secure(allow_insecure)
        self._fixed_point = fixed_point
        self._context = context(parameters, fixed_point.ring_bits)
        view = memoryview(public_key)
        size = rns.packed_size(self._context.primes, self._context.degree)
        first = self._unpack_key(view[:size])
        self._zeros = PublicZeroEncryptor(self._context, key_seed, first)
        self._merger = Merger(self._context, merged, view[size:])

    def prepare_layer(
        self, name: str, packing: Packing, weight: Int64, weight_bits: int
    ) -> ServerLayer:
        """Transform centred integer weights, |w| < 2^weight_bits < t, of the layer's weight shape.

        `weight_bits` is public: the mask of the replies follows from it and from the packing.
        RangeError on larger weights; ConfigError where a reply would be further than 2^-40 from
        uniform.
        """
        require_range(name, weight, weight_bits, self._fixed_point)
        norm, merged = packing.weights_together << weight_bits, packing.blocks.merged
        mask = require_mask(self._context, name, norm, merged)
        pairs = np.array([packing.products(place) for place in range(packing.sums)])
        weights = self._transformed(packing, weight)
        return ServerLayer(name, packing, weights, pairs, mask.width)

    def _transformed(self, packing: Packing, weight: Int64) -> UInt64:
        """Weights in NTT form, over `merged` modulo q, as merging makes results `merged` times."""
        primes, degree = self._context.primes, self._context.degree
        shape = (packing.weight_polynomials, len(primes), degree)
        weights: UInt64 = np.empty(shape, dtype=np.uint64)
        for k, polynomial in enumerate(packing.pack_weights(weight)):
            weights[k] = rns.integer_residues(polynomial, primes, packing.blocks.merged)
        for start in range(0, len(weights), _TRANSFORMED_AT_ONCE):
            part = weights[start : start + _TRANSFORMED_AT_ONCE]
            part[:] = self._context.to_ntt(part)
        return weights

    def request_bytes(self, layer: ServerLayer) -> int:
        """The length of the request that `evaluate` takes."""
        return request_bytes(layer.packing, self._context)

    def evaluate(
        self, layer: ServerLayer, request: bytes | bytearray | memoryview, additive: Int64
    ) -> bytes:
        """A reply: weights times the encrypted input plus `additive`, hidden afresh each time.

        `additive` holds integers of the packing's output shape, which count modulo t. The caller
        draws them fresh and uniform. Only the coefficients that carry results are in the reply.
        ProtocolError on a malformed request.
        """
        primes, packing = self._context.primes, layer.packing
        masks = self._masks(layer, additive)
        zeros = self._zeros.encrypt_zeros(packing.output_polynomials)
        inputs = self._inputs(packing, request)
        if packing.blocks.merged == 1:
            sums = rns.sums_of_products(inputs, layer.weights, layer.pairs, primes, zeros)
        else:
            sums = rns.add_mod(self._merged(layer, inputs), zeros, primes)
        results = self._context.from_ntt(sums[:, 0])
        first, start = [], 0
        for used, result in zip(packing.output_positions, results, strict=True):
            mask = masks[:, start : start + used.size]
            first.append(rns.add_mod(result[:, used], mask, primes))
            start += used.size
        return pack_reply(first, sums[:, 1], self._context)

    def _inputs(self, packing: Packing, request: bytes | bytearray | memoryview) -> UInt64:
        """The client's ciphertexts, (inputs, 2, primes, degree), in NTT form."""
        seed, first = unpack_request(request, packing, self._context)
        inputs: UInt64 = np.empty((len(first), 2, *first.shape[1:]), dtype=np.uint64)
        inputs[:, 0] = first
        inputs[:, 1] = uniform_polynomials(seed, len(first), self._context)
        return inputs

    def _masks(self, layer: ServerLayer, additive: Int64) -> UInt64:
        """Masks plus e0 for the results of all output polynomials, (primes, results).

        With a uniform additive value as s, the mask round(q s / t) + e is all but uniform modulo q,
        and so is every coefficient of c0 that is sent.
        """
        primes = self._context.primes
        values = layer.packing.pack_output(self._fixed_point.reduce(additive))
        message = rns.scaled_message(np.concatenate(values), self._fixed_point.ring_bits, primes)
        count = message.shape[1]
        within = rns.uniform_noise(layer.mask_width, count, primes)
        return rns.add_mod(rns.add_mod(message, within, primes), self._zeros.errors(count), primes)

    def _merged(self, layer: ServerLayer, inputs: UInt64) -> UInt64:
        """The output polynomials without masks, (outputs, 2, primes, degree), in NTT form."""
        primes, merged = self._context.primes, layer.packing.blocks.merged
        outputs = []
        for start in range(0, layer.packing.sums, merged):
            pairs = layer.pairs[start : start + merged]
            sums = rns.sums_of_products(inputs, layer.weights, pairs, primes)
            outputs.append(self._merger.merge(sums, merged))
        return np.stack(outputs)

    def _unpack_key(self, view: memoryview) -> UInt64:
        primes, degree = self._context.primes, self._context.degree
        size = rns.packed_size(primes, degree)
        if len(view) != size:
            raise ProtocolError(
                f"the peer's public key has {len(view)} bytes, not {size}; "
                "both parties need the same encryption parameters"
            )
        return rns.unpack(view, primes, degree)
