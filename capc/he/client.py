"""The querying party's side of encrypted linear layers: encrypt an input, decrypt the product.

The client alone holds the secret key. Each server's key seed is answered by public_key(seed). Flow
for one layer and one query:

    request = client.encrypt(packing, values)    -> send
    product = client.decrypt(packing, reply)     <- receive
"""

from __future__ import annotations

import threading

import numpy as np
import seal

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.he import rns
from capc.he.context import context
from capc.he.merging import merging_keys
from capc.he.messages import pack_request, reply_bytes, unpack_reply
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, ZeroEncryptor, key_polynomial


class HEClient:
    """A fresh secret key for one run, from SEAL's generator seeded by the operating system.

    Each server gets a public key of its own, for the seed that it sends. Threads may share it.
    ConfigError where the parameters are insecure and not allowed to be, or too small.
    """

    def __init__(
        self,
        parameters: EncryptionParameters,
        fixed_point: FixedPoint,
        *,
        allow_insecure: bool = False,
    ) -> None:
        parameters.require_secure(allow_insecure)
        self._fixed_point = fixed_point
        self._context = context(parameters, fixed_point.ring_bits)
        self._key_seeds: set[bytes] = set()
        self._lock = threading.Lock()
        self._secret_key = seal.KeyGenerator(self._context.seal).secret_key()
        self._merging_keys: dict[int, bytes] = {}
        secret = self._context.secret_residues(self._secret_key)
        self._zeros = ZeroEncryptor(self._context, secret[: len(self._context.primes)])

    def __repr__(self) -> str:
        return "HEClient(...)"

    def public_key(self, key_seed: bytes | bytearray | memoryview, merged: int = 1) -> bytes:
        """p0, to the seed of p1 that a server chose; anyone may know both.

        Where up to `merged` sums share a polynomial of a reply, the keys for that follow, the same
        for every server. ProtocolError on a seed of another length, and on one that came before:
        two keys of one p1 would show errors.
        """
        seed = bytes(key_seed)
        if len(seed) != SEED_BYTES:
            raise ProtocolError(f"the peer's key seed has {len(seed)} bytes, not {SEED_BYTES}")
        with self._lock:
            if seed in self._key_seeds:
                raise ProtocolError("the peer sent a key seed that was used before")
            self._key_seeds.add(seed)
            if merged not in self._merging_keys:
                self._merging_keys[merged] = merging_keys(self._context, self._secret_key, merged)
        first = self._zeros.first_polynomials(key_polynomial(seed, self._context))
        return rns.pack(first[0], self._context.primes) + self._merging_keys[merged]

    def encrypt(self, packing: Packing, values: Int64) -> bytes:
        """A request: ring elements of the packing's input shape, freshly under the client's key."""
        primes, length = self._context.primes, packing.input_length
        packed = self._fixed_point.reduce(packing.pack_input(values)).reshape(-1)
        message = rns.scaled_message(packed, self._fixed_point.ring_bits, primes)
        shape = packing.input_polynomials, len(primes), self._context.degree
        messages: UInt64 = np.zeros(shape, dtype=np.uint64)
        messages[..., :length] = message.reshape(len(primes), -1, length).swapaxes(0, 1)
        seed, first = self._zeros.encrypt(messages)
        return pack_request(seed, first, self._context)

    def reply_bytes(self, packing: Packing) -> int:
        """The length of the reply that `decrypt` takes."""
        return reply_bytes(packing, self._context)

    def decrypt(self, packing: Packing, reply: bytes | bytearray | memoryview) -> Int64:
        """The product and what the server added, in [0, t), of the packing's output shape.

        ProtocolError on a reply of another length or with values out of range.
        """
        primes, positions = self._context.primes, packing.output_positions
        first, second = unpack_reply(reply, packing, self._context)
        outputs = []
        turned = self._zeros.times_secret(second)
        for used, known, product in zip(positions, first, turned, strict=True):
            phase = rns.add_mod(known, product[:, used], primes)
            outputs.append(rns.rounded_quotients(phase, self._context.ring_bits, primes))
        return packing.unpack_output(outputs)
