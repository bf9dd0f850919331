"""In which order a chooser goes through look-ups of which later ones take what earlier ones give.

The holder evaluates one stage after the other. The chooser sends the same messages in the same
order, each as soon as it can.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from capc.fixed_point import Int64
from capc.gc import _engine
from capc.gc.layer_pieces import piece_places


@dataclass(frozen=True, eq=False)
class Stage:
    """A prepared function in a row of them; `sources` are places in what there is by then.

    These are places (n, inputs) in the values that the row begins with, followed by the outputs of
    the stages before.
    """

    plan: _engine.LookupPlan
    pieces: Sequence[_engine.ChooserBatch]
    sources: Int64


@dataclass(frozen=True, eq=False)
class Step:
    """Step `number` of a piece. It begins once the step at the place `needs` is answered.

    The piece takes the values at `sources` and gives those at `outputs`.
    """

    plan: _engine.LookupPlan
    piece: _engine.ChooserBatch
    number: int
    sources: Int64
    outputs: slice
    needs: int


def steps_of(stages: Sequence[Stage], known: int) -> Iterator[Step]:
    """All steps in the order of their messages, of a row that begins with `known` values."""
    ends, last_steps = [known], [-1]  # where outputs end, and after which step they are there
    begun = 0
    for stage in stages:
        count, places = len(stage.pieces), list(piece_places(len(stage.sources)))
        first = ends[-1]
        for number in range(stage.plan.step_count):
            for index, (piece, place) in enumerate(zip(stage.pieces, places, strict=True)):
                sources = stage.sources[place]
                needs = begun + (number - 1) * count + index
                if number == 0:
                    needs = last_steps[bisect_right(ends, int(sources.max()))]
                outputs = slice(first + place.start, first + place.stop)
                yield Step(stage.plan, piece, number, sources, outputs, needs)
        begun += stage.plan.step_count * count
        ends += [first + place.stop for place in places]
        last_steps += range(begun - count, begun)
