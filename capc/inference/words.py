"""Ring elements as messages: in as few bytes each as the ring has, little endian."""

from __future__ import annotations

import numpy as np

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

_WORD = np.dtype("<i8")


def word_bytes(ring: FixedPoint) -> int:
    """Bytes of an element."""
    return -(-ring.ring_bits // 8)


def send_words(channel: Channel, message_type: MessageType, ring: FixedPoint, words: Int64) -> None:
    """Ring elements, of any shape."""
    octets = words.astype(_WORD).reshape(-1, 1).view(np.uint8)
    used = np.ascontiguousarray(octets[:, : word_bytes(ring)])  # faster than `tobytes`
    channel.send(message_type, used.data)


def receive_words(
    channel: Channel, message_type: MessageType, ring: FixedPoint, shape: tuple[int, ...]
) -> Int64:
    """Ring elements of a known shape; ProtocolError for any other number of them."""
    count, size = int(np.prod(shape, dtype=np.int64)), word_bytes(ring)
    payload = channel.recv(message_type, count * size)
    if len(payload) != count * size:
        raise ProtocolError(
            f"{channel.peer} sent {len(payload)} bytes where {count * size} are expected"
        )
    octets = np.zeros((count, _WORD.itemsize), dtype=np.uint8)
    octets[:, :size] = np.frombuffer(payload, dtype=np.uint8).reshape(count, size)
    return ring.reduce(octets.view(_WORD).reshape(shape))
