"""The two sides of the purely homomorphic mode over a channel: plan, keys, one query, one reply.

The client learns the results, in full, and the shapes; the server learns the shapes, the batch
size and the range of the values, nothing else. Nothing is exchanged between query and reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from capc.ckks.context import CkksContext, ckks_context
from capc.ckks.elements import elements, from_elements
from capc.ckks.keys import CkksKeys, ReplyMask, masked_precision_bits, uniform_polynomial
from capc.ckks.network import Watch, evaluate_encrypted, require_polynomial
from capc.ckks.slots import fresh
from capc.ckks.tensor import CipherTensor
from capc.errors import CapcError, ConfigError, ProtocolError
from capc.fixed_point import Float64
from capc.graph.layers import Network, Shape
from capc.he import rns
from capc.he.parameters import EncryptionParameters
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

REFUSED = (
    "the server refuses: it cannot evaluate its network under its parameters on values of this "
    "range; its own log says why"
)
RESULT_BITS = 8.0  # flooding may cost errors up to 2^-8
MAX_PLAN_BYTES = 1 << 16
MAX_ELEMENTS = 1 << 20  # ciphertexts of one tensor

Program = Callable[[Mapping[str, CipherTensor], slice], CipherTensor]
"""A result from inputs by name, for those rows of the batch that lie in the slots."""

ALL_ROWS = slice(None)


@dataclass(frozen=True)
class EncryptedInput:
    """One tensor that the client encrypts: the shape that lies across ciphertexts, and the range.

    Packed, the batch lies in the slots and `shape` is that of one image; else `shape` holds the
    batch axis too.
    """

    shape: Shape
    low: float
    high: float


@dataclass(frozen=True)
class SessionPlan:
    """What both sides must agree on; the server sends it. All of it is public."""

    parameters: str
    inputs: Mapping[str, EncryptedInput]
    batch: int
    is_packed: bool
    is_complex: bool
    output_shape: Shape
    output_primes: int
    output_scale: float
    bits: float  # of precision: -log2 of the largest error to expect

    def chunks(self, slots: int) -> Sequence[int]:
        """How many images travel in each group of ciphertexts."""
        if not self.is_packed:
            return [1]
        most = slots * (2 if self.is_complex else 1)
        return [min(most, self.batch - start) for start in range(0, self.batch, most)]


class HomomorphicServer:
    """Evaluates a program on a client's ciphertexts."""

    def __init__(
        self,
        channel: Channel,
        parameters: EncryptionParameters,
        inputs: Mapping[str, EncryptedInput],
        program: Program,
        *,
        batch: int,
        is_packed: bool = True,
        samples: Mapping[str, Float64] | None = None,
        result_bits: float = RESULT_BITS,
        allow_insecure: bool = False,
    ) -> None:
        """Rehearses the program, sends the plan, receives the client's public keys.

        `samples` are typical inputs (n, *shape) for the precision estimate. ConfigError or
        ModelError where the program does not fit the parameters; the client is told that alone.
        """
        self._channel = channel
        self._program = program
        self._samples = samples or {}
        try:
            parameters.require_secure(allow_insecure)
            self._context = ckks_context(parameters)
            wants_complex = parameters.complex_packing and is_packed
            result, self.is_complex, self.reason = rehearse_program(
                self._context, inputs, program, wants_complex=wants_complex, samples=samples
            )
        except CapcError:
            # The reason would tell of weights, to a client that may try range after range.
            channel.send_json(MessageType.PLAN, {"refused": True})
            raise
        bits = masked_precision_bits(result, result_bits)
        self.plan = SessionPlan(
            parameters.to_json(), inputs, batch, is_packed, self.is_complex,
            result.shape, result.primes, result.scale, bits,
        )  # fmt: skip
        channel.send_json(MessageType.PLAN, asdict(self.plan))
        one, all_keys = _most_key_bytes(parameters)
        public_key = bytes(channel.recv(MessageType.PUBLIC_KEY, one))
        self._mask = ReplyMask(self._context, public_key, result_bits)
        relin = bytes(channel.recv(MessageType.PUBLIC_KEY, all_keys))
        self._relin_keys = _load_relin_keys(self._context, relin)
        self.flood_bits = self._mask.bits(result)

    def answer(self) -> None:
        """One query of `batch` images: receive, evaluate, mask, reply."""
        start = 0
        for size in self.plan.chunks(self._context.slots):
            rows = slice(start, start + size) if self.plan.is_packed else ALL_ROWS
            inputs = {name: self._receive(name, value) for name, value in self.plan.inputs.items()}
            result = self._mask.apply(self._program(inputs, rows).at_last_level())
            start += size
            _send_tensor(self._channel, self._context, elements(result.ciphertexts, self._degree))

    @property
    def _degree(self) -> int:
        return self._context.degree

    def _receive(self, name: str, value: EncryptedInput) -> CipherTensor:
        received = self._fresh_residues(math.prod(value.shape))
        parts = from_elements(self._context, value.shape, received)
        return fresh(
            self._context,
            value.shape,
            (value.low, value.high),
            sample=self._samples.get(name),  # as rehearsed: levels follow from it too
            is_complex=self.is_complex,
            relin_keys=self._relin_keys,
            parts=parts,
        )

    def _fresh_residues(self, count: int) -> Iterator[UInt64]:
        """`count` ciphertexts of the client's, each a seed and its first polynomial."""
        context = self._context
        size = rns.packed_size(context.primes, context.degree)
        for _ in range(count):
            message = self._channel.recv(MessageType.CIPHERTEXT, SEED_BYTES + size)
            view = memoryview(message)
            first = rns.unpack(view[SEED_BYTES:], context.primes, context.degree)
            yield np.stack([first, uniform_polynomial(context, bytes(view[:SEED_BYTES]))])


class HomomorphicClient:
    """Holds the secret key: encrypts queries, decrypts results."""

    def __init__(self, channel: Channel, *, allow_insecure: bool = False) -> None:
        """Receives the plan, makes fresh keys, sends the public ones."""
        self._channel = channel
        self.plan = plan_from_json(channel.recv_json(MessageType.PLAN, MAX_PLAN_BYTES))
        parameters = _parameters(self.plan, channel.peer)
        parameters.require_secure(allow_insecure)
        self._context = ckks_context(parameters)
        if not 1 <= self.plan.output_primes <= len(self._context.primes):
            raise ProtocolError(f"{channel.peer} plans for {self.plan.output_primes} primes")
        self._keys = CkksKeys(self._context)
        channel.send(MessageType.PUBLIC_KEY, self._keys.public_key())
        channel.send(MessageType.PUBLIC_KEY, self._keys.relin_keys())

    def query(self, values: Mapping[str, Float64]) -> Float64:
        """Results (batch, *output) for values (batch, *shape), or (*shape) where not packed.

        ConfigError, before anything is sent, where a value lies outside the plan's range.
        """
        for name, expected in self.plan.inputs.items():
            self._check(name, expected, values)
        results, start = [], 0
        for size in self.plan.chunks(self._context.slots):
            for name in self.plan.inputs:
                self._send(values[name], start, size)
            results.append(self._receive(size))
            start += size
        return np.concatenate(results) if self.plan.is_packed else results[0][0]

    def _check(self, name: str, expected: EncryptedInput, values: Mapping[str, Float64]) -> None:
        shape = (self.plan.batch, *expected.shape) if self.plan.is_packed else expected.shape
        if name not in values or values[name].shape != shape:
            raise ConfigError(f"the server expects a value '{name}' of shape {shape}")
        if np.any(values[name] < expected.low) or np.any(values[name] > expected.high):
            raise ConfigError(
                f"a value of '{name}' lies outside the range [{expected.low}, {expected.high}] "
                "that the server planned for: normalise the data as the model's training did"
            )

    def _send(self, values: Float64, start: int, size: int) -> None:
        if self.plan.is_packed:
            chunk = values[start : start + size]
        else:
            chunk = np.broadcast_to(values, (self._context.slots, *values.shape))
        primes = self._context.primes
        for seed, first in self._keys.encrypt_seeded(chunk, is_complex=self.plan.is_complex):
            self._channel.send(MessageType.CIPHERTEXT, seed + rns.pack(first, primes))

    def _receive(self, size: int) -> Float64:
        plan, context = self.plan, self._context
        count = math.prod(plan.output_shape)
        received = _receive_residues(self._channel, context, count, plan.output_primes)
        tensor = fresh(context, plan.output_shape, (0.0, 0.0), is_complex=plan.is_complex)
        tensor = replace(
            tensor,
            primes=plan.output_primes,
            scale=plan.output_scale,
            parts=from_elements(context, plan.output_shape, received),
        )
        return self._keys.decrypt(tensor, size)


def rehearse_program(
    context: CkksContext,
    inputs: Mapping[str, EncryptedInput],
    program: Program,
    *,
    wants_complex: bool,
    samples: Mapping[str, Float64] | None = None,
) -> tuple[CipherTensor, bool, str]:
    """The result's shape, level and precision; whether two images share a slot; why not.

    Where the program multiplies ciphertexts, complex packing gives way to one image a slot.
    """

    def run(is_complex: bool) -> CipherTensor:
        queries = {
            name: fresh(
                context,
                value.shape,
                (value.low, value.high),
                sample=(samples or {}).get(name),
                is_complex=is_complex,
            )
            for name, value in inputs.items()
        }
        result = program(queries, ALL_ROWS).at_last_level()
        if result.precision_bits < 1:
            raise ConfigError(
                f"results would be off by up to {2.0**-result.precision_bits:.3g}: the scale "
                f"{context.scale:.0f} is too small; use parameters with larger primes and scale"
            )
        return result

    if not wants_complex:
        return run(False), False, ""
    try:
        return run(True), True, ""
    except ConfigError as error:
        return run(False), False, str(error)


def network_program(network: Network, watch: Watch | None = None) -> Program:
    """A network as a program of one input, by its name; ModelError where it is no polynomial."""
    require_polynomial(network)
    return lambda inputs, _rows: evaluate_encrypted(network, inputs[network.input.name], watch)


def plan_from_json(value: dict[str, Any]) -> SessionPlan:
    """Parse a server's plan; ProtocolError where it is not one that a client can follow."""
    if "refused" in value:
        raise ProtocolError(REFUSED)
    try:
        inputs = {
            str(name): EncryptedInput(_shape(entry["shape"]), *_range(entry))
            for name, entry in value["inputs"].items()
        }
        plan = SessionPlan(
            parameters=str(value["parameters"]),
            inputs=inputs,
            batch=int(value["batch"]),
            is_packed=bool(value["is_packed"]),
            is_complex=bool(value["is_complex"]),
            output_shape=_shape(value["output_shape"]),
            output_primes=int(value["output_primes"]),
            output_scale=float(value["output_scale"]),
            bits=float(value["bits"]),
        )
        if not inputs or plan.batch < 1 or not 0 < plan.output_scale < math.inf:
            raise ValueError("it has no inputs, no batch or no scale")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"the peer sent a plan that cannot be followed ({error})") from None
    return plan


def _parameters(plan: SessionPlan, peer: str) -> EncryptionParameters:
    """Those that a server names in its plan; ProtocolError where they are none."""
    try:
        return EncryptionParameters.from_text(plan.parameters)
    except ConfigError as error:
        raise ProtocolError(f"{peer} sent parameters that cannot be used ({error})") from None


def _shape(value: Any) -> Shape:
    shape = tuple(value)
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"{value} is no shape")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a tensor of {math.prod(shape)} ciphertexts is too large")
    return shape


def _range(entry: Mapping[str, Any]) -> tuple[float, float]:
    low, high = float(entry["low"]), float(entry["high"])
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"[{low}, {high}] is no range")
    return low, high


def _most_key_bytes(parameters: EncryptionParameters) -> tuple[int, int]:
    """The most bytes of a public key and of relinearisation keys, as SEAL writes them.

    Two polynomials a key, and such a key for each data prime; compressed, which can also take
    somewhat more than the words themselves.
    """
    primes = len(parameters.coeff_modulus)
    words = 2 * primes * parameters.poly_modulus_degree
    one = 8 * words + words // 16 + 4096
    return one, max(1, primes - 1) * one


def _load_relin_keys(context: CkksContext, data: bytes) -> Any:
    if not context.has_key_switching:
        return None
    try:
        return context.seal.from_relin_str(data)
    except (ValueError, RuntimeError):
        raise ProtocolError("the peer sent relinearisation keys that SEAL refuses") from None


def _send_tensor(channel: Channel, context: CkksContext, residues: Iterator[UInt64]) -> None:
    for one in residues:
        primes = context.primes[: one.shape[1]]
        channel.send(MessageType.CIPHERTEXT, b"".join(rns.pack(part, primes) for part in one))


def _receive_residues(
    channel: Channel, context: CkksContext, count: int, primes: int
) -> Iterator[UInt64]:
    """`count` ciphertexts of two polynomials."""
    held = context.primes[:primes]
    size = rns.packed_size(held, context.degree)
    for _ in range(count):
        view = memoryview(channel.recv(MessageType.CIPHERTEXT, 2 * size))
        halves = (view[:size], view[size:])
        yield np.stack([rns.unpack(half, held, context.degree) for half in halves])
