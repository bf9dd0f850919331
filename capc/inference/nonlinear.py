"""Non-linear layers between two parties: garbled circuits or table look-ups, whichever was chosen.

The answering party garbles circuits and holds tables; the querying party evaluates and chooses.
All of the answering party's shares are drawn in the offline phase, and a layer is prepared there
(`NonlinearPlan.ahead`) unless there would be too much to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

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
from capc.inference.supply import Supply
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

BatchT = TypeVar("BatchT")
TakenT_contra = TypeVar("TakenT_contra", contravariant=True)


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


class _Taking(Protocol[TakenT_contra]):
    def take(self, batches: Iterator[TakenT_contra]) -> None: ...


class AnsweringSide:
    """The answering party's ends of the sessions that its functions need."""

    def __init__(
        self,
        channel: Channel,
        ring: FixedPoint,
        functions: Collection[Nonlinear],
        supply: Supply,
    ) -> None:
        duplex = channel.duplex(MessageType.CIRCUIT)
        circuits, lookups = _kinds(functions)
        self._ring = ring
        if circuits:
            self._garbler = GarblerSession(duplex)
        if lookups:
            self._holder = HolderSession(duplex, supply.tree_depth)

    def draw(self, plan: NonlinearPlan, words: Int64) -> OwnLayer:
        """Offline, from this party's shares of the inputs, (instances, words). Nothing is sent."""
        if isinstance(plan.function, LookupLayer):
            return _Held(self._holder, plan.function, plan, words)
        masks = self._ring.uniform((len(words), 1))
        return _Garbled(self._garbler, plan.function, plan, words, masks)

    def begin(self, layers: Collection[OwnLayer]) -> Callable[[], None]:
        """Offline: begin all that is prepared ahead, and send what needs no answer.

        The function that is returned does the rest. The querying party begins the same layers, and
        in between both may use the channel for other messages.
        """
        held = [layer for layer in layers if isinstance(layer, _Held) and layer.plan.ahead]
        garbled = [layer for layer in layers if isinstance(layer, _Garbled) and layer.plan.ahead]
        begun = None
        if held:
            drawn = [part for layer in held for part in layer.drawn]
            begun = hold(self._holder, drawn, held[0].plan.from_stock)

        def finish() -> None:
            if begun is not None:
                begun.finish()
                _deal(begun.batches, held)
            if garbled:
                wanted = [piece for layer in garbled for piece in layer.wanted()]
                _deal(self._garbler.prepare_all(wanted), garbled)

        return finish


class QueryingSide:
    """The querying party's ends of the same sessions."""

    def __init__(self, channel: Channel, functions: Collection[Nonlinear], supply: Supply) -> None:
        duplex = channel.duplex(MessageType.CIRCUIT)
        circuits, lookups = _kinds(functions)
        if circuits:
            self._evaluator = EvaluatorSession(duplex)
        if lookups:
            self._chooser = ChooserSession(duplex, supply.tree_depth)

    def layer(self, plan: NonlinearPlan) -> AskedLayer:
        """The other half of AnsweringSide.draw."""
        if isinstance(plan.function, LookupLayer):
            return _Chosen(self._chooser, plan.function, plan)
        return _Evaluated(self._evaluator, plan.function, plan)

    def begin(self, layers: Collection[AskedLayer]) -> Callable[[], None]:
        """The other half of AnsweringSide.begin."""
        chosen = [layer for layer in layers if isinstance(layer, _Chosen) and layer.plan.ahead]
        evaluated = [
            layer for layer in layers if isinstance(layer, _Evaluated) and layer.plan.ahead
        ]
        begun = None
        if chosen:
            parts = [part for layer in chosen for part in layer.parts()]
            begun = choose_ahead(self._chooser, parts, chosen[0].plan.from_stock)

        def finish() -> None:
            if begun is not None:
                begun.finish()
                _deal(begun.batches, chosen)
            if evaluated:
                wanted = [piece for layer in evaluated for piece in layer.wanted()]
                _deal(self._evaluator.prepare_all(wanted), evaluated)

        return finish


class _Garbled:
    def __init__(
        self,
        session: GarblerSession,
        circuit: Circuit,
        plan: NonlinearPlan,
        words: Int64,
        masks: Int64,
    ) -> None:
        self._session, self._circuit, self.plan = session, circuit, plan
        self._words, self.outputs = words, masks
        self._batches: list[GarblerBatch] = []

    def wanted(self) -> list[tuple[Circuit, int, Int64]]:
        return [(self._circuit, _size(piece), self.outputs[piece]) for piece in self.plan.pieces]

    def take(self, batches: Iterator[GarblerBatch]) -> None:
        self._batches = [next(batches) for _ in self.plan.pieces]

    def evaluate(self) -> None:
        if not self.plan.ahead:
            for piece in self.plan.pieces:
                self._session.run(self._circuit, self._words[piece], self.outputs[piece])
            return
        for batch, piece in zip(self._batches, self.plan.pieces, strict=True):
            self._session.evaluate(batch, self._words[piece])


class _Evaluated:
    def __init__(self, session: EvaluatorSession, circuit: Circuit, plan: NonlinearPlan) -> None:
        self._session, self._circuit, self.plan = session, circuit, plan
        self._batches: list[EvaluatorBatch] = []

    def wanted(self) -> list[tuple[Circuit, int]]:
        return [(self._circuit, _size(piece)) for piece in self.plan.pieces]

    def take(self, batches: Iterator[EvaluatorBatch]) -> None:
        self._batches = [next(batches) for _ in self.plan.pieces]

    def evaluate(self, words: Int64) -> Int64:
        parts = [words[piece] for piece in self.plan.pieces]
        if not self.plan.ahead:
            return np.concatenate([self._session.run(self._circuit, part) for part in parts])
        return np.concatenate(self._session.evaluate_all(self._batches, parts))


class _Held:
    def __init__(
        self, session: HolderSession, layer: LookupLayer, plan: NonlinearPlan, words: Int64
    ) -> None:
        self._session, self.plan = session, plan
        self.drawn = [draw(layer, words[piece]) for piece in plan.pieces]
        self.outputs = np.concatenate([drawn.outputs for drawn in self.drawn])
        self._batches: list[list[HolderBatch]] = []

    def take(self, batches: Iterator[HolderBatch]) -> None:
        self._batches = [[next(batches) for _ in drawn.steps] for drawn in self.drawn]

    def evaluate(self) -> None:
        for place, drawn in enumerate(self.drawn):
            batches = self._batches[place] if self.plan.ahead else self._prepared(drawn)
            answer(self._session, drawn, batches)

    def _prepared(self, drawn: DrawnShares) -> Sequence[HolderBatch]:
        begun = hold(self._session, [drawn], self.plan.from_stock)
        begun.finish()
        return begun.batches


class _Chosen:
    def __init__(self, session: ChooserSession, layer: LookupLayer, plan: NonlinearPlan) -> None:
        self._session, self._layer, self.plan = session, layer, plan
        self._batches: list[list[ChooserBatch]] = []

    def parts(self) -> list[tuple[LookupLayer, int]]:
        return [(self._layer, _size(piece)) for piece in self.plan.pieces]

    def take(self, batches: Iterator[ChooserBatch]) -> None:
        stages = self._layer.stages
        self._batches = [[next(batches) for _ in stages] for _ in self.plan.pieces]

    def evaluate(self, words: Int64) -> Int64:
        outputs = []
        for place, piece in enumerate(self.plan.pieces):
            batches = self._batches[place] if self.plan.ahead else self._prepared(piece)
            outputs.append(choose(self._session, self._layer, batches, words[piece]))
        return np.concatenate(outputs)

    def _prepared(self, piece: slice) -> Sequence[ChooserBatch]:
        part = self._layer, _size(piece)
        begun = choose_ahead(self._session, [part], self.plan.from_stock)
        begun.finish()
        return begun.batches


def _deal(batches: Iterable[BatchT], layers: Iterable[_Taking[BatchT]]) -> None:
    """Each layer takes its part of the prepared batches, in order."""
    left = iter(batches)
    for layer in layers:
        layer.take(left)


def _size(piece: slice) -> int:
    return int(piece.stop - piece.start)


def _kinds(functions: Collection[Nonlinear]) -> tuple[bool, bool]:
    """Whether there are circuits, and whether there are look-ups."""
    lookups = [isinstance(function, LookupLayer) for function in functions]
    return not all(lookups), any(lookups)
