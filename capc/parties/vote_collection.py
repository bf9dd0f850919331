"""Step 2 at the guardian: the sum of the answering parties' shares of their votes.

Two ways: every answering party has to answer (`VoteCollection`), or a query can do without some
that are dead or late (`VotesOfSome`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from capc.errors import ProtocolError
from capc.fixed_point import VOTE_BITS, Int64, modulo
from capc.parties.config import PartyConfig
from capc.parties.messages import Batch, receive_vote_share
from capc.parties.voters import (
    MaskedFor,
    receive_present,
    receive_voters,
    require_enough,
    send_voters,
)
from capc.transport.channel import Channel, Traffic, total_traffic
from capc.transport.framing import MessageType

logger = logging.getLogger(__name__)

_LEAST_SECONDS = 0.1  # for what has arrived meanwhile

Result = TypeVar("Result")


@dataclass(frozen=True, repr=False)
class Votes:
    """S-hat, the sum of the shares (count, C), and of how many answering parties."""

    share: Int64
    voters: int


class VoteCollection:
    """The guardian's connections with the answering parties, by name, each of which answers."""

    def __init__(self, channels: Mapping[str, Channel], classes: int) -> None:
        self._channels = dict(sorted(channels.items()))
        self._classes = classes
        self._known = list(channels.values())

    @property
    def traffic(self) -> Traffic:
        """With all of them, also those that are left out by now."""
        return total_traffic(self._known)

    def admit(self, batch: Batch) -> None:
        """Tell each of them which queries are admitted."""
        for channel in self._channels.values():
            batch.send(channel, MessageType.ADMISSION)

    def announce(self, batch: Batch) -> None:
        """Tell the querying party who takes part: here everybody does."""

    def collect(self, batch: Batch) -> Votes:
        """Their shares of an admitted batch, added up."""
        shares = [
            receive_vote_share(channel, batch, self._classes) for channel in self._channels.values()
        ]
        return self._total(batch, shares)

    def end(self) -> None:
        """There are no more queries."""
        for channel in self._channels.values():
            Batch.send_end(channel, MessageType.ADMISSION)

    def _total(self, batch: Batch, shares: list[Int64]) -> Votes:
        total = np.zeros((batch.count, self._classes), dtype=np.int64)
        for share in shares:
            total += share
        return Votes(modulo(VOTE_BITS, total), len(shares))


class VotesOfSome(VoteCollection):
    """The same where `fewest` of the config suffice: those that are dead or late are left out.

    `left_out` is told of each, and why. `again` is called before the parties mask their shares once
    more, for fewer voters: it charges for that. `late_comers` gives those that have come since it
    was asked last. ProtocolError where too few are left.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        querying: Channel,
        config: PartyConfig,
        *,
        left_out: Callable[[str, str], None],
        again: Callable[[Batch], None],
        late_comers: Callable[[], Mapping[str, Channel]] = dict,
    ) -> None:
        super().__init__(channels, config.rule.counts)
        self._querying = querying
        self._config = config
        self._left_out = left_out
        self._again = again
        self._late_comers = late_comers
        self._joined: list[str] = []
        self._reason = ""

    def admit(self, batch: Batch) -> None:
        """Tell each one that is there which queries are admitted; from now on the late ones too."""
        come = self._late_comers()
        for name, channel in come.items():
            if name in self._channels:
                self._leave_out(name, "it has come again")
            self._channels[name] = channel
            self._known.append(channel)
            logger.info("%s takes part again", name)
        self._joined = sorted(come)
        self._on_each(lambda channel: batch.send(channel, MessageType.ADMISSION))
        self._require_enough()

    def announce(self, batch: Batch) -> None:
        """Tell the querying party who was told, and with whom it has to begin anew."""
        joined = [name for name in self._joined if name in self._channels]
        send_voters(self._querying, batch, self._channels, joined)

    def collect(self, batch: Batch) -> Votes:
        """The shares of those who voted and are still there.

        The querying party says with whom step 1c came to its end; it is told whose shares are in
        the sum.
        """
        cast = receive_voters(self._querying, batch, self._channels)
        for name in set(self._channels) - cast:
            self._leave_out(name, "the querying party has no vote of it")
        self._require_enough()
        masked = self._config.distributed_noise
        shares = self._masked_shares(batch) if masked else self._shares(batch)
        send_voters(self._querying, batch, shares)
        return self._total(batch, list(shares.values()))

    def end(self) -> None:
        """There are no more queries: a party that is gone needs not know."""
        for name, channel in self._channels.items():
            try:
                Batch.send_end(channel, MessageType.ADMISSION)
            except ProtocolError as error:
                logger.info("%s does not hear of the end: %s", name, error)

    def _shares(self, batch: Batch) -> dict[str, Int64]:
        shares = self._on_each(lambda channel: receive_vote_share(channel, batch, self._classes))
        self._require_enough()
        return shares

    def _masked_shares(self, batch: Batch) -> dict[str, Int64]:
        """Shares whose masks cancel: who is to answer is fixed before anybody masks.

        Who is named and sends nothing has the others mask anew, each time for fewer.
        """
        tokens = self._on_each(lambda channel: receive_present(channel, batch))
        self._require_enough()
        attempt = 1
        while True:
            named = MaskedFor(attempt, tokens)
            self._on_each(lambda channel, named=named: named.send(channel, batch))  # type: ignore[misc]
            shares = self._shares(batch)
            if set(shares) == set(tokens):
                break
            self._again(batch)
            tokens = {name: tokens[name] for name in shares}
            attempt += 1
        self._on_each(lambda channel: MaskedFor(attempt, {}).send(channel, batch))
        return shares

    def _on_each(self, work: Callable[[Channel], Result]) -> dict[str, Result]:
        """What the work gives with each that is there, all within one party's time."""
        deadline = time.monotonic() + self._config.patience_seconds
        done: dict[str, Result] = {}
        for name, channel in list(self._channels.items()):
            channel.wait_at_most(max(deadline - time.monotonic(), _LEAST_SECONDS))
            try:
                done[name] = work(channel)
            except ProtocolError as error:
                self._leave_out(name, str(error))
        return done

    def _leave_out(self, name: str, reason: str) -> None:
        """From here on; whatever it still sends is not read."""
        self._channels.pop(name).close()
        self._reason = f"{name}: {reason}"
        self._left_out(name, reason)

    def _require_enough(self) -> None:
        require_enough(len(self._channels), self._config, self._reason)
