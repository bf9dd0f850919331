"""The querying party: asks every answering party, adds up its shares of the votes, learns labels.

Reads like the steps of the protocol (the paper's Figure 1): 1a private inference, 1b shares of the
logits, 1c shares of the one-hot votes, 2 the sum of the shares, 3 the noisy label. It learns the
label, or that the query was not answered, and nothing else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeVar

import numpy as np

from capc.command_line import run_command
from capc.data.fitting import fitted
from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import VOTE_BITS, FixedPoint, Float64, Int64, modulo
from capc.gc.programs import CircuitProgram
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.layout import queries_at_once
from capc.inference.unencrypted import UnencryptedClient
from capc.parties.config import PartyConfig
from capc.parties.messages import Admission, Batch, ProgramAddress
from capc.parties.queries import load_queries
from capc.parties.runtime import Runtime, StepTimer, run_party
from capc.privacy.voting_rules import VotingRule
from capc.roles import GUARDIAN
from capc.roles import answering as answering_name
from capc.transport.channel import Channel, Traffic, total_traffic

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, repr=False)
class Link:
    """The querying party's end of its session with one answering party."""

    name: str
    channel: Channel
    inference: InferenceClient | UnencryptedClient
    argmax: CircuitProgram
    rule: VotingRule

    def prepare(self, count: int) -> Any:
        """Offline: what the next `count` queries need in steps 1a and 1b."""
        return self.inference.prepare(count)

    def prepare_vote(self, count: int) -> None:
        """Offline: what the next `count` queries need in step 1c."""
        self.argmax.prepare(count * self.rule.ballots)

    def private_inference(self, prepared: Any, images: Float64) -> Mapping[str, Int64]:
        """Step 1a: every layer but the last linear one, on encrypted queries (count, ...)."""
        plan = self.inference.plan
        low, high = plan.input_range
        if images.min() < low or images.max() > high:
            raise ConfigError(
                f"a query lies outside the input range [{low}, {high}] of {self.name}'s model; "
                "normalise the queries as the model's training data"
            )
        images = fitted(images, tuple(plan.input.shape))
        return self.inference.evaluate_hidden(prepared, plan.fixed_point.encode(images))

    def logit_share(self, prepared: Any, hidden: Mapping[str, Int64]) -> Int64:
        """Step 1b: z - r-hat, (count, C) ring elements."""
        return self.inference.evaluate_logits(prepared, hidden)

    def vote_share(self, logit_share: Int64) -> Int64:
        """Step 1c: 2^vote_shift onehot(argmax z) - s-hat modulo 2^32, (count, counts)."""
        ring_bits = self.inference.plan.fixed_point.ring_bits
        shares = self.argmax.evaluate(self.rule.scores(logit_share, ring_bits))
        if shares is None:
            raise ProtocolError(f"the circuit program with {self.name} returned no vote share")
        return self.rule.tallied(shares)


class QueryingParty:
    """The querying party's state in one run."""

    def __init__(
        self,
        runtime: Runtime,
        links: Sequence[Link],
        guardian: Channel,
        noisy_argmax: CircuitProgram,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._runtime = runtime
        self._links = links
        self._guardian = guardian
        self._noisy_argmax = noisy_argmax
        self._pool = pool
        self._rule = runtime.config.rule
        channels = [link.channel for link in links]
        argmaxes = [link.argmax for link in links]
        self._timed = StepTimer(
            runtime,
            {"1a": channels, "1b": channels, "1c": argmaxes, "2": channels, "3": [noisy_argmax]},
        )

    def ask(self, images: Float64) -> None:
        """All queries (n, ...), batch by batch, until they or the privacy budget end."""
        size = self._images_at_once()
        for first in range(0, len(images), size):
            if self._runtime.control.stopping():
                logger.warning("stopped: queries from %d on are not asked", first)
                break
            wanted = Batch(first, min(size, len(images) - first))
            admission = self._ask_for_admission(wanted)
            if admission.admitted:
                batch = Batch(first, admission.admitted)
                self._label(batch, images[first : first + batch.count])
            if admission.admitted < wanted.count:
                logger.warning("the guardian answers no more queries: %s", admission.reason)
                break
        for channel in (self._guardian, *(link.channel for link in self._links)):
            Batch.send_end(channel)

    def _images_at_once(self) -> int:
        """The batch size, or less where what is prepared for it would take too much memory."""
        wanted = self._runtime.config.batch_size
        stored = sum(link.inference.image_bytes for link in self._links)
        size = queries_at_once(wanted, stored)
        if size < wanted:
            logger.info("batches of %d queries run as %d at a time", wanted, size)
        return size

    def _ask_for_admission(self, batch: Batch) -> Admission:
        batch.send(self._guardian)
        return Admission.receive(self._guardian, batch.count)

    def _label(self, batch: Batch, images: Float64) -> None:
        """Steps 1 to 3 for one batch of queries."""
        prepared = self._prepare(batch)
        with self._timed(batch, "1a", "online"):
            hidden = self._on_all(Link.private_inference, prepared, [images] * len(self._links))
        with self._timed(batch, "1b", "online"):
            logit_shares = self._on_all(Link.logit_share, prepared, hidden)
        with self._timed(batch, "1c", "online"):
            vote_shares = self._on_all(Link.vote_share, logit_shares)
        with self._timed(batch, "2", "online"):
            vote_share = modulo(VOTE_BITS, reduce(np.add, vote_shares))
        with self._timed(batch, "3", "online"):
            outputs = self._noisy_argmax.evaluate(self._rule.decided(vote_share))
        self._report(batch, outputs)
        if self._runtime.config.verify:
            self._reveal_shares(batch, logit_shares, vote_shares)

    def _prepare(self, batch: Batch) -> list[Any]:
        """Offline: whatever does not depend on the queries."""
        for link in self._links:
            batch.send(link.channel)
        with self._timed(batch, "1a", "offline"):
            prepared = self._on_all(Link.prepare, [batch.count] * len(self._links))
        with self._timed(batch, "1c", "offline"):
            self._on_all(Link.prepare_vote, [batch.count] * len(self._links))
        with self._timed(batch, "3", "offline"):
            self._noisy_argmax.prepare(batch.count * self._rule.decisions)
        return prepared

    def _report(self, batch: Batch, outputs: Int64 | None) -> None:
        """The label of each query, or that it was not answered, to the driver."""
        if outputs is None:
            raise ProtocolError("the circuit program with the guardian returned no label")
        for offset, row in enumerate(outputs.reshape(batch.count, -1)):
            label, answered = read_label(row, self._runtime.config)
            self._runtime.control.answer(batch.first + offset, answered, label)

    def _reveal_shares(
        self, batch: Batch, logit_shares: Sequence[Int64], vote_shares: Sequence[Int64]
    ) -> None:
        """Under --verify: all shares go to the driver, which compares them."""
        control = self._runtime.control
        for link, logits, votes in zip(self._links, logit_shares, vote_shares, strict=True):
            for offset in range(batch.count):
                query = batch.first + offset
                control.opened(query, "logit_share", logits[offset].tolist(), link.name)
                control.opened(query, "vote_share", votes[offset].tolist(), link.name)

    def _on_all(self, work: Callable[..., Result], *arguments: Sequence[Any]) -> list[Result]:
        """One piece of work with every answering party at once."""
        return list(self._pool.map(work, self._links, *arguments))


def read_label(output: Int64, config: PartyConfig) -> tuple[int | None, bool]:
    """Label and `answered` from the words that step 3 opens to the querying party."""
    if not config.with_threshold:
        return config.rule.label(output.tolist()), True
    answered = bool(output[0])
    return (int(output[1]) if answered else None), answered


def take_part(runtime: Runtime) -> None:
    """One run, from the first connection to the last query."""
    config = runtime.config
    images = load_queries(config)
    with ExitStack() as resources, runtime.failures():
        pool = resources.enter_context(ThreadPoolExecutor(max_workers=config.n_parties))
        meeting = runtime.meeting
        runtime.control.announce(config.address, None, meeting.identity.certificate)
        peers = runtime.control.wait_for_peers(config.timeout_seconds)
        guardian = resources.enter_context(meeting.connect(peers[GUARDIAN]))
        answering = [peers[answering_name(index)] for index in range(config.n_parties)]
        channels = [
            resources.enter_context(channel) for channel in pool.map(meeting.connect, answering)
        ]

        def traffic() -> Traffic:
            return total_traffic(channels)

        with runtime.timed(None, "1a", "setup", traffic):
            start = inference_starter(config)
            inferences = list(pool.map(start, channels))
            for channel, inference in zip(channels, inferences, strict=True):
                require_agreed_ring(config, channel.peer, inference.plan.fixed_point)
        with runtime.timed(None, "1c", "setup", traffic):
            links = [
                Link(
                    channel.peer,
                    channel,
                    inference,
                    resources.enter_context(
                        join_program(
                            *(config, "argmax_1", channel, meeting.program_host(peer)),
                            inference.plan.fixed_point.ring_bits,
                        )
                    ),
                    config.rule,
                )
                for peer, channel, inference in zip(answering, channels, inferences, strict=True)
            ]
            for link in links:
                link.argmax.wait_until_ready()
        with runtime.timed(None, "3", "setup", lambda: guardian.traffic):
            noisy_argmax = resources.enter_context(
                join_program(
                    *(config, "sum_histogram", guardian, meeting.program_host(peers[GUARDIAN])),
                    VOTE_BITS,
                )
            )
            noisy_argmax.wait_until_ready()
        runtime.control.ready()
        QueryingParty(runtime, links, guardian, noisy_argmax, pool).ask(images)
        list(pool.map(lambda link: link.argmax.close(), links))


def require_agreed_ring(config: PartyConfig, peer: str, ring: FixedPoint) -> None:
    """ProtocolError where the parties agreed on a ring, and this peer's plan has another."""
    if config.ring is not None and ring != config.ring:
        raise ProtocolError(
            f"{peer}'s plan has a ring of {ring.ring_bits} bits with {ring.fraction_bits} "
            f"fractional bits; agreed are {config.ring.ring_bits} and {config.ring.fraction_bits}"
        )


def inference_starter(
    config: PartyConfig,
) -> Callable[[Channel], InferenceClient | UnencryptedClient]:
    """Set-up of steps 1a and 1b with one answering party; all share this run's fresh keys."""
    if config.unencrypted:
        logger.warning("no encryption: every answering party sees every query")
        return UnencryptedClient
    keys = KeyRing(config.encryption_parameters, allow_insecure=config.insecure)
    return lambda channel: InferenceClient(channel, keys, config.nonlinear)


def join_program(
    config: PartyConfig,
    name: Literal["argmax_1", "sum_histogram"],
    channel: Channel,
    host: str,
    ring_bits: int,
) -> CircuitProgram:
    """The evaluator's end of a circuit program whose port and key come over `channel`."""
    address = ProgramAddress.receive(channel)
    program = CircuitProgram.evaluator(
        name,
        port=address.port,
        key=address.key,
        host=host,
        ring_bits=ring_bits,
        classes=config.rule.candidates if name == "argmax_1" else config.rule.options,
        vote_bits=VOTE_BITS,
        vote_shift=config.vote_shift if name == "argmax_1" else 0,
        with_threshold=config.with_threshold and name == "sum_histogram",
        backend=config.gc_backend,
        timeout_seconds=config.timeout_seconds,
    )
    program.peer = channel.peer
    return program


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit status."""
    return run_party("querying", "The querying party of one run (every step).", take_part, argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
