"""Non-linear layers between two parties: garbled circuits or table look-ups, whichever was chosen.

The answering party garbles circuits and holds tables; the querying party evaluates and chooses. A
layer is prepared in the offline phase (`NonlinearPlan.ahead`) unless there would be too much to
keep. The answering party's shares of what circuits and tables give are fresh masks of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from capc.fixed_point import FixedPoint, Int64
from capc.gc.circuits import Circuit
from capc.gc.lookup_layers import (
    Arrange,
    ChosenLayer,
    DrawnMasks,
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


class PreparedLayer(Protocol):
    """A party's end of a layer of a batch; used once."""

    def evaluate(self, words: Int64) -> Int64:
        """Online, from its shares of the inputs, (instances, words), to those of the outputs.

        These are ring elements, (instances, 1).
        """


Finish = Callable[[Callable[[], object]], None]
"""Does the rest of what was begun. What it is given is called again and again while the stock is
filled, and may send messages of a type that the other party sets aside."""


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
            self._holder = HolderSession(duplex, supply.tree_depth, channel.line)

    def draw(self, plan: NonlinearPlan) -> PreparedLayer:
        """Offline: the masks of a layer. Nothing is sent."""
        if isinstance(plan.function, LookupLayer):
            return _Held(self._holder, plan.function, plan)
        return _Garbled(self._garbler, plan.function, plan, self._ring)

    def begin(self, layers: Collection[PreparedLayer]) -> Finish:
        """Offline: begin all that is prepared ahead, and send what needs no answer.

        The querying party begins the same layers, and before both finish they may use the channel
        for other messages.
        """
        held = [layer for layer in layers if isinstance(layer, _Held) and layer.plan.ahead]
        garbled = [layer for layer in layers if isinstance(layer, _Garbled) and layer.plan.ahead]
        begun = None
        if held:
            drawn = [part for layer in held for part in layer.drawn]
            begun = hold(self._holder, drawn, held[0].plan.from_stock)

        def finish(meanwhile: Callable[[], object]) -> None:
            if begun is not None:
                begun.finish(meanwhile)
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

    def layer(self, plan: NonlinearPlan) -> PreparedLayer:
        """The other half of AnsweringSide.draw."""
        if isinstance(plan.function, LookupLayer):
            return _Chosen(self._chooser, plan.function, plan)
        return _Evaluated(self._evaluator, plan.function, plan)

    def evaluate_row(
        self, row: Sequence[tuple[PreparedLayer, Arrange]], words: Int64
    ) -> list[Int64]:
        """Online, layers of which each takes the outputs of the one before: their outputs.

        `words` are those of the first. The outputs are what `evaluate` gives of each. Layers by
        look-ups run one into the other: a piece of a layer begins while others of the layer before
        are under way.
        """
        chosen = [
            layer.in_a_row(arrange)
            for layer, arrange in row
            if isinstance(layer, _Chosen) and layer.is_one_piece
        ]
        if len(chosen) == len(row):
            return choose(self._chooser, chosen, words)
        outputs: list[Int64] = []
        for layer, arrange in row:
            outputs.append(layer.evaluate(arrange(outputs[-1]) if outputs else words))
        return outputs

    def begin(self, layers: Collection[PreparedLayer]) -> Finish:
        """The other half of AnsweringSide.begin."""
        chosen = [layer for layer in layers if isinstance(layer, _Chosen) and layer.plan.ahead]
        evaluated = [
            layer for layer in layers if isinstance(layer, _Evaluated) and layer.plan.ahead
        ]
        begun = None
        if chosen:
            parts = [part for layer in chosen for part in layer.parts()]
            begun = choose_ahead(self._chooser, parts, chosen[0].plan.from_stock)

        def finish(meanwhile: Callable[[], object]) -> None:
            if begun is not None:
                begun.finish(meanwhile)
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
        ring: FixedPoint,
    ) -> None:
        self._session, self._circuit, self.plan = session, circuit, plan
        self._masks = ring.uniform((plan.pieces[-1].stop, 1))
        self._batches: list[GarblerBatch] = []

    def wanted(self) -> list[tuple[Circuit, int, Int64]]:
        return [(self._circuit, _size(piece), self._masks[piece]) for piece in self.plan.pieces]

    def take(self, batches: Iterator[GarblerBatch]) -> None:
        self._batches = [next(batches) for _ in self.plan.pieces]

    def evaluate(self, words: Int64) -> Int64:
        if not self.plan.ahead:
            for piece in self.plan.pieces:
                self._session.run(self._circuit, words[piece], self._masks[piece])
            return self._masks
        for batch, piece in zip(self._batches, self.plan.pieces, strict=True):
            self._session.evaluate(batch, words[piece])
        return self._masks


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
    def __init__(self, session: HolderSession, layer: LookupLayer, plan: NonlinearPlan) -> None:
        self._session, self.plan = session, plan
        self.drawn = [draw(layer, _size(piece)) for piece in plan.pieces]
        self._batches: list[list[HolderBatch]] = []

    def take(self, batches: Iterator[HolderBatch]) -> None:
        self._batches = [[next(batches) for _ in drawn.steps] for drawn in self.drawn]

    def evaluate(self, words: Int64) -> Int64:
        outputs = []
        for place, (drawn, piece) in enumerate(zip(self.drawn, self.plan.pieces, strict=True)):
            batches = self._batches[place] if self.plan.ahead else self._prepared(drawn)
            outputs.append(answer(self._session, drawn, batches, words[piece]))
        return np.concatenate(outputs)

    def _prepared(self, drawn: DrawnMasks) -> Sequence[HolderBatch]:
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
            outputs += choose(self._session, [ChosenLayer(self._layer, batches)], words[piece])
        return np.concatenate(outputs)

    @property
    def is_one_piece(self) -> bool:
        return self.plan.ahead and len(self.plan.pieces) == 1

    def in_a_row(self, arrange: Arrange) -> ChosenLayer:
        return ChosenLayer(self._layer, self._batches[0], arrange)

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
