"""The querying party's side of encrypted linear layers: encrypt a share, decrypt the result.

The client alone holds the secret key. Each server's key seed is answered by public_key(seed). Flow
for one layer and one query, what needs no share first:

    prepared = client.prepare_inputs(packing)      -> send prepared.offline_message
    message = client.encrypt(packing, share, prepared)                -> send
    output_share = client.decrypt(packing, reply)                     <- receive
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
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES, ZeroEncryptor, key_polynomial


class PreparedInputs:
    """Fresh encryptions of zero for one layer of one query; each is used once.

    `offline_message` holds what does not depend on the share: the seed of the second polynomials,
    and of each first one the coefficients that no input value uses.
    """

    def __init__(self, packing: Packing, zeros: UInt64, offline_message: bytes) -> None:
        self.offline_message = offline_message
        self._packing = packing
        self._zeros: UInt64 | None = zeros

    def __repr__(self) -> str:
        return "PreparedInputs(...)"

    def take(self, packing: Packing) -> UInt64:
        """The secret part, (primes, polynomials * input_length); RuntimeError the second time."""
        if packing is not self._packing:
            raise RuntimeError("these encryptions of zero were prepared for another layer")
        if self._zeros is None:
            raise RuntimeError("these encryptions of zero were used before; prepare fresh ones")
        zeros, self._zeros = self._zeros, None
        return zeros


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
        self._zeros = ZeroEncryptor(self._context, self._secret_key)

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

    def prepare_inputs(self, packing: Packing) -> PreparedInputs:
        """Encrypt zero once per input polynomial of one layer of one query."""
        primes, length = self._context.primes, packing.input_length
        seed, first = self._zeros.encrypt(packing.input_polynomials)
        unused = [rns.pack(polynomial[:, length:], primes) for polynomial in first]
        used = np.concatenate([polynomial[:, :length] for polynomial in first], axis=1)
        return PreparedInputs(packing, used, b"".join([seed, *unused]))

    def encrypt(self, packing: Packing, share: Int64, prepared: PreparedInputs) -> bytes:
        """The share, ring elements of the layer's input shape, under the client's key."""
        primes = self._context.primes
        values = self._fixed_point.reduce(packing.pack_input(share)).reshape(-1)
        message = rns.scaled_message(values, self._fixed_point.ring_bits, primes)
        return rns.pack(rns.add_mod(prepared.take(packing), message, primes), primes)

    def reply_bytes(self, packing: Packing) -> int:
        """The length of the reply that `decrypt` takes."""
        return sum(self._reply_sizes(packing))

    def _reply_sizes(self, packing: Packing) -> list[int]:
        primes, degree = self._context.primes, self._context.degree
        whole = rns.packed_size(primes, degree)
        return [rns.packed_size(primes, used.size) + whole for used in packing.output_positions]

    def decrypt(self, packing: Packing, reply: bytes | bytearray | memoryview) -> Int64:
        """The client's share of the layer's output, in [0, t), of the layer's output shape.

        ProtocolError on a reply of another length or with values out of range.
        """
        view, primes, degree = memoryview(reply), self._context.primes, self._context.degree
        positions, sizes = packing.output_positions, self._reply_sizes(packing)
        if len(view) != sum(sizes):
            raise ProtocolError(f"the peer's reply has {len(view)} bytes, not {sum(sizes)}")
        second = np.empty((len(positions), len(primes), degree), dtype=np.uint64)
        first, start = [], 0
        for polynomial, used, size in zip(second, positions, sizes, strict=True):
            split = start + rns.packed_size(primes, used.size)
            first.append(rns.unpack(view[start:split], primes, used.size))
            polynomial[:] = rns.unpack(view[split : start + size], primes, degree)
            start += size
        outputs = []
        turned = self._zeros.times_secret(second)
        for used, known, product in zip(positions, first, turned, strict=True):
            phase = rns.add_mod(known, product[:, used], primes)
            outputs.append(rns.rounded_quotients(phase, self._context.ring_bits, primes))
        return packing.unpack_output(outputs)
