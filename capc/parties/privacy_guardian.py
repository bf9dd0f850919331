"""The privacy guardian: steps 2 and 3, the noise, and the budget.

It holds nothing of its own. Per query it learns whether the query was answered, nothing else: the
answering parties' vote shares are uniform without the querying party's.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from capc.command_line import run_command
from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import VOTE_BITS, Int64, modulo
from capc.gc.circuits import noisy_argmax_inputs
from capc.gc.programs import CircuitProgram
from capc.parties.config import PrivacySettings
from capc.parties.messages import (
    Admission,
    Batch,
    ProgramAddress,
    receive_vote_share,
)
from capc.parties.runtime import HOST, Runtime, StepTimer, run_party
from capc.privacy.account_file import AccountFile
from capc.privacy.budget import Budget
from capc.privacy.conversion import GridEdgeWarning
from capc.privacy.noise import reserved_range, sample_noise
from capc.roles import GUARDIAN, QUERYING
from capc.transport.channel import Channel, Traffic
from capc.transport.endpoints import Listener

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class BatchNoise:
    """One batch's noise: `votes` (count, C) for GNMax, `maximum` (count,) for the threshold."""

    votes: Int64
    maximum: Int64


class Guardian:
    """The guardian's state in one run."""

    def __init__(
        self,
        runtime: Runtime,
        querying: Channel,
        answering: Sequence[Channel],
        program: CircuitProgram,
        account: AccountFile | None = None,
    ) -> None:
        self._runtime = runtime
        self._querying = querying
        self._answering = answering
        self._program = program
        self._settings = _privacy(runtime)
        self._reserved = reserved_range(runtime.config.n_parties, self._settings.threshold)
        self._budget = Budget(
            self._settings.epsilon,
            self._settings.delta,
            sigma=self._settings.sigma,
            threshold=self._settings.threshold,
            sigma_threshold=self._settings.sigma_threshold,
            conversion=self._settings.conversion,
            account=None if account is None else account.account,
        )
        self._account = account
        self._timed = StepTimer(runtime, {"2": answering, "3": [program]})

    def serve(self) -> None:
        """Answer every batch until the querying party has no more queries."""
        while (batch := Batch.receive(self._querying)) is not None:
            admission = Admission(*self._budget.admit(batch.count))
            admission.send(self._querying)
            if admission.admitted < batch.count:
                refused = batch.first + admission.admitted
                logger.warning("query %d refused: %s", refused, admission.reason)
                self._runtime.control.refused(refused, admission.reason)
            if admission.admitted:
                self._answer(Batch(batch.first, admission.admitted))

    def _answer(self, batch: Batch) -> None:
        noise = self._prepare(batch)
        with self._timed(batch, "2", "online"):
            vote_share = self._add_vote_shares(batch)
        with self._timed(batch, "3", "online"):
            answered = self._noisy_argmax(vote_share, noise)
        for offset, was_answered in enumerate(answered):
            self._charge(batch.first + offset, bool(was_answered))
        if self._account is not None:
            self._account.save(self._budget.account)
        if self._runtime.config.verify:
            self._reveal_noise(batch, noise)

    def _prepare(self, batch: Batch) -> BatchNoise:
        """Offline: fresh noise, and the tables of step 3."""
        classes = self._runtime.config.num_classes
        with self._timed(batch, "2", "offline"):
            sigma_threshold = (
                0.0 if self._settings.threshold is None else self._settings.sigma_threshold
            )
            votes = sample_noise(
                self._settings.sigma, batch.count * classes, reserved=self._reserved
            )
            maximum = sample_noise(sigma_threshold, batch.count, reserved=self._reserved)
            noise = BatchNoise(votes.reshape(-1, classes), maximum)
        with self._timed(batch, "3", "offline"):
            self._program.prepare(batch.count)
            self._reserve(batch.count)
        return noise

    def _reserve(self, count: int) -> None:
        """Before any label is opened the file counts them all: a crash never under-counts."""
        if self._account is not None:
            self._account.save(self._budget.worst_case(count))

    def _add_vote_shares(self, batch: Batch) -> Int64:
        """Step 2: S-hat, the sum of the answering parties' shares."""
        classes = self._runtime.config.num_classes
        total = np.zeros((batch.count, classes), dtype=np.int64)
        for channel in self._answering:
            total += receive_vote_share(channel, batch, classes)
        return modulo(VOTE_BITS, total)

    def _noisy_argmax(self, vote_share: Int64, noise: BatchNoise) -> Int64:
        """Step 3, as garbler: the querying party learns the labels; which it answers, (count,)."""
        words = noisy_argmax_inputs(
            VOTE_BITS,
            vote_share,
            noise.votes,
            voters=self._runtime.config.n_parties,
            threshold=self._settings.threshold,
            threshold_noise=noise.maximum,
        )
        answered = self._program.evaluate(words)
        if self._settings.threshold is None:
            return np.ones(len(vote_share), dtype=np.int64)
        if answered is None:
            raise ProtocolError("the circuit program told the guardian nothing")
        return answered[:, 0]

    def _charge(self, query: int, answered: bool) -> None:
        self._budget.charge(answered)
        spent, control = self._budget.spent, self._runtime.control
        logger.info(
            "query %d %s; epsilon spent %.4f at delta %g (%s conversion)",
            query,
            "answered" if answered else "not answered",
            spent.epsilon,
            self._settings.delta,
            self._settings.conversion,
        )
        control.spent(
            query, spent.epsilon, self._settings.delta, self._settings.conversion, answered
        )

    def _reveal_noise(self, batch: Batch, noise: BatchNoise) -> None:
        """Under --verify: the noise goes to the driver, which computes the label again."""
        for offset in range(batch.count):
            query = batch.first + offset
            self._runtime.control.opened(query, "noise", noise.votes[offset].tolist())
            self._runtime.control.opened(query, "threshold_noise", [int(noise.maximum[offset])])


def take_part(runtime: Runtime) -> None:
    """One run, from the first connection to the last query."""
    config = runtime.config
    settings = _privacy(runtime)
    with ExitStack() as resources, runtime.failures():
        listener = Listener(HOST, config.port)
        resources.callback(listener.close)
        account = None
        if settings.account is not None:
            account = resources.enter_context(AccountFile(settings.account))
        runtime.control.announce(HOST, listener.port, runtime.identity.certificate)
        peers = runtime.control.wait_for_peers(config.timeout_seconds)
        expected = {name: peer.certificate for name, peer in peers.items() if name != GUARDIAN}
        with runtime.timed(None, "3", "setup", Traffic):
            channels = listener.accept(
                runtime.identity,
                expected,
                count=len(expected),
                timeout_seconds=config.timeout_seconds,
            )
            for channel in channels.values():
                resources.enter_context(channel)
            program = resources.enter_context(
                CircuitProgram.garbler(
                    "sum_histogram",
                    ring_bits=VOTE_BITS,
                    classes=config.num_classes,
                    vote_bits=VOTE_BITS,
                    with_threshold=config.with_threshold,
                    backend=config.gc_backend,
                    timeout_seconds=config.timeout_seconds,
                )
            )
            ProgramAddress(program.port, program.key).send(channels[QUERYING])
            program.wait_until_ready()
        if settings.sigma == 0:
            logger.warning("sigma is 0: no noise at all, epsilon is infinite from the first query")
        # epsilon stays a valid bound at the grid's edge; the warning is for analyses.
        warnings.simplefilter("ignore", GridEdgeWarning)
        sample_noise(1.0, 1)  # the generator loads now, not in the first query
        runtime.control.ready()
        answering = [channel for name, channel in sorted(channels.items()) if name != QUERYING]
        Guardian(runtime, channels[QUERYING], answering, program, account).serve()


def _privacy(runtime: Runtime) -> PrivacySettings:
    if runtime.config.privacy is None:
        raise ConfigError("the guardian's config has no privacy settings")
    return runtime.config.privacy


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit status."""
    return run_party(
        "guardian", "The privacy guardian of one run (steps 2 and 3).", take_part, argv
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
