"""Functions by table look-ups: a ninth of the bytes of garbled circuits, or less, in more rounds.

The holder has a share of x, the chooser the other; the result is shared afresh under the holder's
masks, as the circuit of the same function shares it. A session begins with base oblivious transfers
in both directions. `prepare` runs before the query is known, `evaluate` takes one round trip a step
of the plan. After a ProtocolError a session is dead: open another. Trust is as in capc.gc.session
(docs/garbled-circuits.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import Int64
from capc.gc import _engine
from capc.gc.circuits import as_words
from capc.transport.duplex import Duplex

MAX_INSTANCES = _engine.MAX_LOOKUP_INSTANCES  # of one message; more run one after the other
_KEPT_LOOKUP_BYTES = 8  # what the holder keeps of a prepared look-up, about
_STOCK_ROUND_TRIPS = 1.5  # trees, point and proof
STOCK_FROM = 1 << 20
"""Transfers of a batch, all its layers together, from which on all of them come from the session's
stock of silent transfers, whose first rounds take some 0.1 s and 1.1 MB. Fewer are made with
messages of their own."""


class Lookups:
    """A function of one number by table look-ups: the public part that both parties know.

    Its input is shared modulo 2^ring_bits, its output modulo 2^output_bits, which is
    the same ring unless it is given. The constructors raise ValueError for figures that no such
    function has.
    """

    def __init__(self, plan: _engine.LookupPlan) -> None:
        self.plan = plan

    @classmethod
    def relu(cls, ring_bits: int, shift: int, output_bits: int | None = None) -> Lookups:
        """y = max(x, 0) >> shift, for every x of the ring; 0 <= shift <= ring_bits - 2."""
        return cls(_engine.LookupPlan.relu(ring_bits, shift, output_bits or ring_bits))

    @classmethod
    def bounded_relu(
        cls, ring_bits: int, shift: int, cap: int, output_bits: int | None = None
    ) -> Lookups:
        """y = min(max(x, 0) >> shift, cap), for every x; 0 < cap < 2^(ring_bits - 1 - shift)."""
        if cap < 1:
            raise ValueError(f"a cap of {cap}; at least 1 is needed")
        plan = _engine.LookupPlan.bounded_relu(ring_bits, shift, cap, output_bits or ring_bits)
        return cls(plan)

    @property
    def ring_bits(self) -> int:
        """Of the inputs' ring."""
        return self.plan.ring_bits

    @property
    def output_bits(self) -> int:
        """Of the outputs' ring."""
        return self.plan.output_bits

    @property
    def rounds(self) -> int:
        """Round trips of the online phase, for a batch of up to 65,536 instances."""
        return self.plan.step_count

    @property
    def kept_bytes(self) -> int:
        """What the holder keeps of one prepared instance, about."""
        return _KEPT_LOOKUP_BYTES * self.plan.lookups

    def offline_bytes(self, instances: int, from_stock: bool = False) -> tuple[int, int]:
        """Bytes from the holder and from the chooser, headers included.

        From the stock: their share of its rounds, without the seeds of its first.
        """
        if from_stock:
            per_transfer = _engine.STOCK_ROUND_BYTES / _engine.STOCK_ROUND_TRANSFERS
            return (
                round(instances * self.plan.transfers * per_transfer),
                round(instances * self.plan.back_transfers * per_transfer),
            )
        return summed(self.plan.offline_bytes(count) for count in _pieces(instances))

    def online_bytes(self, instances: int) -> tuple[int, int]:
        """Bytes from the holder and from the chooser, headers included."""
        return summed(self.plan.online_bytes(count) for count in _pieces(instances))


class HolderBatch:
    """Prepared instances at the holder, used once and in order."""

    def __init__(self, function: Lookups, pieces: list[_engine.HolderBatch]) -> None:
        self.function = function
        self._pieces = pieces


class ChooserBatch:
    """Prepared instances at the chooser, used once and in order."""

    def __init__(self, function: Lookups, pieces: list[_engine.ChooserBatch]) -> None:
        self.function = function
        self._pieces = pieces


class HolderSession:
    """The end that fills the tables: the answering party's."""

    def __init__(self, channel: Duplex) -> None:
        self._channel = channel
        self._engine = _engine.HolderSession()
        offer = channel.recv(_engine.LOOKUP_OFFER_BYTES)
        channel.send(self._engine.setup_choose(offer))
        answer = channel.recv(_engine.LOOKUP_ANSWER_BYTES)
        channel.send(self._engine.setup_finish(answer))

    def prepare(self, function: Lookups, masks: ArrayLike, from_stock: bool = False) -> HolderBatch:
        """Random transfers in both directions for as many instances as there are `masks`, (n, 1).

        The masks become this party's shares of the outputs. They must be fresh and uniform. Both
        ends say alike whether the transfers come `from_stock`; once there is one, they always do.
        """
        words = as_words(masks, 1)
        pieces, start = [], 0
        from_stock = from_stock or self._engine.stock.is_seeded
        for count in _pieces(len(words)):
            piece = self._engine.prepare(function.plan, words[start : start + count], from_stock)
            if from_stock:
                self._draw(piece, function.plan)
            else:
                self._channel.send(piece.correct())
                for chunk in range(function.plan.chunk_count(count)):
                    size = function.plan.correlate_bytes(count, chunk)
                    piece.take_correlations(self._channel.recv(size))
            pieces.append(piece)
            start += count
        return HolderBatch(function, pieces)

    def _draw(self, piece: _engine.HolderBatch, plan: _engine.LookupPlan) -> None:
        stock, stock_back = self._engine.stock, self._engine.stock_back
        while not piece.is_prepared:
            if stock.available < plan.transfers:
                _fill_as_sender(self._channel, stock)
            if stock_back.available < plan.back_transfers:
                _fill_as_receiver(self._channel, stock_back)
            piece.draw()

    def evaluate(self, batch: HolderBatch, shares: ArrayLike) -> None:
        """Give this party's shares of x, (n, 1). RuntimeError where the batch was used already."""
        words, plan, start = _shares_of(batch, shares), batch.function.plan, 0
        for piece in batch._pieces:
            piece.begin(words[start : start + piece.instances])
            start += piece.instances
            for step in range(plan.step_count):
                chosen = self._channel.recv(plan.choose_bytes(piece.instances, step))
                self._channel.send(piece.answer(chosen))


class ChooserSession:
    """The end that reads one entry of each table, and speaks first: the querying party's."""

    def __init__(self, channel: Duplex) -> None:
        self._channel = channel
        self._engine = _engine.ChooserSession()
        channel.send(self._engine.setup_offer())
        choice = channel.recv(_engine.LOOKUP_CHOICE_BYTES)
        channel.send(self._engine.setup_answer(choice))
        self._engine.setup_finish(channel.recv(_engine.LOOKUP_TREES_BYTES))

    def prepare(self, function: Lookups, instances: int, from_stock: bool = False) -> ChooserBatch:
        """The other half of HolderSession.prepare."""
        pieces, from_stock = [], from_stock or self._engine.stock.is_seeded
        for count in _pieces(instances):
            piece = self._engine.prepare(function.plan, count, from_stock)
            if from_stock:
                self._draw(piece, function.plan)
            else:
                piece.take_back(self._channel.recv(function.plan.back_bytes(count)))
                for _ in range(function.plan.chunk_count(count)):
                    self._channel.send(piece.correlate())
            pieces.append(piece)
        return ChooserBatch(function, pieces)

    def _draw(self, piece: _engine.ChooserBatch, plan: _engine.LookupPlan) -> None:
        stock, stock_back = self._engine.stock, self._engine.stock_back
        while not piece.is_prepared:
            if stock.available < plan.transfers:
                _fill_as_receiver(self._channel, stock)
            if stock_back.available < plan.back_transfers:
                _fill_as_sender(self._channel, stock_back)
            piece.draw()

    def evaluate(self, batch: ChooserBatch, shares: ArrayLike) -> Int64:
        """From this party's shares of x, (n, 1), to its shares y - mask of the outputs, (n, 1)."""
        words, plan, start = _shares_of(batch, shares), batch.function.plan, 0
        outputs = []
        for piece in batch._pieces:
            piece.begin(words[start : start + piece.instances])
            start += piece.instances
            for step in range(plan.step_count):
                self._channel.send(piece.choose())
                piece.take_table(self._channel.recv(plan.table_bytes(piece.instances, step)))
            outputs.append(piece.outputs())
        return np.concatenate(outputs)


def _fill_as_sender(channel: Duplex, stock: _engine.StockSender) -> None:
    """One round of silent transfers, after the seeds of the first."""
    if not stock.is_seeded:
        stock.take_seeds(channel.recv(stock.seed_bytes))
    channel.send(stock.grow())
    channel.send(stock.prove(channel.recv(_engine.STOCK_POINT_BYTES)))


def _fill_as_receiver(channel: Duplex, stock: _engine.StockReceiver) -> None:
    """The other half of _fill_as_sender."""
    if not stock.is_seeded:
        channel.send(stock.send_seeds())
    channel.send(stock.answer(channel.recv(stock.trees_bytes)))
    stock.finish(channel.recv(_engine.STOCK_PROOF_BYTES))


def _shares_of(batch: HolderBatch | ChooserBatch, shares: ArrayLike) -> Int64:
    words, needed = as_words(shares, 1), sum(piece.instances for piece in batch._pieces)
    if words.shape != (needed, 1):
        raise ValueError(f"the shares have shape {words.shape}; the batch needs ({needed}, 1)")
    return words


def _pieces(instances: int) -> Iterator[int]:
    """The sizes of the engine's batches, which hold so many instances together."""
    if instances < 1:
        raise ValueError(f"{instances} instances; at least 1 is needed")
    starts = range(0, instances, MAX_INSTANCES)
    return (min(MAX_INSTANCES, instances - start) for start in starts)


def stock_round_trips(transfers: int) -> float:
    """Round trips of the stock's rounds that so many transfers take: of a round, their share."""
    return _STOCK_ROUND_TRIPS * transfers / _engine.STOCK_ROUND_TRANSFERS


def summed(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Bytes of each direction, over all of `pairs`."""
    holder = chooser = 0
    for from_holder, from_chooser in pairs:
        holder += from_holder
        chooser += from_chooser
    return holder, chooser
