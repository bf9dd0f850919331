"""Masks that add up to zero over all answering parties, so that only their sum can be read.

Under distributed noise the guardian gets each party's vote share plus that party's noise. The
querying party holds the other vote share: together the two would read one party's vote under the
little noise that this party drew. So each two answering parties agree on a key, and add and
subtract what it expands to (Bonawitz et al. 2017, section 4). Of parties that keep their keys to
themselves, others see the sum alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Set

import numpy as np

from capc.fixed_point import VOTE_BITS, Int64, modulo
from capc.parties.messages import Batch
from capc.transport.tls import Identity

_PURPOSE = b"capc pairwise masks"


class PairwiseMasks:
    """One answering party's masks in one run; each query's are used once."""

    def __init__(self, identity: Identity, others: Mapping[str, str], run: bytes = b"") -> None:
        """`others`: the other answering parties' certificates (PEM), by name.

        `run` is another one in each run where the key pairs stay: no mask is used twice.
        """
        self._keys = {
            name: (
                1 if identity.party < name else -1,
                identity.agreed_key(certificate, _PURPOSE + run),
            )
            for name, certificate in sorted(others.items())
        }

    @property
    def others(self) -> Set[str]:
        """The names of the parties with whom there is a key."""
        return self._keys.keys()

    def of(
        self,
        batch: Batch,
        classes: int,
        *,
        among: Collection[str] | None = None,
        context: bytes = b"",
    ) -> Int64:
        """Ring elements modulo 2^32 for the batch's counts, int64 (count, classes).

        They cancel in the sum over the parties `among` (None: all), of which this one is one.
        `context` is 32 bytes that belong to this set and come once, empty where there is one set.
        """
        total = np.zeros((batch.count, classes), dtype=np.int64)
        for name, (sign, key) in self._keys.items():
            if among is not None and name not in among:
                continue
            for row in range(batch.count):
                query = (batch.first + row).to_bytes(8, "little")
                stream = hashlib.shake_256(key + query + context).digest(classes * VOTE_BITS // 8)
                total[row] += sign * np.frombuffer(stream, dtype="<u4").astype(np.int64)
        return modulo(VOTE_BITS, total)
