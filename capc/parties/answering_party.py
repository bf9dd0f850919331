"""An answering party: steps 1a to 1c with the querying party, step 2 with the guardian.

It holds a model and learns nothing: not the query, not an activation, not its own vote. It serves
what the guardian tells it to have admitted, whatever the querying party asks for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from capc.command_line import run_command
from capc.errors import ConfigError, PeerGoneError, ProtocolError, StoppedError
from capc.fixed_point import VOTE_BITS, Int64, uniform_bits
from capc.gc.programs import CircuitProgram
from capc.graph.agreement import agree, agreed_integers
from capc.graph.layers import QuantizedNetwork
from capc.graph.prepared import load_network
from capc.graph.ring_choice import require_sums
from capc.he.allocation import give_back_freed_memory
from capc.inference.layout import queries_at_once
from capc.inference.server import InferenceServer
from capc.inference.unencrypted import UnencryptedServer
from capc.parties.config import PartyConfig
from capc.parties.messages import Batch, BatchOrder, send_vote_share
from capc.parties.own_noise import MaskedNoise, draw_own_noise
from capc.parties.pairwise_masks import PairwiseMasks
from capc.parties.runtime import Runtime, StepTimer, run_party
from capc.privacy.noise_ahead import NoiseAhead
from capc.roles import ANSWERING, GUARDIAN, QUERYING, role_of
from capc.transport.channel import Channel
from capc.transport.framing import MessageType
from capc.transport.peer import Peer

logger = logging.getLogger(__name__)


class AnsweringParty:
    """One answering party's state in one run."""

    def __init__(
        self,
        runtime: Runtime,
        querying: Channel,
        guardian: Channel,
        inference: InferenceServer | UnencryptedServer,
        program: CircuitProgram,
        *,
        ring_bits: int,
        own_noise: MaskedNoise | None = None,
    ) -> None:
        self._runtime = runtime
        self._ring_bits = ring_bits
        self._querying = querying
        self._guardian = guardian
        self._inference = inference
        self._program = program
        self._own_noise = own_noise
        self._order = BatchOrder(runtime.config.n_queries, runtime.config.batch_size)
        self._timed = StepTimer(
            runtime, {"1a": [querying], "1b": [querying], "1c": [program], "2": [guardian]}
        )

    def serve(self) -> None:
        """Answer every batch until the querying party has no more queries."""
        while (batch := self._next_batch()) is not None:
            self._answer(batch)
            if self._runtime.control.stopping():
                raise StoppedError("stopped by its owner after the running query")
            if self._own_noise is not None:
                self._own_noise.refill()

    def _next_batch(self) -> Batch | None:
        """What the querying party announces, once the guardian says that it admitted just that.

        Raises ProtocolError that names the querying party for anything else, also for an end of
        the queries of which the guardian was not told.
        """
        announced = Batch.receive(self._querying)
        try:
            admitted = Batch.receive(self._guardian, MessageType.ADMISSION)
        except PeerGoneError:
            raise
        except ProtocolError as error:
            raise ProtocolError(
                f"{self._querying.peer} announced {_said(announced)}, and no admission came "
                f"({error})"
            ) from None
        if announced != admitted:
            raise ProtocolError(
                f"{self._querying.peer} announced {_said(announced)}, but the guardian admitted "
                f"{_said(admitted)}"
            )
        if admitted is not None:
            self._order.check(admitted, self._guardian.peer)
        return admitted

    def _answer(self, batch: Batch) -> None:
        with self._timed(batch, "1a", "offline"):
            prepared: Any = self._inference.prepare(batch.count)
        rest(self._runtime.config)
        with self._timed(batch, "1c", "offline"):
            vote_share = self._draw_vote_share(batch)
            self._program.prepare(len(vote_share), vote_share)
        vote_share = self._runtime.config.rule.tallied(vote_share)
        sent: Int64 | None = vote_share
        noise: Int64 | None = None
        if self._own_noise is not None:
            sent = None  # until it is known who answers
            if not self._runtime.config.may_lose_parties:
                with self._timed(batch, "2", "offline"):
                    sent, noise = self._own_noise.added(batch, vote_share)
        with self._timed(batch, "1a", "online"):
            self._inference.evaluate_hidden(prepared)
        with self._timed(batch, "1b", "online"):
            logit_share = self._inference.evaluate_logits(prepared)
        with self._timed(batch, "1c", "online"):
            self._program.evaluate(self._scores(logit_share))
        with self._timed(batch, "2", "online"):
            if sent is not None:
                send_vote_share(self._guardian, batch, sent)
            elif self._own_noise is not None:
                noise = self._own_noise.send_among_voters(
                    self._guardian, batch, vote_share, self._runtime.config
                )
        if self._runtime.config.verify:
            self._reveal_shares(batch, logit_share, vote_share, noise)

    def _draw_vote_share(self, batch: Batch) -> Int64:
        """s-hat, fresh and uniform modulo 2^32, one for each word of step 1c's circuit."""
        rule = self._runtime.config.rule
        return uniform_bits(VOTE_BITS, (batch.count * rule.ballots, rule.candidates))

    def _scores(self, logit_share: Int64) -> Int64:
        """Its share of what step 1c compares, of its share of the logits."""
        return self._runtime.config.rule.scores(logit_share, self._ring_bits)

    def _reveal_shares(
        self, batch: Batch, logit_share: Int64, vote_share: Int64, noise: Int64 | None
    ) -> None:
        """Under --verify: both shares and own noise go to the driver, which compares them."""
        for offset in range(batch.count):
            query, control = batch.first + offset, self._runtime.control
            control.opened(query, "logit_share", logit_share[offset].tolist())
            control.opened(query, "vote_share", vote_share[offset].tolist())
            if noise is not None:
                control.opened(query, "noise", noise[offset].tolist())


def _said(batch: Batch | None) -> str:
    return "the end of its queries" if batch is None else str(batch)


def load_model(config: PartyConfig) -> QuantizedNetwork:
    """The party's prepared model as integers, with the constants of the run.

    A party that was told of none has a run of its own model alone.
    """
    if config.model is None:
        raise ConfigError("the answering party's config names no model")
    network = load_network(Path(config.model))
    if network.output.shape != (config.num_classes,):
        raise ConfigError(
            f"the model {config.model} gives {network.output.shape} logits; "
            f"{config.num_classes} classes are asked for (--num_classes)"
        )
    agreement, terms = config.agreement, config.rule.terms
    if agreement is None:
        agreed = agree(
            *([network], config.input_range, config.max_logit),
            ring_bits=None if config.ring is None else config.ring.ring_bits,
            fraction_bits=None if config.ring is None else config.ring.fraction_bits,
            terms=terms,
        )
        agreement = agreed.agreements[0]
    integers = agreed_integers(network, agreement, config.input_range)
    require_sums(integers, terms)
    return integers


def take_part(runtime: Runtime) -> None:
    """One run, from the first connection to the last query."""
    config = runtime.config
    network = load_model(config)
    ring = network.fixed_point
    with ExitStack() as resources, runtime.failures():
        meeting = runtime.meeting
        listener = meeting.listener()
        resources.callback(listener.close)
        resources.callback(meeting.close)
        noise = draw_own_noise(config)
        runtime.control.announce(config.address, listener.port, meeting.identity.certificate)
        peers = runtime.control.wait_for_peers(config.timeout_seconds)
        runtime.control.plan(ring.ring_bits, ring.fraction_bits)
        guardian = resources.enter_context(meeting.connect(peers[GUARDIAN]))
        querying = resources.enter_context(
            meeting.accept(listener, {QUERYING: peers[QUERYING]})[QUERYING]
        )
        with runtime.timed(None, "1a", "setup", lambda: querying.traffic):
            inference = start_inference(config, querying, network)
        rest(config)
        with runtime.timed(None, "1c", "setup", lambda: querying.traffic):
            program = resources.enter_context(start_argmax(config, ring.ring_bits))
            program.is_with(querying)
            resources.enter_context(meeting.address(program)).send(querying)
            program.wait_until_ready()
        own_noise = None if noise is None else masked_noise(noise, runtime, peers)
        runtime.control.ready()
        AnsweringParty(
            *(runtime, querying, guardian, inference, program),
            ring_bits=ring.ring_bits,
            own_noise=own_noise,
        ).serve()


def rest(config: PartyConfig) -> None:
    """After the steps that compute most: what they freed is for those whose turn it is then."""
    if config.takes_turns:
        give_back_freed_memory()


def start_inference(
    config: PartyConfig, querying: Channel, network: QuantizedNetwork
) -> InferenceServer | UnencryptedServer:
    """Set-up of steps 1a and 1b with the querying party."""
    if config.unencrypted:
        logger.warning("no encryption: this party sees every query")
        return UnencryptedServer(querying, network)
    parameters = config.encryption_parameters
    server = InferenceServer(
        querying, network, parameters, allow_insecure=config.insecure, choice=config.nonlinear
    )
    # The querying party decides how many run at a time, by all models: here, if all are as this.
    wanted = min(config.batch_size, config.n_queries)
    server.expect(queries_at_once(wanted, config.n_parties * server.image_bytes))
    return server


def start_argmax(config: PartyConfig, ring_bits: int) -> CircuitProgram:
    """The garbler's end of step 1c."""
    return CircuitProgram.garbler(
        "argmax_1",
        ring_bits=ring_bits,
        classes=config.rule.candidates,
        vote_bits=VOTE_BITS,
        vote_shift=config.vote_shift,
        backend=config.gc_backend,
        timeout_seconds=config.timeout_seconds,
    )


def masked_noise(noise: NoiseAhead, runtime: Runtime, peers: Mapping[str, Peer]) -> MaskedNoise:
    """The party's noise, under masks that it shares with each other answering party."""
    others = {
        name: peer.certificate
        for name, peer in peers.items()
        if role_of(name) == ANSWERING and name != runtime.config.party
    }
    meeting = runtime.meeting
    return MaskedNoise(noise, PairwiseMasks(meeting.identity, others, meeting.run))


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit status."""
    return run_party("answering", "An answering party of one run (steps 1 and 2).", take_part, argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
