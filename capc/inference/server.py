"""The answering party's side of steps 1a and 1b, with one querying party.

It learns nothing: it sees ciphertexts under the querying party's key, and numbers less uniform
masks. Offline it multiplies the encrypted masks of the inputs of linear layers by its weights, so
that each party has a share of these products. Online it gets the masked inputs, and multiplies
them without encryption (Mishra et al., "Delphi", USENIX Security 2020).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from capc.fixed_point import Int64
from capc.graph.layers import Input, Layer, QuantizedNetwork, WeightedLayer
from capc.he.packing import Blocks
from capc.he.parameters import EncryptionParameters
from capc.he.server import (
    HEServer,
    ServerLayer,
    new_key_seed,
    public_key_bytes,
)
from capc.inference.arrangement import arranged
from capc.inference.choice import GARBLED, NonlinearChoice, described
from capc.inference.layout import (
    NonlinearPlan,
    image_bytes,
    instance_words,
    linear_packing,
    nonlinear_plans,
    opening_products,
    split_point,
    taken_once,
)
from capc.inference.link_probe import measure
from capc.inference.nonlinear import AnsweringSide, PreparedLayer
from capc.inference.plan import plan_to_json, public_part
from capc.inference.products import AnsweredProducts
from capc.inference.protocols import functions_of, require_supported
from capc.inference.reference import evaluate_layer
from capc.inference.supply import Supply
from capc.inference.weighing import rate_to_json, weighing_of
from capc.inference.words import receive_words
from capc.transport.channel import Channel
from capc.transport.framing import MessageType
from capc.transport.outgoing_line import OutgoingLine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class PreparedInference:
    """What one batch of queries needs, made before the batch is known; used once.

    `products` has this party's share of each linear layer's product of weights and masks. Online
    `shares` gets its share of every layer's output, and `masked` the inputs of linear layers less
    the querying party's masks. All of them are ring elements (batch, *shape).
    """

    batch_size: int
    products: AnsweredProducts
    plans: Mapping[str, NonlinearPlan]
    nonlinear: Mapping[str, PreparedLayer]
    shares: dict[str, Int64] = field(default_factory=dict)
    masked: dict[str, Int64] = field(default_factory=dict)


class InferenceServer:
    """Evaluates its network on a querying party's encrypted queries, in additive shares."""

    def __init__(
        self,
        channel: Channel,
        network: QuantizedNetwork,
        parameters: EncryptionParameters,
        *,
        allow_insecure: bool = False,
        choice: NonlinearChoice = GARBLED,
    ) -> None:
        """Set-up: tells plan and key seed, receives the key, runs the base oblivious transfers.

        `choice` says how non-linear layers run, and the plan tells what follows from it. Raises
        ModelError and ConfigError, naming the layer, where the network cannot be evaluated under
        these parameters.
        """
        require_supported(network)
        self._channel = channel
        if choice.measured:
            choice = replace(choice, link=measure(channel))
            logger.info("the line to %s: %s", channel.peer, choice.link.described())
        line = choice.link
        channel.line = OutgoingLine(line.rate, line.round_trip, channel.unconfirmed)
        network = arranged(network, choice)
        transfers = choice.transfers(network)
        places = [place for place, layer in enumerate(network.layers) if layer.name in transfers]
        rate = rate_to_json(choice.link)
        channel.send_json(MessageType.PLAN, plan_to_json(public_part(network), places, rate))
        self._supply = Supply.over(choice.link)
        logger.info("%s", described(network, transfers, self._supply))
        self._network = network
        self._ring = network.fixed_point
        self._split = split_point(network)
        self._opening = opening_products(network)
        key_seed = new_key_seed()
        channel.send(MessageType.KEY_SEED, key_seed)
        self._weighing = weighing_of(network, parameters, choice.link)
        merged = self._weighing.merged
        key_bytes = public_key_bytes(parameters, self._ring, merged)
        public_key = channel.recv(MessageType.PUBLIC_KEY, key_bytes)
        self._he = HEServer(
            *(parameters, self._ring, key_seed, public_key),
            merged=merged,
            allow_insecure=allow_insecure,
        )
        self._degree = parameters.poly_modulus_degree
        self._answered: AnsweredProducts | None = None
        self._linear: dict[tuple[str, Blocks], ServerLayer] = {}
        for layer in network.layers:
            if isinstance(layer, WeightedLayer):
                self._server_layer(layer, 1)
                zeros = np.zeros((1, *network.layer(layer.inputs[0]).shape), dtype=np.int64)
                evaluate_layer(network, layer, [zeros])  # its weights become floats, and stay so
        self._functions = functions_of(network, transfers)
        self._nonlinear = AnsweringSide(channel, self._ring, self._functions.values(), self._supply)

    @property
    def image_bytes(self) -> int:
        """Bytes of tables, transfers and shares that are held for one query."""
        return image_bytes(self._network, self._functions)

    def expect(self, batch_size: int) -> None:
        """Set-up: the weights for batches of this size, which else the first of them waits for."""
        self._server_layers(batch_size)

    def prepare(self, batch_size: int) -> PreparedInference:
        """Offline phase for a batch: products of encrypted masks, tables, transfers.

        See InferenceClient.prepare for the order.
        """
        if self._answered is not None:
            self._answered.send_all()  # of a batch that was not evaluated
        self._channel.line.keep_from(math.inf)
        plans = nonlinear_plans(self._network, self._functions, batch_size, self._supply)
        nonlinear = {name: self._nonlinear.draw(plan) for name, plan in plans.items()}
        layers = self._server_layers(batch_size)
        answered = AnsweredProducts(self._channel, self._he, self._ring, layers, batch_size)
        finish = self._nonlinear.begin(nonlinear.values())
        answered.begin()
        finish(answered.go_on)
        answered.finish()
        self._answered = answered
        return PreparedInference(batch_size, answered, plans, nonlinear)

    def evaluate_hidden(self, prepared: PreparedInference) -> None:
        """Step 1a: every layer before the last linear one."""
        for layer in self._network.layers[: self._split]:
            self._evaluate(layer, prepared)

    def evaluate_logits(self, prepared: PreparedInference) -> Int64:
        """Step 1b: the last linear layer. Returns r-hat, (batch, C) uniform ring elements."""
        for layer in self._network.layers[self._split :]:
            self._evaluate(layer, prepared)
        return prepared.shares[self._network.output.name]

    def _server_layers(self, batch_size: int) -> list[ServerLayer]:
        return [
            self._server_layer(layer, batch_size)
            for layer in self._network.layers
            if isinstance(layer, WeightedLayer)
        ]

    def _server_layer(self, layer: WeightedLayer, batch_size: int) -> ServerLayer:
        """The layer's weights, packed for batches of this size; kept for the next one."""
        packing = linear_packing(self._network, layer, self._degree, batch_size, self._weighing)
        key = layer.name, packing.blocks
        if key not in self._linear:
            self._linear[key] = self._he.prepare_layer(
                layer.name, packing, layer.weights, self._network.weight_bits[layer.name]
            )
            logger.info("layer %s, batches of %d: %s", layer.name, batch_size, packing)
        return self._linear[key]

    def _evaluate(self, layer: Layer, prepared: PreparedInference) -> None:
        shares = prepared.shares
        inputs = [shares[name] for name in layer.inputs]
        if isinstance(layer, Input):
            shape = (prepared.batch_size, *layer.shape)
            shares[layer.name] = np.zeros(shape, dtype=np.int64)
        elif isinstance(layer, WeightedLayer):
            shares[layer.name] = self._product(layer, prepared)
        elif layer.name in prepared.nonlinear:
            function = prepared.plans[layer.name].function
            words = instance_words(self._network, layer, function, inputs[0], own=True)
            output = prepared.nonlinear[layer.name].evaluate(words)
            shares[layer.name] = output.reshape(prepared.batch_size, *layer.shape)
        else:
            shares[layer.name] = self._ring.reduce(evaluate_layer(self._network, layer, inputs))

    def _product(self, layer: WeightedLayer, prepared: PreparedInference) -> Int64:
        """Weights times the masked input, and the share of the product with the mask."""
        (name,) = layer.inputs
        mask = taken_once(prepared.products.masks, layer.name)
        prepared.products.send_until(layer.name)
        if self._opening[name] == layer.name:
            share = prepared.shares[name]
            theirs = receive_words(self._channel, MessageType.MASKED_SHARE, self._ring, share.shape)
            prepared.masked[name] = self._ring.reduce(share + theirs)
        product = evaluate_layer(self._network, layer, [prepared.masked[name]])
        return self._ring.reduce(product + mask)
