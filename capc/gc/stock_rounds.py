"""The rounds of both stocks of a session that a preparation takes, in both directions at once.

A round has three messages: trees, point and proof (docs/silent-transfers.md). Both parties go
through ticks. In tick n the holder sends the trees of its round n, and the chooser those of its
own; proofs follow LAG ticks later, so that as many rounds are under way. Both know from the sizes
of the batches which messages there are, and so their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from capc.gc import _engine
from capc.transport.duplex import Duplex

LAG = _engine.STOCK_WINDOW - 1
"""Rounds of a direction that go on without a proof, beside the newest."""


class _Stock(Protocol):
    @property
    def pending(self) -> int: ...


class _Draws:
    """Batches that draw on one stock, in order, as long as it has something."""

    def __init__(
        self, pieces: Sequence[_engine.HolderBatch | _engine.ChooserBatch], *, back: bool
    ) -> None:
        self._left = deque(pieces)
        self._back = back

    @property
    def need_more(self) -> bool:
        return bool(self._left)

    def serve(self) -> None:
        while self._left:
            piece = self._left[0]
            if self._back:
                piece.draw_back()
            else:
                piece.draw()
            if not (piece.has_back if self._back else piece.has_forward):
                return
            self._left.popleft()


class HolderRounds:
    """At the holder: `begin` sends what needs no answer at once, `finish` does the rest."""

    def __init__(
        self,
        channel: Duplex,
        engine: _engine.HolderSession,
        pieces: Sequence[_engine.HolderBatch],
    ) -> None:
        self._channel = channel
        self._stock, self._stock_back = engine.stock, engine.stock_back
        self._forward, self._back = _Draws(pieces, back=False), _Draws(pieces, back=True)

    def begin(self) -> None:
        """Seeds where the session has none, then the first trees."""
        if not self._stock_back.is_seeded:
            self._channel.send(self._stock_back.send_seeds())
        if not self._stock.is_seeded:
            self._stock.take_seeds(self._channel.recv(self._stock.seed_bytes))
        self._forward.serve()
        self._back.serve()
        self._grow()

    def finish(self, meanwhile: Callable[[], object]) -> None:
        """Until every batch has its transfers and every round its proof.

        `meanwhile` is called in each tick.
        """
        for _ in range(1, LAG):
            self._grow()
            meanwhile()
        tick = 0  # the chooser's; the holder's own is LAG ahead
        while _under_way(self._forward, self._back, self._stock, self._stock_back):
            self._grow()
            meanwhile()
            if self._back.need_more:
                trees = self._channel.recv(self._stock_back.trees_bytes)
                self._channel.send(self._stock_back.answer(trees))
                self._back.serve()
            if self._stock.pending:
                point = self._channel.recv(_engine.STOCK_POINT_BYTES)
                self._channel.send(self._stock.prove(point))
            if tick >= LAG and self._stock_back.pending:
                self._stock_back.finish(self._channel.recv(_engine.STOCK_PROOF_BYTES))
            tick += 1

    def _grow(self) -> None:
        if self._forward.need_more:
            self._channel.send(self._stock.grow())
            self._forward.serve()


class ChooserRounds:
    """The other half of HolderRounds."""

    def __init__(
        self,
        channel: Duplex,
        engine: _engine.ChooserSession,
        pieces: Sequence[_engine.ChooserBatch],
    ) -> None:
        self._channel = channel
        self._stock, self._stock_back = engine.stock, engine.stock_back
        self._forward, self._back = _Draws(pieces, back=False), _Draws(pieces, back=True)

    def begin(self) -> None:
        """Seeds where the session has none: the holder's trees wait for them."""
        if not self._stock.is_seeded:
            self._channel.send(self._stock.send_seeds())

    def finish(self, meanwhile: Callable[[], object]) -> None:
        """As the holder's."""
        if not self._stock_back.is_seeded:
            self._stock_back.take_seeds(self._channel.recv(self._stock_back.seed_bytes))
        self._forward.serve()
        self._back.serve()
        tick = 0
        while _under_way(self._forward, self._back, self._stock, self._stock_back):
            if self._back.need_more:
                self._channel.send(self._stock_back.grow())
                self._back.serve()
            if self._forward.need_more:
                trees = self._channel.recv(self._stock.trees_bytes)
                self._channel.send(self._stock.answer(trees))
                self._forward.serve()
            if tick >= LAG and self._stock_back.pending:
                point = self._channel.recv(_engine.STOCK_POINT_BYTES)
                self._channel.send(self._stock_back.prove(point))
            if tick >= LAG and self._stock.pending:
                self._stock.finish(self._channel.recv(_engine.STOCK_PROOF_BYTES))
            meanwhile()
            tick += 1


def _under_way(forward: _Draws, back: _Draws, *stocks: _Stock) -> bool:
    return forward.need_more or back.need_more or any(stock.pending for stock in stocks)
