"""The two messages of an encrypted product; their lengths follow from what is public.

A request has the seed of all c1 (capc.he.symmetric), then c0 of each input polynomial, all in NTT
form. A reply has, for each output polynomial, c0 at the coefficients with results, then c1, which
is in NTT form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from capc.errors import ProtocolError
from capc.he import rns
from capc.he.context import Context
from capc.he.packing import Packing
from capc.he.rns import UInt64
from capc.he.symmetric import SEED_BYTES


def request_bytes(packing: Packing, context: Context) -> int:
    """The length of a request."""
    return SEED_BYTES + packing.input_polynomials * rns.packed_size(context.primes, context.degree)


def reply_bytes(packing: Packing, context: Context) -> int:
    """The length of a reply."""
    return sum(_reply_sizes(packing, context))


def pack_request(seed: bytes, first: UInt64, context: Context) -> bytes:
    """From the seed and c0 (inputs, primes, degree)."""
    return b"".join([seed, *(rns.pack(polynomial, context.primes) for polynomial in first)])


def unpack_request(
    request: bytes | bytearray | memoryview, packing: Packing, context: Context
) -> tuple[bytes, UInt64]:
    """The inverse of pack_request; ProtocolError on another length or values out of range."""
    count, size = packing.input_polynomials, rns.packed_size(context.primes, context.degree)
    view = _checked(request, request_bytes(packing, context), "encrypted input")
    first = np.empty((count, len(context.primes), context.degree), dtype=np.uint64)
    for k, start in enumerate(range(SEED_BYTES, len(view), size)):
        first[k] = rns.unpack(view[start : start + size], context.primes, context.degree)
    return bytes(view[:SEED_BYTES]), first


def pack_reply(first: Sequence[UInt64], second: UInt64, context: Context) -> bytes:
    """From c0 (primes, results) of each output polynomial, and c1 (outputs, primes, degree)."""
    pairs = zip(first, second, strict=True)
    return b"".join(rns.pack(part, context.primes) for pair in pairs for part in pair)


def unpack_reply(
    reply: bytes | bytearray | memoryview, packing: Packing, context: Context
) -> tuple[list[UInt64], UInt64]:
    """The inverse of pack_reply; ProtocolError on another length or values out of range."""
    view = _checked(reply, reply_bytes(packing, context), "reply")
    primes, degree, positions = context.primes, context.degree, packing.output_positions
    second = np.empty((len(positions), len(primes), degree), dtype=np.uint64)
    first, start = [], 0
    for polynomial, used, size in zip(
        second, positions, _reply_sizes(packing, context), strict=True
    ):
        split = start + rns.packed_size(primes, used.size)
        first.append(rns.unpack(view[start:split], primes, used.size))
        polynomial[:] = rns.unpack(view[split : start + size], primes, degree)
        start += size
    return first, second


def _reply_sizes(packing: Packing, context: Context) -> list[int]:
    whole = rns.packed_size(context.primes, context.degree)
    used = packing.output_positions
    return [rns.packed_size(context.primes, positions.size) + whole for positions in used]


def _checked(message: bytes | bytearray | memoryview, size: int, name: str) -> memoryview:
    if len(message) != size:
        raise ProtocolError(f"the peer's {name} has {len(message)} bytes, not {size}")
    return memoryview(message)
