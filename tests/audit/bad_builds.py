"""Builds that leak on purpose. The audit must turn red on each of them; none is in the product.

Each is a change of the product's code in the processes of one run.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
from patching import replace

import capc.he.rns
import capc.inference.client as querying
import capc.parties.answering_party as answering
from capc.parties.pairwise_masks import PairwiseMasks


def mask_reused() -> None:
    """Each batch's vote shares have the masks of the first one."""
    kept: dict[int, Any] = {}

    def make(draw: Any) -> Any:
        return lambda party, batch: kept.setdefault(batch.count, draw(party, batch))

    replace(answering.AnsweringParty, "_draw_vote_share", make)


def mask_short() -> None:
    """The masks of votes have 31 bits in place of 32."""
    replace(answering, "uniform_bits", lambda draw: lambda bits, shape: draw(bits - 1, shape))


def parties_unmasked() -> None:
    """Under distributed noise the parties send their shares without masks between them."""

    def make(draw: Any) -> Any:
        return lambda *arguments: np.zeros_like(draw(*arguments))

    replace(PairwiseMasks, "of", make)


def flooding_off() -> None:
    """A reply's mask stands on the plaintext grid: nothing hides its noise."""

    def nothing(width: int, count: int, primes: Any) -> Any:
        return np.zeros((len(primes), count), dtype=np.uint64)

    replace(capc.he.rns, "uniform_noise", lambda draw: nothing)


def half_cell() -> None:
    """A reply's mask fills half of the cell between two points of the grid."""
    replace(
        capc.he.rns,
        "uniform_noise",
        lambda draw: lambda width, count, primes: draw(width // 4 * 2, count, primes),
    )


def inputs_unmasked() -> None:
    """Shares of the inputs of linear layers go out as they are, and so do the queries."""
    replace(querying, "taken_once", lambda take: lambda masks, name: 0 * take(masks, name))


def fixed_seed() -> None:
    """Masks come from a generator with the same seed in each run."""
    source = random.Random(7)
    replace(secrets, "token_bytes", lambda draw: source.randbytes)
    replace(capc.he.rns, "random_bytes", lambda draw: source.randbytes)


def index_opened() -> None:
    """Step 1c opens the vote to the querying party; see recorded_programs.py."""


BAD_BUILDS: dict[str, Callable[[], None]] = {
    build.__name__: build
    for build in (
        mask_reused,
        mask_short,
        parties_unmasked,
        flooding_off,
        half_cell,
        inputs_unmasked,
        fixed_seed,
        index_opened,
    )
}
