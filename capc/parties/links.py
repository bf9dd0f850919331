"""The querying party's sessions with the answering parties: steps 1a to 1c with each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from capc.data.fitting import fitted
from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import VOTE_BITS, FixedPoint, Float64, Int64
from capc.gc.programs import CircuitProgram
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.unencrypted import UnencryptedClient
from capc.parties.config import PartyConfig
from capc.parties.messages import ProgramAddress
from capc.parties.voters import require_enough
from capc.privacy.voting_rules import VotingRule
from capc.transport.channel import Channel

logger = logging.getLogger(__name__)

Inference: TypeAlias = InferenceClient | UnencryptedClient
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, repr=False)
class Link:
    """The querying party's end of its session with one answering party."""

    channel: Channel
    inference: Inference
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

    @property
    def party(self) -> str:
        """The answering party's name."""
        return self.channel.party

    @property
    def name(self) -> str:
        """What errors call it: where it is, too."""
        return self.channel.peer

    def vote_share(self, logit_share: Int64) -> Int64:
        """Step 1c: 2^vote_shift onehot(argmax z) - s-hat modulo 2^32, (count, counts)."""
        ring_bits = self.inference.plan.fixed_point.ring_bits
        shares = self.argmax.evaluate(self.rule.scores(logit_share, ring_bits))
        if shares is None:
            raise ProtocolError(f"the circuit program with {self.name} returned no vote share")
        return self.rule.tallied(shares)

    def abandon(self) -> None:
        """End the session at once, whatever the other end is doing."""
        self.argmax.abandon()
        self.channel.close()


class Links:
    """The sessions with all answering parties that take part, by name.

    Where a query can do without some (`config.may_lose_parties`), one that fails is left out:
    `left_out` is told which, and why. Elsewhere its error ends the run.
    """

    def __init__(
        self,
        links: Sequence[Link],
        pool: ThreadPoolExecutor,
        config: PartyConfig,
        left_out: Callable[[str, str], None],
    ) -> None:
        self._links: dict[str, Link] = {}
        self._pool = pool
        self._config = config
        self._left_out = left_out
        self._reason = ""
        self.channels: list[Channel] = []
        self.programs: list[CircuitProgram] = []
        for link in links:
            self.add(link)

    @property
    def image_bytes(self) -> int:
        """What is kept in memory for one query that is prepared."""
        return sum(link.inference.image_bytes for link in self._links.values())

    def add(self, link: Link) -> None:
        """One more takes part. `channels` and `programs` keep all there ever were, to count."""
        if self._config.may_lose_parties:
            link.channel.wait_at_most(self._config.patience_seconds)
        self._links[link.party] = link
        self.channels.append(link.channel)
        self.programs.append(link.argmax)

    def each(self, work: Callable[[Link], Result]) -> dict[str, Result]:
        """One piece of work with every answering party at once: what it gives, by name."""
        futures = {name: self._pool.submit(work, link) for name, link in self._links.items()}
        if not self._config.may_lose_parties:
            return {name: future.result() for name, future in futures.items()}
        done: dict[str, Result] = {}
        for name, future in futures.items():
            try:
                done[name] = future.result()
            except ProtocolError as error:
                self._leave_out(name, str(error))
        return done

    def keep(self, names: Collection[str], reason: str) -> None:
        """Go on with these alone."""
        for name in set(self._links) - set(names):
            self._leave_out(name, reason)

    def require_enough(self) -> None:
        """ProtocolError where too few are left for a query."""
        require_enough(len(self._links), self._config, self._reason)

    def _leave_out(self, name: str, reason: str) -> None:
        self._links.pop(name).abandon()
        self._reason = f"{name}: {reason}"
        self._left_out(name, reason)


def joined_link(
    config: PartyConfig,
    channel: Channel,
    inference: Inference,
    host: str,
) -> Link:
    """The session over a channel whose steps 1a and 1b are set up; its program is at `host`."""
    ring_bits = inference.plan.fixed_point.ring_bits
    argmax = join_program(config, "argmax_1", channel, host, ring_bits)
    return Link(channel, inference, argmax, config.rule)


def require_agreed_ring(config: PartyConfig, peer: str, ring: FixedPoint) -> None:
    """ProtocolError where the parties agreed on a ring, and this peer's plan has another."""
    if config.ring is not None and ring != config.ring:
        raise ProtocolError(
            f"{peer}'s plan has a ring of {ring.ring_bits} bits with {ring.fraction_bits} "
            f"fractional bits; agreed are {config.ring.ring_bits} and {config.ring.fraction_bits}"
        )


def inference_starter(
    config: PartyConfig,
) -> Callable[[Channel], Inference]:
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
        timeout_seconds=(config.patience_seconds if name == "argmax_1" else config.timeout_seconds),
    )
    program.is_with(channel)
    return program
