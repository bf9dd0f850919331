"""Non-linear layers between two parties: garbled circuits or table look-ups, whichever was chosen.

The answering party garbles circuits and holds tables; the querying party evaluates and chooses.
All of the answering party's shares are drawn in the offline phase, and a layer is prepared there
(`NonlinearPlan.ahead`) unless there would be too much to keep.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from capc.fixed_point import FixedPoint, Int64
from capc.gc.circuits import Circuit
from capc.gc.lookup_layers import (
    DrawnShares,
    LookupLayer,
    answer,
    choose,
    choose_ahead,
    draw,
    hold,
)
from capc.gc.lookups import ChooserBatch, ChooserSession, HolderBatch, HolderSession
from capc.gc.session import EvaluatorBatch, EvaluatorSession, GarblerBatch, GarblerSession
from capc.inference.layout import NonlinearPlan
from capc.inference.protocols import Nonlinear
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

Pieces = Sequence[slice]


class OwnLayer(Protocol):
    """A layer of a batch at the answering party; used once.

    `outputs` (instances, 1) are this party's shares of the outputs, fresh and uniform.
    """

    outputs: Int64

    def evaluate(self) -> None:
        """Online."""


class AskedLayer(Protocol):
    """A layer of a batch at the querying party; used once."""

    def evaluate(self, words: Int64) -> Int64:
        """Online, from its shares of the inputs, (instances, words), to those of the outputs."""


class AnsweringSide:
    """The answering party's ends of the sessions that its functions need."""

    def __init__(
        self, channel: Channel, ring: FixedPoint, functions: Collection[Nonlinear]
    ) -> None:
        duplex = channel.duplex(MessageType.CIRCUIT)
        circuits, lookups = _kinds(functions)
        self._ring = ring
        if circuits:
            self._garbler = GarblerSession(duplex)
        if lookups:
            self._holder = HolderSession(duplex)

    def prepare(self, plan: NonlinearPlan, words: Int64) -> OwnLayer:
        """Offline, from this party's shares of the inputs, (instances, words)."""
        if isinstance(plan.function, LookupLayer):
            return _Held(self._holder, plan.function, plan, words)
        masks = self._ring.uniform((len(words), 1))
        return _Garbled(self._garbler, plan.function, plan, words, masks)


class QueryingSide:
    """The querying party's ends of the same sessions."""

    def __init__(self, channel: Channel, functions: Collection[Nonlinear]) -> None:
        duplex = channel.duplex(MessageType.CIRCUIT)
        circuits, lookups = _kinds(functions)
        if circuits:
            self._evaluator = EvaluatorSession(duplex)
        if lookups:
            self._chooser = ChooserSession(duplex)

    def prepare(self, plan: NonlinearPlan) -> AskedLayer:
        """Offline: the other half of AnsweringSide.prepare."""
        if isinstance(plan.function, LookupLayer):
            return _Chosen(self._chooser, plan.function, plan)
        return _Evaluated(self._evaluator, plan.function, plan)


class _Garbled:
    def __init__(
        self,
        session: GarblerSession,
        circuit: Circuit,
        plan: NonlinearPlan,
        words: Int64,
        masks: Int64,
    ) -> None:
        self._session, self._circuit, self._pieces = session, circuit, plan.pieces
        self._words, self.outputs = words, masks
        self._batches: list[GarblerBatch] | None = None
        if plan.ahead:
            self._batches = [
                session.prepare(circuit, _size(piece), masks[piece]) for piece in plan.pieces
            ]

    def evaluate(self) -> None:
        if self._batches is None:
            for piece in self._pieces:
                self._session.run(self._circuit, self._words[piece], self.outputs[piece])
        else:
            for batch, piece in zip(self._batches, self._pieces, strict=True):
                self._session.evaluate(batch, self._words[piece])


class _Evaluated:
    def __init__(self, session: EvaluatorSession, circuit: Circuit, plan: NonlinearPlan) -> None:
        self._session, self._circuit, self._pieces = session, circuit, plan.pieces
        self._batches: list[EvaluatorBatch] | None = None
        if plan.ahead:
            self._batches = [session.prepare(circuit, _size(piece)) for piece in plan.pieces]

    def evaluate(self, words: Int64) -> Int64:
        if self._batches is None:
            return np.concatenate(
                [self._session.run(self._circuit, words[piece]) for piece in self._pieces]
            )
        return np.concatenate(
            [
                self._session.evaluate(batch, words[piece])
                for batch, piece in zip(self._batches, self._pieces, strict=True)
            ]
        )


class _Held:
    def __init__(
        self, session: HolderSession, layer: LookupLayer, plan: NonlinearPlan, words: Int64
    ) -> None:
        self._session, self._from_stock = session, plan.from_stock
        self._drawn = [draw(layer, words[piece]) for piece in plan.pieces]
        self.outputs = np.concatenate([drawn.outputs for drawn in self._drawn])
        self._batches: list[Sequence[HolderBatch]] | None = None
        if plan.ahead:
            self._batches = [self._prepared(drawn) for drawn in self._drawn]

    def evaluate(self) -> None:
        for place, drawn in enumerate(self._drawn):
            batches = self._prepared(drawn) if self._batches is None else self._batches[place]
            answer(self._session, drawn, batches)

    def _prepared(self, drawn: DrawnShares) -> Sequence[HolderBatch]:
        return hold(self._session, drawn, self._from_stock)


class _Chosen:
    def __init__(self, session: ChooserSession, layer: LookupLayer, plan: NonlinearPlan) -> None:
        self._session, self._layer, self._pieces = session, layer, plan.pieces
        self._from_stock = plan.from_stock
        self._batches: list[Sequence[ChooserBatch]] | None = None
        if plan.ahead:
            self._batches = [self._prepared(piece) for piece in plan.pieces]

    def evaluate(self, words: Int64) -> Int64:
        parts = []
        for place, piece in enumerate(self._pieces):
            batches = self._prepared(piece) if self._batches is None else self._batches[place]
            parts.append(choose(self._session, self._layer, batches, words[piece]))
        return np.concatenate(parts)

    def _prepared(self, piece: slice) -> Sequence[ChooserBatch]:
        return choose_ahead(self._session, self._layer, _size(piece), self._from_stock)


def _size(piece: slice) -> int:
    return int(piece.stop - piece.start)


def _kinds(functions: Collection[Nonlinear]) -> tuple[bool, bool]:
    """Whether there are circuits, and whether there are look-ups."""
    lookups = [isinstance(function, LookupLayer) for function in functions]
    return not all(lookups), any(lookups)
