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

from capc.fixed_point import FixedPoint, Int64
from capc.he.client import HEClient
from capc.he.packing import Packing
from capc.he.server import HEServer, ServerLayer
from capc.inference.layout import grouped
from capc.transport.channel import Channel
from capc.transport.framing import MessageType
from capc.transport.pipelining import WINDOW_BYTES

_FIRST_BYTES = 1 << 25  # of masks that go out, and are kept, before any other message
_WINDOW_BYTES = WINDOW_BYTES  # of those that are not answered, from then on
_THREADS = 2


class AskedProducts:
    """The querying party's end: masks (batch, *input shape) by name of the linear layer.

    Both ends set aside what comes while they expect other messages. `begin` and `ask_next` send
    what needs no answer, and `finish` the rest. `take` waits for products that are on their way.
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
        self._found: dict[str, list[Int64]] = {name: [] for name in packings}

    def begin(self, at_once: bool) -> None:
        """Send the first masks: the first alone unless `at_once`."""
        replies = sum(self._keys.reply_bytes(packing) for _, packing, _ in self._to_take)
        self._channel.set_aside(MessageType.CIPHERTEXT, replies)
        self._ask(_FIRST_BYTES if at_once else 1)

    def ask_next(self) -> None:
        """Send one more, if so many may be without an answer."""
        self._ask(min(_FIRST_BYTES, sum(self._requests) + 1))

    def finish(self, all_taken: bool) -> None:
        """Send the other masks; `all_taken` waits for all products, too."""
        self._ask(_WINDOW_BYTES)
        while self._to_ask or (all_taken and self._to_take):
            self._take_next()
            self._ask(_WINDOW_BYTES)

    def take(self, name: str) -> Int64:
        """A layer's share of the product, ring elements (images, *output shape); once.

        `images` are those of the batch, and what fills up the last group.
        """
        while any(name == waiting for waiting, _, _ in self._to_take):
            self._take_next()
        shape = self._packings[name].shape.output_shape
        return np.stack(self._found.pop(name)).reshape(-1, *shape)

    def _ask(self, window_bytes: int) -> None:
        while self._to_ask and sum(self._requests) < window_bytes:
            _, packing, mask = self._to_ask.popleft()
            request = self._keys.encrypt(packing, mask)
            self._channel.send(MessageType.CIPHERTEXT, request)
            self._requests.append(len(request))

    def _take_next(self) -> None:
        name, packing, _ = self._to_take.popleft()
        length = self._keys.reply_bytes(packing)
        reply = self._channel.recv(MessageType.CIPHERTEXT, length)
        self._requests.popleft()
        self._found[name].append(self._keys.decrypt(packing, reply))


class AnsweredProducts:
    """The answering party's end, for so many images.

    `masks` are its shares of the products, fresh and uniform: ring elements (batch, *output shape)
    by name of the linear layer.
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
        self._products: deque[tuple[int, Future[bytes]]] = deque()  # with the size of the request
        self._unanswered = 0
        requests = sum(server.request_bytes(layer) for layer, _ in self._left)
        channel.set_aside(MessageType.CIPHERTEXT, requests)

    def begin(self, at_once: bool) -> None:
        """Receive the first masks, if they come together. Other threads multiply them."""
        if at_once:
            self._receive(_FIRST_BYTES)

    def go_on(self) -> None:
        """Begin products of the masks that have come, and send those that are finished."""
        while self._left and self._channel.has_aside:
            self._receive_next()
        while self._products and self._products[0][1].done():
            self._send_next()

    def finish(self) -> None:
        """Send all products."""
        with self._pool:
            try:
                self._receive(_WINDOW_BYTES)
                while self._products:
                    self._send_next()
                    self._receive(_WINDOW_BYTES)
            finally:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _send_next(self) -> None:
        size, product = self._products.popleft()
        self._channel.send(MessageType.CIPHERTEXT, product.result())
        self._unanswered -= size

    def _receive(self, window_bytes: int) -> None:
        """As many requests as the other end sends before it has more answers."""
        while self._left and self._unanswered < window_bytes:
            self._receive_next()

    def _receive_next(self) -> None:
        layer, mask = self._left.popleft()
        size = self._server.request_bytes(layer)
        request = self._channel.recv(MessageType.CIPHERTEXT, size)
        product = self._pool.submit(self._server.evaluate, layer, request, -mask)
        self._products.append((size, product))
        self._unanswered += size

    def _groups(self) -> Iterator[tuple[ServerLayer, Int64]]:
        """Images that share polynomials; a uniform mask for what fills up the last of them."""
        for layer in self._layers:
            masks, packing = self.masks[layer.name], layer.packing
            padding = self._ring.uniform((packing.blocks.images, *masks.shape[1:]))
            for group in grouped(packing, masks, padding):
                yield layer, group


def _zeros(packing: Packing, values: Int64) -> Int64:
    return np.zeros((packing.blocks.images, *values.shape[1:]), dtype=np.int64)
