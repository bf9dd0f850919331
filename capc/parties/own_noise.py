"""An answering party's own part of the noise (--noise distributed), and what hides it on the way.

The noise is drawn ahead, in units of 2^-8 of a vote: its sum over the parties is what the labels
see. The masks cancel in that sum. What each party sends is its share, its noise and its masks.
"""

from __future__ import annotations

from capc.errors import ProtocolError
from capc.fixed_point import VOTE_BITS, Int64, modulo
from capc.parties.config import PartyConfig
from capc.parties.messages import Batch, send_vote_share
from capc.parties.pairwise_masks import PairwiseMasks
from capc.parties.voters import MaskedFor, new_token, send_present
from capc.privacy.distributed import party_sigma
from capc.privacy.noise import sample_noise
from capc.privacy.noise_ahead import NoiseAhead
from capc.transport.channel import Channel


class MaskedNoise:
    """The noise of one party in one run, and its masks."""

    def __init__(self, noise: NoiseAhead, masks: PairwiseMasks) -> None:
        self._noise = noise
        self._masks = masks

    def added(
        self, batch: Batch, vote_share: Int64, named: MaskedFor | None = None
    ) -> tuple[Int64, Int64]:
        """What the guardian gets in place of the share (count, C), and the noise in it.

        The masks cancel among the parties `named`, by default all. Noise is fresh in each call.
        """
        noise = self._noise.take(batch.count)
        if named is None:
            masks = self._masks.of(batch, vote_share.shape[1])
        else:
            masks = self._masks.of(
                batch, vote_share.shape[1], among=named.tokens, context=named.context
            )
        return modulo(VOTE_BITS, vote_share + noise + masks), noise

    def send_among_voters(
        self, guardian: Channel, batch: Batch, vote_share: Int64, config: PartyConfig
    ) -> Int64:
        """Where a query can do without some parties: send the share for those who answer.

        The guardian names them once all of them are there. Where one then sends nothing, it names
        fewer: they send again, under other masks and with other noise, which is charged again. The
        noise of the last time is returned. Raises ProtocolError where the guardian names a set that
        does not follow.
        """
        token = new_token()
        send_present(guardian, batch, token)
        before: MaskedFor | None = None
        noise: Int64 | None = None
        while (named := MaskedFor.receive(guardian, batch)).tokens:
            self._require_next(named, before, token, config, guardian.peer)
            sent, noise = self.added(batch, vote_share, named)
            send_vote_share(guardian, batch, sent)
            before = named
        if noise is None:
            raise ProtocolError(f"{guardian.peer} settled {batch} without this party's share")
        return noise

    def _require_next(
        self,
        named: MaskedFor,
        before: MaskedFor | None,
        token: str,
        config: PartyConfig,
        peer: str,
    ) -> None:
        """A set with this party, large enough, and smaller than the one before."""
        names = set(named.tokens)
        follows = (
            named.attempt == 1
            if before is None
            else named.attempt == before.attempt + 1 and names < set(before.tokens)
        )
        known = names - {config.party} <= self._masks.others
        if not follows or not known or named.tokens.get(config.party) != token:
            raise ProtocolError(f"{peer} named voters that do not follow from what was said before")
        if len(names) < config.fewest:
            raise ProtocolError(
                f"{peer} named {len(names)} voters, and a query needs {config.fewest}"
            )

    def refill(self) -> None:
        """Between two batches."""
        self._noise.refill()


def draw_own_noise(config: PartyConfig) -> NoiseAhead | None:
    """The party's noise for the run, before anything is timed; None where the guardian draws.

    Of a batch there is as much as it may be sent again: each time there is a party less.
    """
    own = config.own_noise
    if own is None:
        return None
    scale, classes = party_sigma(own.sigma, config.fewest, own.colluding), config.rule.counts
    times = config.n_parties - config.fewest + 1
    return NoiseAhead(
        lambda rows: sample_noise(scale, rows * classes).reshape(rows, classes),
        words=classes,
        queries=times * config.n_queries,
        batch_size=times * config.batch_size,
    )
