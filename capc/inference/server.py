"""The answering party's side of steps 1a and 1b, with one querying party.

It learns nothing: it sees ciphertexts under the querying party's key and uniform corrections.
All of its shares are drawn before the query is known, so everything but the products of
ciphertexts and the online messages of the non-linear layers is prepared offline.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from capc.fixed_point import Int64
from capc.graph.layers import Input, QuantizedNetwork, WeightedLayer
from capc.he.packing import Blocks
from capc.he.parameters import EncryptionParameters
from capc.he.server import (
    HEServer,
    PreparedReply,
    ReceivedInputs,
    ServerLayer,
    new_key_seed,
    public_key_bytes,
)
from capc.inference.arrangement import arranged
from capc.inference.choice import GARBLED, NonlinearChoice, described
from capc.inference.layout import (
    GROUPS_AT_ONCE,
    grouped,
    instance_words,
    linear_packing,
    nonlinear_plans,
    split_point,
)
from capc.inference.link_probe import measure
from capc.inference.nonlinear import AnsweringSide, OwnLayer
from capc.inference.plan import plan_to_json, public_part
from capc.inference.protocols import functions_of, require_supported
from capc.inference.reference import evaluate_layer
from capc.inference.supply import Supply
from capc.inference.weighing import rate_to_json, weighing_of
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class PreparedGroup:
    """What one group of images, which share polynomials, needs in one linear layer."""

    inputs: ReceivedInputs
    reply: PreparedReply


@dataclass(frozen=True, eq=False, repr=False)
class PreparedInference:
    """What one batch of queries needs, made before the batch is known; used once.

    `shares` holds this party's share of every layer's output, ring elements (batch, *shape).
    """

    shares: Mapping[str, Int64]
    groups: Mapping[str, Sequence[PreparedGroup]]
    nonlinear: Mapping[str, OwnLayer]


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
        self._linear: dict[tuple[str, Blocks], ServerLayer] = {}
        for layer in network.layers:
            if isinstance(layer, WeightedLayer):
                self._server_layer(layer, 1)
        self._functions = functions_of(network, transfers)
        self._nonlinear = AnsweringSide(channel, self._ring, self._functions.values(), self._supply)

    def prepare(self, batch_size: int) -> PreparedInference:
        """Offline phase for a batch: fresh shares, encryptions of zero, tables, transfers.

        All shares are drawn before anything is sent: see InferenceClient.prepare for the order.
        """
        shares: dict[str, Int64] = {}
        nonlinear: dict[str, OwnLayer] = {}
        plans = nonlinear_plans(self._network, self._functions, batch_size, self._supply)
        for layer in self._network.layers:
            shape = (batch_size, *layer.shape)
            if isinstance(layer, Input):
                shares[layer.name] = np.zeros(shape, dtype=np.int64)
            elif isinstance(layer, WeightedLayer):
                shares[layer.name] = self._ring.uniform(shape)
            elif layer.name in plans:
                plan = plans[layer.name]
                share = shares[layer.inputs[0]]
                words = instance_words(self._network, layer, plan.function, share, own=True)
                nonlinear[layer.name] = self._nonlinear.draw(plan, words)
                shares[layer.name] = nonlinear[layer.name].outputs.reshape(shape)
            else:
                local = evaluate_layer(self._network, layer, [shares[n] for n in layer.inputs])
                shares[layer.name] = self._ring.reduce(local)
        finish = self._nonlinear.begin(nonlinear.values())
        groups = {
            layer.name: self._prepare_groups(layer, shares)
            for layer in self._network.layers
            if isinstance(layer, WeightedLayer)
        }
        finish()
        return PreparedInference(shares, groups, nonlinear)

    def evaluate_hidden(self, prepared: PreparedInference) -> None:
        """Step 1a: every layer before the last linear one."""
        self._evaluate(prepared, 0, self._split)

    def evaluate_logits(self, prepared: PreparedInference) -> Int64:
        """Step 1b: the last linear layer. Returns r-hat, (batch, C) uniform ring elements."""
        self._evaluate(prepared, self._split, len(self._network.layers))
        return prepared.shares[self._network.output.name]

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

    def _prepare_groups(
        self, layer: WeightedLayer, shares: Mapping[str, Int64]
    ) -> list[PreparedGroup]:
        """The querying party gets its product plus W * (this share) + b - (the fresh share)."""
        own = evaluate_layer(self._network, layer, [shares[layer.inputs[0]]])
        additive = self._ring.reduce(own - shares[layer.name])
        linear = self._server_layer(layer, len(additive))
        packing = linear.packing
        # A uniform mask for what fills up the last group, too.
        fill = self._ring.uniform((packing.blocks.images, *layer.shape))
        prepared = []
        for group in grouped(packing, additive, fill):
            reply = self._he.prepare_reply(linear, group)
            length = self._he.offline_bytes(linear)
            message = self._channel.recv(MessageType.PREPARATION, length)
            prepared.append(PreparedGroup(self._he.receive_inputs(linear, message), reply))
        return prepared

    def _evaluate(self, prepared: PreparedInference, start: int, stop: int) -> None:
        for layer in self._network.layers[start:stop]:
            if isinstance(layer, WeightedLayer):
                linear = self._server_layer(layer, len(prepared.shares[layer.name]))
                self._multiply(linear, prepared.groups[layer.name])
            elif layer.name in prepared.nonlinear:
                prepared.nonlinear[layer.name].evaluate()

    def _multiply(self, linear: ServerLayer, groups: Sequence[PreparedGroup]) -> None:
        """All of a chunk is read before its replies go out, so that neither side can block."""
        length = self._he.online_bytes(linear)
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            chunk = groups[start : start + GROUPS_AT_ONCE]
            messages = [self._channel.recv(MessageType.CIPHERTEXT, length) for _ in chunk]
            for message, group in zip(messages, chunk, strict=True):
                product = self._he.evaluate(linear, group.inputs, message, group.reply)
                self._channel.send(MessageType.CIPHERTEXT, product)
