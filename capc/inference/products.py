"""Offline, of each linear layer: the products of its weights and of encrypted masks, in shares.

The querying party encrypts masks, which it will take off the inputs. The answering party multiplies
them by its weights, takes off masks of its own, and sends the results back. Both begin with all
that needs no answer, so that other messages of the phase share the round trip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.he.client import HEClient
from capc.he.packing import Packing
from capc.he.server import HEServer, ServerLayer
from capc.inference.layout import grouped
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

_WINDOW_BYTES = 1 << 25  # of masks that are not answered, but for a single one
_PIECE_BYTES = 1 << 15  # of a product, over a line: other messages go between two pieces
_THREADS = 2


class AskedProducts:
    """The querying party's end: masks (batch, *input shape) by name of the linear layer.

    Both ends set aside what comes while they expect other messages. `begin` sends what needs no
    answer, `go_on` one more where the line is free, and `finish` the rest. `take` waits for
    products that are on their way.
    """

    def __init__(
        self,
        channel: Channel,
        keys: HEClient,
        packings: Mapping[str, Packing],
        masks: Mapping[str, Int64],
    ) -> None:
        self._channel, self._keys, self._packings = channel, keys, packings
        groups = [
            (name, packing, group)
            for name, packing in packings.items()
            for group in grouped(packing, masks[name], _zeros(packing, masks[name]))
        ]
        self._to_ask, self._to_take = deque(groups), deque(groups)
        self._requests: deque[int] = deque()  # sizes of those that are not answered
        self._reply = bytearray()  # what has come of the next one
        self._found: dict[str, list[Int64]] = {name: [] for name in packings}

    def begin(self, at_once: bool) -> None:
        """Send the first masks: the first alone unless `at_once`.

        Over a line others follow while `recv` waits. Within a machine waits are too short for that.
        """
        replies = sum(self._keys.reply_bytes(packing) for _, packing, _ in self._to_take)
        self._channel.set_aside(MessageType.CIPHERTEXT, replies)
        if at_once:
            while self._may_ask():
                self._ask_next()
            return
        self._ask_next()
        if self._channel.line.is_known:
            self._channel.while_waiting(self.go_on)

    def go_on(self) -> bool:
        """Take what has come, and send one more mask where the line is free.

        Whether there are more to be sent.
        """
        self._channel.take_in()
        while self._channel.has_aside:
            self._collect()
        if self._may_ask() and self._channel.line.has_room(0):
            self._ask_next()
        return bool(self._to_ask)

    def finish(self) -> None:
        """Send the other masks, and within a machine take all products, too."""
        self._channel.while_waiting(None)
        while self._to_ask:
            if self._may_ask():
                self._ask_next()
            else:
                self._collect()
        if not self._channel.line.is_known:
            self.take_all()

    def take_all(self) -> None:
        """Wait for all products."""
        while self._to_take:
            self._collect()

    def take(self, name: str) -> Int64:
        """A layer's share of the product, ring elements (images, *output shape); once.

        `images` are those of the batch, and what fills up the last group.
        """
        while any(name == waiting for waiting, _, _ in self._to_take):
            self._collect()
        shape = self._packings[name].shape.output_shape
        return np.stack(self._found.pop(name)).reshape(-1, *shape)

    def _may_ask(self) -> bool:
        """Whether there is a next mask, and the window is not full."""
        return bool(self._to_ask) and sum(self._requests) < _WINDOW_BYTES

    def _ask_next(self) -> None:
        _, packing, mask = self._to_ask.popleft()
        request = self._keys.encrypt(packing, mask)
        self._channel.send(MessageType.CIPHERTEXT, request)
        self._requests.append(len(request))

    def _collect(self) -> None:
        """One piece of a product, and the product itself with the last one."""
        name, packing, _ = self._to_take[0]
        length = self._keys.reply_bytes(packing)
        expected = min(_piece_bytes(self._channel, length), length - len(self._reply))
        piece = self._channel.recv(MessageType.CIPHERTEXT, expected)
        if len(piece) != expected:
            raise ProtocolError(
                f"{self._channel.peer} sent {len(piece)} bytes of a product of layer '{name}' "
                f"where {expected} are expected"
            )
        self._reply += piece
        if len(self._reply) < length:
            return
        self._to_take.popleft()
        self._requests.popleft()
        self._found[name].append(self._keys.decrypt(packing, self._reply))
        self._reply = bytearray()


class AnsweredProducts:
    """The answering party's end, for so many images.

    `masks` are its shares of the products, fresh and uniform: ring elements (batch, *output shape)
    by name of the linear layer. Products go out in order, in pieces, where the line is free.
    """

    def __init__(
        self,
        channel: Channel,
        server: HEServer,
        ring: FixedPoint,
        layers: Sequence[ServerLayer],
        batch_size: int,
    ) -> None:
        self._channel, self._server, self._ring, self._layers = channel, server, ring, layers
        self.masks = {
            layer.name: ring.uniform((batch_size, *layer.packing.shape.output_shape))
            for layer in layers
        }
        self._left = deque(self._groups())
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="products")
        self._products: deque[tuple[str, Future[bytes]]] = deque()
        self._pieces: deque[memoryview] = deque()  # of the first of them
        requests = sum(server.request_bytes(layer) for layer, _ in self._left)
        channel.set_aside(MessageType.CIPHERTEXT, requests)

    def begin(self) -> None:
        """From here on, over a line, receive masks while `recv` waits. Other threads multiply."""
        if self._channel.line.is_known:
            self._channel.while_waiting(self.go_on)

    def go_on(self) -> bool:
        """Begin products of the masks that have come, and send what is finished and has room.

        Whether there is more to do, now or later.
        """
        self._channel.take_in()
        while self._left and self._channel.has_aside:
            self._receive_next()
        return self._send_ready() or bool(self._left)

    def finish(self) -> None:
        """Receive all masks, and within a machine send all products, too.

        Over a line those that are left go out while the online phase waits, or with `send_until`.
        """
        self._channel.while_waiting(self._send_ready)
        try:
            while self._left:
                self._receive_next()
            if not self._channel.line.is_known:
                self.send_all()
        except BaseException:
            self._pool.shutdown(wait=False, cancel_futures=True)
            raise
        self._pool.shutdown(wait=False)

    def send_until(self, name: str) -> None:
        """All products as far as those of this layer, whether the line is free or not."""
        while any(name == waiting for waiting, _ in self._products):
            self._send_first()

    def send_all(self) -> None:
        """All that are left."""
        while self._products:
            self._send_first()

    def _send_ready(self) -> bool:
        """What is finished, as far as the line has room for it. Whether there is more."""
        while (piece := self._next_piece()) and self._channel.line.has_room(len(piece)):
            self._send_piece()
        return bool(self._products)

    def _send_first(self) -> None:
        """The first product, or what is left of it, once it is finished."""
        self._products[0][1].result()
        first = self._products[0]
        while self._products and self._products[0] is first:
            self._next_piece()
            self._send_piece()

    def _next_piece(self) -> memoryview | None:
        """Of a product that is finished."""
        if not self._pieces and self._products and self._products[0][1].done():
            reply = memoryview(self._products[0][1].result())
            size = _piece_bytes(self._channel, len(reply))
            self._pieces.extend(reply[at : at + size] for at in range(0, len(reply), size))
        return self._pieces[0] if self._pieces else None

    def _send_piece(self) -> None:
        self._channel.send(MessageType.CIPHERTEXT, self._pieces.popleft())
        if not self._pieces:
            self._products.popleft()

    def _receive_next(self) -> None:
        layer, mask = self._left.popleft()
        request = self._channel.recv(MessageType.CIPHERTEXT, self._server.request_bytes(layer))
        product = self._pool.submit(self._server.evaluate, layer, request, -mask)
        self._products.append((layer.name, product))

    def _groups(self) -> Iterator[tuple[ServerLayer, Int64]]:
        """Images that share polynomials; a uniform mask for what fills up the last of them."""
        for layer in self._layers:
            masks, packing = self.masks[layer.name], layer.packing
            padding = self._ring.uniform((packing.blocks.images, *masks.shape[1:]))
            for group in grouped(packing, masks, padding):
                yield layer, group


def _piece_bytes(channel: Channel, length: int) -> int:
    """Of a product of so many bytes; alike at both ends, which know the same rate."""
    return _PIECE_BYTES if channel.line.is_known else length


def _zeros(packing: Packing, values: Int64) -> Int64:
    return np.zeros((packing.blocks.images, *values.shape[1:]), dtype=np.int64)
