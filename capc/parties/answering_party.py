"""An answering party: steps 1a to 1c with the querying party, step 2 with the guardian.

It holds a model and learns nothing: not the query, not an activation, not its own vote.
"""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from capc.command_line import run_command
from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS, Int64, uniform_bits
from capc.gc.programs import CircuitProgram
from capc.graph.layers import QuantizedNetwork
from capc.graph.prepared import load_network
from capc.graph.ring_choice import to_ring
from capc.inference.server import InferenceServer
from capc.inference.unencrypted import UnencryptedServer
from capc.parties.config import PartyConfig
from capc.parties.messages import Batch, ProgramAddress, send_vote_share
from capc.parties.runtime import HOST, Runtime, StepTimer, run_party
from capc.roles import GUARDIAN, QUERYING
from capc.transport.channel import Channel
from capc.transport.endpoints import Listener, connect

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
    ) -> None:
        self._runtime = runtime
        self._querying = querying
        self._guardian = guardian
        self._inference = inference
        self._program = program
        self._timed = StepTimer(
            runtime, {"1a": [querying], "1b": [querying], "1c": [program], "2": [guardian]}
        )

    def serve(self) -> None:
        """Answer every batch until the querying party has no more queries."""
        while (batch := Batch.receive(self._querying)) is not None:
            self._answer(batch)

    def _answer(self, batch: Batch) -> None:
        with self._timed(batch, "1a", "offline"):
            prepared: Any = self._inference.prepare(batch.count)
        with self._timed(batch, "1c", "offline"):
            vote_share = self._draw_vote_share(batch)
            self._program.prepare(batch.count, vote_share)
        with self._timed(batch, "1a", "online"):
            self._inference.evaluate_hidden(prepared)
        with self._timed(batch, "1b", "online"):
            logit_share = self._inference.evaluate_logits(prepared)
        with self._timed(batch, "1c", "online"):
            self._program.evaluate(logit_share)
        with self._timed(batch, "2", "online"):
            send_vote_share(self._guardian, batch, vote_share)
        if self._runtime.config.verify:
            self._reveal_shares(batch, logit_share, vote_share)

    def _draw_vote_share(self, batch: Batch) -> Int64:
        """s-hat, fresh and uniform modulo 2^32, (count, C)."""
        return uniform_bits(VOTE_BITS, (batch.count, self._runtime.config.num_classes))

    def _reveal_shares(self, batch: Batch, logit_share: Int64, vote_share: Int64) -> None:
        """Under --verify: both shares go to the driver, which compares them."""
        for offset in range(batch.count):
            query, control = batch.first + offset, self._runtime.control
            control.opened(query, "logit_share", logit_share[offset].tolist())
            control.opened(query, "vote_share", vote_share[offset].tolist())


def load_model(config: PartyConfig) -> QuantizedNetwork:
    """The party's prepared model as integers, in the smallest public ring that holds it."""
    if config.model is None:
        raise ConfigError("the answering party's config names no model")
    network = load_network(Path(config.model))
    if network.output.shape != (config.num_classes,):
        raise ConfigError(
            f"the model {config.model} gives {network.output.shape} logits; "
            f"{config.num_classes} classes are asked for (--num_classes)"
        )
    return to_ring(network, config.input_range, config.max_logit)


def take_part(runtime: Runtime) -> None:
    """One run, from the first connection to the last query."""
    config = runtime.config
    network = load_model(config)
    ring = network.fixed_point
    with ExitStack() as resources, runtime.failures():
        listener = Listener(HOST, config.port)
        resources.callback(listener.close)
        runtime.control.announce(HOST, listener.port, runtime.identity.certificate)
        peers = runtime.control.wait_for_peers(config.timeout_seconds)
        runtime.control.plan(ring.ring_bits, ring.fraction_bits)
        guardian = resources.enter_context(
            connect(runtime.identity, peers[GUARDIAN], config.timeout_seconds)
        )
        querying = resources.enter_context(
            listener.accept(
                runtime.identity,
                {QUERYING: peers[QUERYING].certificate},
                count=1,
                timeout_seconds=config.timeout_seconds,
            )[QUERYING]
        )
        with runtime.timed(None, "1a", "setup", lambda: querying.traffic):
            inference = start_inference(config, querying, network)
        with runtime.timed(None, "1c", "setup", lambda: querying.traffic):
            program = resources.enter_context(
                CircuitProgram.garbler(
                    "argmax_1",
                    ring_bits=ring.ring_bits,
                    classes=config.num_classes,
                    vote_bits=VOTE_BITS,
                    backend=config.gc_backend,
                    timeout_seconds=config.timeout_seconds,
                )
            )
            ProgramAddress(program.port, program.key).send(querying)
            program.wait_until_ready()
        runtime.control.ready()
        AnsweringParty(runtime, querying, guardian, inference, program).serve()


def start_inference(
    config: PartyConfig, querying: Channel, network: QuantizedNetwork
) -> InferenceServer | UnencryptedServer:
    """Set-up of steps 1a and 1b with the querying party."""
    if config.unencrypted:
        logger.warning("--cpu: no encryption; this party sees every query")
        return UnencryptedServer(querying, network)
    parameters = config.encryption_parameters
    return InferenceServer(querying, network, parameters, allow_insecure=config.insecure)


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit status."""
    return run_party("answering", "An answering party of one run (steps 1 and 2).", take_part, argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
