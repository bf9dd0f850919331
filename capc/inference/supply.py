"""Where look-ups take their oblivious transfers from, by the rate of the line.

A transfer costs either work or bytes. By corrections it takes 4 bytes, or 2 with deep seed trees
and more work; from a session's stock a sixth of one, once its seeds are sent and its first rounds
made. Both parties decide alike, from public figures and the rate that they agreed on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from capc.gc.lookup_bytes import correction_bytes, stock_start_bytes
from capc.gc.lookups import (
    DEEP_TREES,
    SHALLOW_TREES,
    STOCK_TRANSFER_BYTES,
)
from capc.inference.link import Link

# Seconds an oblivious transfer made ahead, by corrections or from the stock, with its part of a
# table's pads: both parties' processor time (Xeon, AVX-512).
CORRECTION_SECONDS = {SHALLOW_TREES: 45e-9, DEEP_TREES: 130e-9}
STOCK_SECONDS = 50e-9
_START_SECONDS = 0.1  # seeds and first rounds, in both directions
_START_BATCHES = 10  # of a session, which together pay for its stock's start
_MOST_CORRECTED = 1 << 20


@dataclass(frozen=True)
class Supply:
    """How a session's look-ups have their transfers.

    `tree_depth`: of the seed trees of corrections. `stock_from`: a batch whose look-ups take so
    many transfers, in both directions and all layers together, has all of them from the stock.
    """

    tree_depth: int
    stock_from: int

    @classmethod
    def over(cls, link: Link) -> Supply:
        """What takes the least time over a line of this rate.

        The stock is for a session, so its start is shared among some batches. Where corrections
        are faster each time, as within a machine, large batches take the stock for its few bytes.
        """
        depth = min(CORRECTION_SECONDS, key=lambda depth: _correction_seconds(link, depth))
        spared = _correction_seconds(link, depth) - STOCK_SECONDS
        spared -= link.seconds(STOCK_TRANSFER_BYTES, 0)
        start = _START_SECONDS + link.seconds(stock_start_bytes(depth), 0)
        needed = start / (_START_BATCHES * spared) if spared > 0 else math.inf
        return cls(depth, math.ceil(min(needed, _MOST_CORRECTED)))

    def described(self) -> str:
        """For a log."""
        return (
            f"oblivious transfers by corrections of {correction_bytes(self.tree_depth)} bytes, or "
            f"from a stock in batches of {self.stock_from:,} and more"
        )


def _correction_seconds(link: Link, depth: int) -> float:
    return CORRECTION_SECONDS[depth] + link.seconds(correction_bytes(depth), 0)
