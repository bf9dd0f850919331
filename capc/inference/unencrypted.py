"""Steps 1a and 1b without encryption (--cpu): the answering party sees the query.

The same surface as InferenceServer and InferenceClient, for the paper's "no encryption" rows and
for finding faults. The logits are still shared, so the rest of the protocol is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capc.fixed_point import Int64
from capc.graph.layers import QuantizedNetwork
from capc.inference.plan import (
    MAX_PLAN_BYTES,
    check_plan,
    plan_from_json,
    plan_to_json,
    public_part,
)
from capc.inference.reference import evaluate_layers
from capc.inference.words import receive_words, send_words
from capc.transport.channel import Channel
from capc.transport.framing import MessageType


@dataclass(eq=False, repr=False)
class UnencryptedBatch:
    """One batch at the answering party: its shares, and the logits once they are known."""

    mask: Int64
    logits: Int64 | None = None


class UnencryptedServer:
    """The answering party: evaluates its network on queries in the clear."""

    def __init__(self, channel: Channel, network: QuantizedNetwork) -> None:
        self._channel = channel
        self._network = network
        channel.send_json(MessageType.PLAN, plan_to_json(public_part(network)))

    def prepare(self, batch_size: int) -> UnencryptedBatch:
        """Offline: r-hat for a batch, fresh and uniform."""
        shape = (batch_size, *self._network.output.shape)
        return UnencryptedBatch(self._network.fixed_point.uniform(shape))

    def evaluate_hidden(self, prepared: UnencryptedBatch) -> None:
        """Step 1a: receive the queries and evaluate the network on them."""
        shape = (len(prepared.mask), *self._network.input.shape)
        images = receive_words(
            self._channel, MessageType.UNENCRYPTED_QUERY, self._network.fixed_point, shape
        )
        signed = self._network.fixed_point.signed(images)
        prepared.logits = evaluate_layers(self._network, signed)[self._network.output.name]

    def evaluate_logits(self, prepared: UnencryptedBatch) -> Int64:
        """Step 1b: send the querying party's share. Returns r-hat, (batch, C)."""
        if prepared.logits is None:
            raise ValueError("step 1b comes after step 1a")
        ring = self._network.fixed_point
        share = ring.reduce(prepared.logits - prepared.mask)
        send_words(self._channel, MessageType.LOGIT_SHARE, ring, share)
        return prepared.mask


class UnencryptedClient:
    """The querying party: shows its queries."""

    image_bytes = 0  # held for a query between the two phases

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.plan = plan_from_json(channel.recv_json(MessageType.PLAN, MAX_PLAN_BYTES))
        check_plan(self.plan)

    def prepare(self, batch_size: int) -> int:
        """Offline: nothing but the number of queries to come."""
        return batch_size

    def evaluate_hidden(self, prepared: int, images: Int64) -> Mapping[str, Int64]:
        """Step 1a: ring elements (batch, *input shape) go out in the clear."""
        if len(images) != prepared:
            raise ValueError(f"{len(images)} queries where {prepared} were prepared")
        send_words(self._channel, MessageType.UNENCRYPTED_QUERY, self.plan.fixed_point, images)
        return {}

    def evaluate_logits(self, prepared: int, hidden: Mapping[str, Int64]) -> Int64:
        """Step 1b: this party's share of the logits, (batch, C) ring elements."""
        shape = (prepared, *self.plan.output.shape)
        return receive_words(self._channel, MessageType.LOGIT_SHARE, self.plan.fixed_point, shape)
