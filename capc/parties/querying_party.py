"""The querying party: asks every answering party, adds up its shares of the votes, learns labels.

Reads like the steps of the protocol (the paper's Figure 1): 1a private inference, 1b shares of the
logits, 1c shares of the one-hot votes, 2 the sum of the shares, 3 the noisy label. It learns the
label, or that the query was not answered, and nothing else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import reduce
from typing import Any

import numpy as np

from capc.command_line import ExitStatus, run_command
from capc.errors import ProtocolError
from capc.fixed_point import VOTE_BITS, Float64, Int64, modulo
from capc.gc.programs import CircuitProgram
from capc.inference.layout import queries_at_once
from capc.parties.config import PartyConfig
from capc.parties.links import (
    Inference,
    Link,
    Links,
    inference_starter,
    join_program,
    joined_link,
    require_agreed_ring,
)
from capc.parties.messages import Admission, Batch
from capc.parties.queries import load_queries
from capc.parties.runtime import Runtime, StepTimer, run_party
from capc.parties.voters import receive_members, receive_voters, send_voters
from capc.roles import GUARDIAN
from capc.roles import answering as answering_name
from capc.transport.channel import Channel, Traffic, total_traffic
from capc.transport.peer import Peer

logger = logging.getLogger(__name__)


class QueryingParty:
    """The querying party's state in one run."""

    def __init__(
        self,
        runtime: Runtime,
        links: Links,
        guardian: Channel,
        noisy_argmax: CircuitProgram,
        open_link: Callable[[str], Link],
    ) -> None:
        """`open_link` begins a session with an answering party that joins while the run goes on."""
        self._runtime = runtime
        self._links = links
        self._guardian = guardian
        self._noisy_argmax = noisy_argmax
        self._open_link = open_link
        self._rule = runtime.config.rule
        channels, programs = links.channels, links.programs
        self._timed = StepTimer(
            runtime,
            {"1a": channels, "1b": channels, "1c": programs, "2": channels, "3": [noisy_argmax]},
        )

    def ask(self, images: Float64, begin: int = 0) -> bool:
        """The queries (n, ...) from `begin` on, batch by batch, until they or the budget end.

        Whether any was admitted, or none was left to ask.
        """
        size, any_admitted = self._images_at_once(), begin == len(images)
        for first in range(begin, len(images), size):
            if self._runtime.control.stopping():
                logger.warning("stopped: queries from %d on are not asked", first)
                break
            wanted = Batch(first, min(size, len(images) - first))
            admission = self._ask_for_admission(wanted)
            if admission.admitted:
                any_admitted = True
                batch = Batch(first, admission.admitted)
                self._join_members(batch)
                self._label(batch, images[first : first + batch.count])
            if admission.admitted < wanted.count:
                logger.warning("the guardian answers no more queries: %s", admission.reason)
                break
        Batch.send_end(self._guardian)
        self._links.each(lambda link: Batch.send_end(link.channel))
        return any_admitted

    def _images_at_once(self) -> int:
        """The batch size, or less where what is prepared for it would take too much memory."""
        wanted = self._runtime.config.batch_size
        size = queries_at_once(wanted, self._links.image_bytes)
        if size < wanted:
            logger.info("batches of %d queries run as %d at a time", wanted, size)
        return size

    def _ask_for_admission(self, batch: Batch) -> Admission:
        batch.send(self._guardian)
        return Admission.receive(self._guardian, batch.count)

    def _join_members(self, batch: Batch) -> None:
        """Where not all have to answer: go on with those whom the guardian has told."""
        config = self._runtime.config
        if not config.may_lose_parties:
            return
        everybody = {answering_name(index) for index in range(config.n_parties)}
        members, joined = receive_members(self._guardian, batch, everybody)
        self._links.keep(members - joined, "the guardian has lost it")
        for name in sorted(joined):
            try:
                self._links.add(self._open_link(name))
            except ProtocolError as error:
                logger.warning("%s cannot take part again: %s", name, error)
        self._links.require_enough()

    def _label(self, batch: Batch, images: Float64) -> None:
        """Steps 1 to 3 for one batch of queries."""
        on_all = self._links.each
        prepared = self._prepare(batch)
        with self._timed(batch, "1a", "online"):
            hidden = on_all(lambda link: link.private_inference(prepared[link.party], images))
        with self._timed(batch, "1b", "online"):
            logit_shares = on_all(
                lambda link: link.logit_share(prepared[link.party], hidden[link.party])
            )
        with self._timed(batch, "1c", "online"):
            vote_shares = on_all(lambda link: link.vote_share(logit_shares[link.party]))
        with self._timed(batch, "2", "online"):
            voters = self._voters(batch, vote_shares)
            vote_share = modulo(VOTE_BITS, reduce(np.add, (vote_shares[name] for name in voters)))
        with self._timed(batch, "3", "online"):
            outputs = self._noisy_argmax.evaluate(self._rule.decided(vote_share))
        self._report(batch, outputs, voters)
        if self._runtime.config.verify:
            for name in voters:
                self._reveal_shares(batch, name, logit_shares[name], vote_shares[name])

    def _prepare(self, batch: Batch) -> dict[str, Any]:
        """Offline: whatever does not depend on the queries."""
        on_all = self._links.each
        on_all(lambda link: batch.send(link.channel))
        with self._timed(batch, "1a", "offline"):
            prepared = on_all(lambda link: link.prepare(batch.count))
        with self._timed(batch, "1c", "offline"):
            on_all(lambda link: link.prepare_vote(batch.count))
        with self._timed(batch, "3", "offline"):
            self._noisy_argmax.prepare(batch.count * self._rule.decisions)
        return prepared

    def _voters(self, batch: Batch, vote_shares: Mapping[str, Int64]) -> list[str]:
        """Whose shares are added up: all, or those from whom the guardian has the other one too."""
        if not self._runtime.config.may_lose_parties:
            return list(vote_shares)
        self._links.require_enough()
        send_voters(self._guardian, batch, vote_shares)
        voters = receive_voters(self._guardian, batch, vote_shares)
        self._links.keep(voters, "the guardian has no share of it")
        self._links.require_enough()
        return sorted(voters)

    def _report(self, batch: Batch, outputs: Int64 | None, voters: Collection[str]) -> None:
        """The label of each query, or that it was not answered, to the driver."""
        if outputs is None:
            raise ProtocolError("the circuit program with the guardian returned no label")
        for offset, row in enumerate(outputs.reshape(batch.count, -1)):
            label, answered = read_label(row, self._runtime.config)
            self._runtime.control.answer(batch.first + offset, answered, label, sorted(voters))

    def _reveal_shares(self, batch: Batch, name: str, logits: Int64, votes: Int64) -> None:
        """Under --verify: the shares of one party's go to the driver, which compares them."""
        for offset in range(batch.count):
            query, control = batch.first + offset, self._runtime.control
            control.opened(query, "logit_share", logits[offset].tolist(), name)
            control.opened(query, "vote_share", votes[offset].tolist(), name)


def read_label(output: Int64, config: PartyConfig) -> tuple[int | None, bool]:
    """Label and `answered` from the words that step 3 opens to the querying party."""
    if not config.with_threshold:
        return config.rule.label(output.tolist()), True
    answered = bool(output[0])
    return (int(output[1]) if answered else None), answered


class _SetUp:
    """Sets up the sessions with answering parties, which `resources` end."""

    def __init__(self, runtime: Runtime, resources: ExitStack) -> None:
        self._config = runtime.config
        self._meeting = runtime.meeting
        self._resources = resources
        self._start = inference_starter(runtime.config)

    def inference(self, channel: Channel) -> Inference:
        """Steps 1a and 1b with one of them."""
        inference = self._start(channel)
        require_agreed_ring(self._config, channel.peer, inference.plan.fixed_point)
        return inference

    def joined(self, peer: Peer, channel: Channel, inference: Inference) -> Link:
        """The session, whose circuit program of step 1c is still to be waited for."""
        host = self._meeting.program_host(peer)
        link = joined_link(self._config, channel, inference, host)
        self._resources.enter_context(link.argmax)
        return link

    def opened(self, peer: Peer) -> Link:
        """A whole session with a party that comes back while the run goes on."""
        patience = self._config.patience_seconds
        channel = self._resources.enter_context(self._meeting.connect(peer, patience))
        channel.wait_at_most(patience)
        link = self.joined(peer, channel, self.inference(channel))
        link.argmax.wait_until_ready()
        return link


def take_part(runtime: Runtime) -> ExitStatus:
    """One run, from the first connection to the last query."""
    config, meeting = runtime.config, runtime.meeting
    images = load_queries(config)
    begin = runtime.control.first_query(images.tobytes(), len(images))
    with ExitStack() as resources, runtime.failures():
        pool = resources.enter_context(ThreadPoolExecutor(max_workers=config.conversations))
        resources.callback(meeting.close)
        runtime.control.announce(config.address, None, meeting.identity.certificate)
        peers = runtime.control.wait_for_peers(config.timeout_seconds)
        guardian = resources.enter_context(meeting.connect(peers[GUARDIAN]))
        names = [answering_name(index) for index in range(config.n_parties)]
        answering = [peers[name] for name in names if meeting.is_there(name)]
        channels = [
            resources.enter_context(channel) for channel in pool.map(meeting.connect, answering)
        ]

        def traffic() -> Traffic:
            return total_traffic(channels)

        with runtime.timed(None, "1a", "setup", traffic):
            set_up = _SetUp(runtime, resources)
            inferences = list(pool.map(set_up.inference, channels))
        with runtime.timed(None, "1c", "setup", traffic):
            ends = zip(answering, channels, inferences, strict=True)
            links = [set_up.joined(*end) for end in ends]
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

        sessions = Links(links, pool, config, runtime.control.left_out)
        party = QueryingParty(
            *(runtime, sessions, guardian, noisy_argmax),
            open_link=lambda name: set_up.opened(peers[name]),
        )
        any_admitted = party.ask(images, begin)
        sessions.each(lambda link: link.argmax.close())
    return ExitStatus.OK if any_admitted else ExitStatus.NOTHING_ANSWERED


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit status."""
    return run_party("querying", "The querying party of one run (every step).", take_part, argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
