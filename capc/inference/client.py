"""The querying party's side of steps 1a and 1b, with one answering party.

It learns its share of the logits, a uniform vector, and the shape of the network. Offline it sends
an encryption of a fresh mask for each input of a linear layer, and gets its share of the product;
online that input less the mask. So its shares of products are known before the query.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from capc.errors import CapcError, ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.graph.layers import Input, Layer, WeightedLayer
from capc.he.client import HEClient
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.symmetric import SEED_BYTES
from capc.inference.choice import NonlinearChoice, described
from capc.inference.layout import (
    NonlinearPlan,
    image_bytes,
    instance_words,
    linear_packing,
    nonlinear_plans,
    nonlinear_row,
    opening_products,
    sent_at_once,
    split_point,
    taken_once,
)
from capc.inference.link_probe import answer
from capc.inference.nonlinear import PreparedLayer, QueryingSide
from capc.inference.plan import (
    MAX_PLAN_BYTES,
    check_plan,
    plan_from_json,
    transfers_from_json,
)
from capc.inference.products import AskedProducts
from capc.inference.protocols import Nonlinear, functions_of, require_supported
from capc.inference.reference import evaluate_layer
from capc.inference.supply import Supply
from capc.inference.weighing import link_from_json, weighing_of
from capc.inference.words import send_words
from capc.transport.channel import Channel
from capc.transport.framing import MessageType
from capc.transport.outgoing_line import OutgoingLine

logger = logging.getLogger(__name__)


class KeyRing:
    """The querying party's keys of one run: one fresh secret per ring, made when first asked."""

    def __init__(self, parameters: EncryptionParameters, *, allow_insecure: bool = False) -> None:
        parameters.require_secure(allow_insecure)
        self.parameters = parameters
        self._allow_insecure = allow_insecure
        self._clients: dict[int, HEClient] = {}
        self._lock = threading.Lock()

    def client(self, ring: FixedPoint) -> HEClient:
        """The keys for a ring."""
        with self._lock:
            if ring.ring_bits not in self._clients:
                self._clients[ring.ring_bits] = HEClient(
                    self.parameters, ring, allow_insecure=self._allow_insecure
                )
            return self._clients[ring.ring_bits]


@dataclass(frozen=True, eq=False, repr=False)
class PreparedQuery:
    """What one batch of queries needs, made before the batch is known; used once.

    `masks` are those of the inputs of linear layers, by the layer that the input comes from: ring
    elements (batch, *shape). `products` has this party's shares of the linear layers' outputs.
    """

    batch_size: int
    masks: dict[str, Int64]
    products: AskedProducts
    plans: Mapping[str, NonlinearPlan]
    nonlinear: Mapping[str, PreparedLayer]


class InferenceClient:
    """Has an answering party's network evaluated on encrypted queries, in additive shares."""

    def __init__(
        self, channel: Channel, keys: KeyRing, choice: NonlinearChoice | None = None
    ) -> None:
        """Set-up: receives plan and key seed, sends the key, runs the base oblivious transfers.

        `choice` is what was agreed on for non-linear layers: ProtocolError where the plan tells
        another. None takes either way, and so does a choice by a line that the peer measures.
        """
        self._channel = channel
        if choice is not None and choice.measured:
            answer(channel)
        said = channel.recv_json(MessageType.PLAN, MAX_PLAN_BYTES)
        self.plan = plan_from_json(said)
        check_plan(self.plan)
        transfers, link = transfers_from_json(said, self.plan), link_from_json(said)
        self._degree = keys.parameters.poly_modulus_degree
        try:
            require_supported(self.plan)
            self._split = split_point(self.plan)
            self._opening = opening_products(self.plan)
            self._weighing = weighing_of(self.plan, keys.parameters, link)
            self._packings: dict[tuple[str, int], Packing] = {}
            for layer in self.plan.layers:
                if isinstance(layer, WeightedLayer):
                    self._packing(layer, 1)
            self._functions: dict[str, Nonlinear] = functions_of(self.plan, transfers)
            agreed, rate = transfers, link.rate
            if choice is not None and not choice.is_the_peers:
                agreed = choice.transfers(self.plan)
            if choice is not None and not choice.measured:
                rate = choice.link.rate
        except (CapcError, ArithmeticError, TypeError, ValueError) as error:
            raise ProtocolError(f"{channel.peer}'s plan cannot be followed ({error})") from None
        if transfers != agreed:
            raise ProtocolError(
                f"{channel.peer} would run other layers by transfers than was agreed on "
                f"(--nonlinear): {', '.join(sorted(transfers ^ agreed))}"
            )
        if link.rate != rate:
            raise ProtocolError(f"{channel.peer} takes another line than was agreed on (--link)")
        self._supply = Supply.over(link)
        channel.line = OutgoingLine(link.rate)
        logger.info("%s: %s", channel.peer, described(self.plan, transfers, self._supply))
        self._ring = self.plan.fixed_point
        self._he = keys.client(self._ring)
        key_seed = channel.recv(MessageType.KEY_SEED, SEED_BYTES)
        channel.send(MessageType.PUBLIC_KEY, self._he.public_key(key_seed, self._weighing.merged))
        self._asked: AskedProducts | None = None
        self._nonlinear = QueryingSide(channel, self._functions.values(), self._supply)

    @property
    def image_bytes(self) -> int:
        """Bytes of tables, transfers and shares that are held for one query."""
        return image_bytes(self.plan, self._functions)

    def prepare(self, batch_size: int) -> PreparedQuery:
        """Offline phase for a batch: products of encrypted masks, transfers, garbled tables.

        What needs no answer goes out first, of each kind. So both parties compute at the same time,
        and the line is waited for once or twice. While a stock is filled, masks go out and products
        come in, one by one. Over a line, those of later layers may be on their way at the end.
        """
        if self._asked is not None:
            self._asked.take_all()  # of a batch that was not evaluated
        plans = nonlinear_plans(self.plan, self._functions, batch_size, self._supply)
        nonlinear = {name: self._nonlinear.layer(plan) for name, plan in plans.items()}
        masks = {
            name: self._ring.uniform((batch_size, *self.plan.layer(name).shape))
            for name in self._opening
        }
        weighted = [layer for layer in self.plan.layers if isinstance(layer, WeightedLayer)]
        asked = AskedProducts(
            self._channel,
            self._he,
            {layer.name: self._packing(layer, batch_size) for layer in weighted},
            {layer.name: masks[layer.inputs[0]] for layer in weighted},
        )
        finish = self._nonlinear.begin(nonlinear.values())
        asked.begin(at_once=sent_at_once(plans))
        finish(asked.go_on)
        asked.finish()
        self._asked = asked
        return PreparedQuery(batch_size, masks, asked, plans, nonlinear)

    def evaluate_hidden(self, prepared: PreparedQuery, images: Int64) -> Mapping[str, Int64]:
        """Step 1a: ring elements (batch, *input shape) through every layer but the last linear.

        Returns this party's share of each layer's output.
        """
        shape = (prepared.batch_size, *self.plan.input.shape)
        if images.shape != shape:
            raise ProtocolError(
                f"the queries have shape {images.shape}, {self._channel.peer}'s model takes {shape}"
            )
        shares: dict[str, Int64] = {}
        for layer in self.plan.layers[: self._split]:
            if isinstance(layer, Input):
                shares[layer.name] = self._ring.reduce(images)
            else:
                self._evaluate_layer(layer, prepared, shares)
        return shares

    def evaluate_logits(self, prepared: PreparedQuery, hidden: Mapping[str, Int64]) -> Int64:
        """Step 1b: this party's share z - r-hat of the logits, (batch, C) ring elements."""
        shares = dict(hidden)
        for layer in self.plan.layers[self._split :]:
            self._evaluate_layer(layer, prepared, shares)
        return shares[self.plan.output.name]

    def _evaluate_layer(
        self, layer: Layer, prepared: PreparedQuery, shares: dict[str, Int64]
    ) -> None:
        if layer.name in shares:
            return  # it was evaluated in the row of a layer before it
        inputs = [shares[name] for name in layer.inputs]
        if isinstance(layer, WeightedLayer):
            (name,) = layer.inputs
            if self._opening[name] == layer.name:
                masked = self._ring.reduce(inputs[0] - taken_once(prepared.masks, name))
                send_words(self._channel, MessageType.MASKED_SHARE, self._ring, masked)
            shares[layer.name] = prepared.products.take(layer.name)[: prepared.batch_size]
        elif layer.name in prepared.nonlinear:
            self._evaluate_row(nonlinear_row(self.plan, self._functions, layer), prepared, shares)
        else:
            shares[layer.name] = self._ring.reduce(evaluate_layer(self.plan, layer, inputs))

    def _evaluate_row(
        self, row: Sequence[Layer], prepared: PreparedQuery, shares: dict[str, Int64]
    ) -> None:
        """Non-linear layers one after the other: each takes the outputs of the one before alone."""

        def arrange(layer: Layer, outputs: Int64) -> Int64:
            shape = self.plan.layer(layer.inputs[0]).shape
            share = outputs.reshape(prepared.batch_size, *shape)
            function = prepared.plans[layer.name].function
            return instance_words(self.plan, layer, function, share, own=False)

        steps = [(prepared.nonlinear[layer.name], partial(arrange, layer)) for layer in row]
        words = arrange(row[0], shares[row[0].inputs[0]])
        for layer, output in zip(row, self._nonlinear.evaluate_row(steps, words), strict=True):
            shares[layer.name] = output.reshape(prepared.batch_size, *layer.shape)

    def _packing(self, layer: WeightedLayer, batch_size: int) -> Packing:
        key = layer.name, batch_size
        if key not in self._packings:
            self._packings[key] = linear_packing(
                self.plan, layer, self._degree, batch_size, self._weighing
            )
        return self._packings[key]
