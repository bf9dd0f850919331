"""The privacy guardian: steps 2 and 3, the noise, and the budget.

It holds nothing of its own. Per query it learns whether the query was answered, nothing else: the
answering parties' vote shares are uniform without the querying party's. Where the answering parties
draw the noise, it draws none.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from capc.command_line import run_command
from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import VOTE_BITS, Int64
from capc.gc.circuits import noisy_argmax_inputs
from capc.gc.programs import CircuitProgram
from capc.parties.config import PartyConfig, PrivacySettings
from capc.parties.messages import Admission, Batch, BatchOrder
from capc.parties.runtime import Runtime, StepTimer, run_party
from capc.parties.vote_collection import VoteCollection, Votes, VotesOfSome
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.conversion import GridEdgeWarning
from capc.privacy.noise import reserved_range, sample_noise
from capc.privacy.noise_ahead import NoiseAhead
from capc.roles import GUARDIAN, QUERYING
from capc.transport.channel import Channel, Traffic

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
        answering: Mapping[str, Channel],
        program: CircuitProgram,
        *,
        account: AccountFile | None = None,
        noise: NoiseAhead | None = None,
        late_comers: Callable[[], Mapping[str, Channel]] = dict,
    ) -> None:
        self._runtime = runtime
        self._querying = querying
        self._program = program
        self._settings = _privacy(runtime)
        self._rule = runtime.config.rule
        self._budget = budget_of(
            *(self._settings, runtime.config.fewest),
            account=None if account is None else account.account,
            changes=self._rule.changes,
        )
        self._account = account
        self._noise = noise
        self._order = BatchOrder(runtime.config.n_queries, runtime.config.batch_size)
        self._votes = self._collection(answering, late_comers)
        self._timed = StepTimer(runtime, {"2": [self._votes], "3": [program]})

    def _collection(
        self,
        answering: Mapping[str, Channel],
        late_comers: Callable[[], Mapping[str, Channel]],
    ) -> VoteCollection:
        config = self._runtime.config
        if not config.may_lose_parties:
            return VoteCollection(answering, self._rule.counts)
        return VotesOfSome(
            *(answering, self._querying, config),
            left_out=self._runtime.control.left_out,
            again=self._charge_again,
            late_comers=late_comers,
        )

    def serve(self) -> None:
        """Answer every batch until the querying party has no more queries."""
        while (batch := Batch.receive(self._querying)) is not None:
            self._order.check(batch, self._querying.peer)
            if self._runtime.control.stopping():
                admission = Admission(0, "the privacy guardian was stopped by its owner")
            else:
                admission = Admission(*self._budget.admit(batch.count))
            admitted = Batch(batch.first, admission.admitted)
            if admitted.count:
                self._reserve(admitted.count)
                self._votes.admit(admitted)
            admission.send(self._querying)
            if admitted.count:
                self._votes.announce(admitted)
            if admission.admitted < batch.count:
                refused = batch.first + admission.admitted
                logger.warning("query %d refused: %s", refused, admission.reason)
                self._runtime.control.refused(refused, admission.reason)
            if admitted.count:
                self._answer(admitted)
            if self._noise is not None:
                self._noise.refill()
        self._votes.end()

    def _answer(self, batch: Batch) -> None:
        noise = self._noise_of(batch)
        with self._timed(batch, "3", "offline"):
            self._program.prepare(batch.count * self._rule.decisions)
        with self._timed(batch, "2", "online"):
            votes = self._votes.collect(batch)
        with self._timed(batch, "3", "online"):
            answered = self._noisy_argmax(votes, noise)
        for offset, was_answered in enumerate(answered):
            self._charge(batch.first + offset, bool(was_answered))
        if self._account is not None:
            self._account.save(self._budget.account)
        if self._runtime.config.verify:
            self._reveal_noise(batch, noise)

    def _noise_of(self, batch: Batch) -> BatchNoise:
        """What was drawn ahead for the batch; zeros where the answering parties draw it."""
        classes = self._rule.counts
        drawn: Int64 = np.zeros((batch.count, classes + 1), dtype=np.int64)
        if self._noise is not None:
            drawn = self._noise.take(batch.count)
        return BatchNoise(drawn[:, :classes], drawn[:, classes])

    def _reserve(self, count: int) -> None:
        """Before the queries are admitted the file counts them all: a crash never under-counts."""
        if self._account is not None:
            self._account.save(self._budget.worst_case(count))

    def _charge_again(self, batch: Batch) -> None:
        """The answering parties are about to add noise once more: what they have sent is charged.

        ProtocolError where the budget has no room for it; the batch stays charged once.
        """
        for _ in range(batch.count):
            self._budget.charge(answered=True)
        admitted, reason = self._budget.admit(batch.count)
        if admitted < batch.count:
            raise ProtocolError(f"{batch} cannot be answered by fewer parties: {reason}")
        self._reserve(batch.count)

    def _noisy_argmax(self, votes: Votes, noise: BatchNoise) -> Int64:
        """Step 3, as garbler: the querying party learns the labels; which it answers, (count,)."""
        units, threshold = self._runtime.config.vote_units, self._settings.threshold
        voters = units * votes.voters
        words = noisy_argmax_inputs(
            VOTE_BITS,
            self._rule.decided(votes.share, self._rule.majority(voters)),
            self._rule.decided(noise.votes),
            voters=voters,
            threshold=None if threshold is None else units * threshold,
            threshold_noise=noise.maximum,
        )
        answered = self._program.evaluate(words)
        if threshold is None:
            return np.ones(len(votes.share), dtype=np.int64)
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
        if self._noise is None:
            return
        for offset in range(batch.count):
            query = batch.first + offset
            self._runtime.control.opened(query, "noise", noise.votes[offset].tolist())
            self._runtime.control.opened(query, "threshold_noise", [int(noise.maximum[offset])])


def take_part(runtime: Runtime) -> None:
    """One run, from the first connection to the last query."""
    config = runtime.config
    settings = _privacy(runtime)
    with ExitStack() as resources, runtime.failures():
        meeting = runtime.meeting
        listener = meeting.listener()
        resources.callback(listener.close)
        resources.callback(meeting.close)
        account = None
        if settings.account is not None:
            account = resources.enter_context(AccountFile(settings.account, settings.owners))
        noise = draw_noise(config, settings)
        runtime.control.announce(config.address, listener.port, meeting.identity.certificate)
        peers = runtime.control.wait_for_peers(config.timeout_seconds)
        expected = {name: peer for name, peer in peers.items() if name != GUARDIAN}
        with runtime.timed(None, "3", "setup", Traffic):
            channels = meeting.accept(listener, expected)
            for channel in channels.values():
                resources.enter_context(channel)
            program = resources.enter_context(
                CircuitProgram.garbler(
                    "sum_histogram",
                    ring_bits=VOTE_BITS,
                    classes=config.rule.options,
                    vote_bits=VOTE_BITS,
                    with_threshold=config.with_threshold,
                    backend=config.gc_backend,
                    timeout_seconds=config.timeout_seconds,
                )
            )
            program.is_with(channels[QUERYING])
            resources.enter_context(meeting.address(program)).send(channels[QUERYING])
            program.wait_until_ready()
        if settings.sigma == 0:
            logger.warning("sigma is 0: no noise at all, epsilon is infinite from the first query")
        # epsilon stays a valid bound at the grid's edge; the warning is for analyses.
        warnings.simplefilter("ignore", GridEdgeWarning)
        runtime.control.ready()
        answering = {name: channel for name, channel in channels.items() if name != QUERYING}
        Guardian(
            *(runtime, channels[QUERYING], answering, program),
            account=account,
            noise=noise,
            late_comers=meeting.late_comers,
        ).serve()


def budget_of(
    settings: PrivacySettings,
    fewest: int,
    *,
    account: Accountant | None = None,
    changes: int | None = None,
) -> Budget:
    """The budget of a run with these settings, going on from the account.

    `fewest` answering parties at least answer a query, and draw its noise where they do.
    """
    return Budget(
        settings.epsilon,
        settings.delta,
        sigma=settings.sigma,
        threshold=settings.threshold,
        sigma_threshold=settings.sigma_threshold,
        distributed_over=fewest if settings.distributed else None,
        colluding=settings.colluding,
        changes=changes,
        conversion=settings.conversion,
        account=account,
    )


def draw_noise(config: PartyConfig, settings: PrivacySettings) -> NoiseAhead | None:
    """The run's noise (queries, C + 1), the threshold's last; before anything is timed.

    None where the answering parties draw it.
    """
    if settings.distributed:
        return None
    classes = config.rule.counts
    sigma_threshold = 0.0 if settings.threshold is None else settings.sigma_threshold
    reserved = reserved_range(config.n_parties, settings.threshold)

    def draw(rows: int) -> Int64:
        votes = sample_noise(settings.sigma, rows * classes, reserved=reserved)
        maximum = sample_noise(sigma_threshold, rows, reserved=reserved)
        return np.column_stack([votes.reshape(rows, classes), maximum])

    return NoiseAhead(
        draw, words=classes + 1, queries=config.n_queries, batch_size=config.batch_size
    )


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
