"""Non-linear layers by table look-ups: one function, or several in turn (capc.gc.lookups).

A layer is written once, as a program on a share: sums of shares, and look-ups of them. Both parties
follow it, each on its own share, so that the two shares of the result add up to the layer's
output. Offline the holder draws the masks of all look-ups, which are its shares of their results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import Int64, modulo, uniform_bits
from capc.gc.circuits import as_words
from capc.gc.lookup_bytes import summed
from capc.gc.lookup_steps import Stage
from capc.gc.lookups import (
    MAX_BITS_OF_FOUR,
    MAX_INSTANCES,
    SHALLOW_TREES,
    ChooserBatch,
    ChooserPreparation,
    ChooserSession,
    HolderBatch,
    HolderPreparation,
    HolderSession,
    Lookups,
)

Evaluate = Callable[[Lookups, Int64], Int64]  # shares (n,) or (n, inputs) -> (n,) of the function
Constant = Callable[[int], int]  # the number at the holder, 0 at the chooser: its two shares
Program = Callable[[Int64, Evaluate, Constant], Int64]  # shares (n, words) -> (n,)

MAX_FAN_IN = 4  # of a maximum


@dataclass(frozen=True)
class LookupLayer:
    """A function of `words` numbers of `ring_bits` bits, for both parties: see the builders below.

    Its output has `output_bits` bits. `program(share, evaluate, constant)` is what each party does
    with its share.
    """

    name: str
    ring_bits: int
    output_bits: int
    words: int
    program: Program

    @cached_property
    def stages(self) -> tuple[tuple[Lookups, int], ...]:
        """The look-ups of one instance, in order: which, and how many at a time."""
        found = []

        def note(function: Lookups, share: Int64) -> Int64:
            found.append((function, len(share)))
            return np.zeros(len(share), dtype=np.int64)

        self.program(np.zeros((1, self.words), dtype=np.int64), note, int)
        return tuple(found)

    @property
    def rounds(self) -> int:
        """Round trips of the online phase, for at most `piece_instances`."""
        return sum(function.rounds for function, _ in self.stages)

    @property
    def lookups(self) -> int:
        """Tables of one instance."""
        return sum(count * function.plan.lookups for function, count in self.stages)

    @property
    def transfers(self) -> int:
        """Oblivious transfers of one instance, in both directions."""
        return sum(
            count * (function.plan.transfers + function.plan.back_transfers)
            for function, count in self.stages
        )

    @property
    def piece_instances(self) -> int:
        """So many instances at most run without further round trips."""
        return MAX_INSTANCES // max((count for _, count in self.stages), default=1)

    def kept_bytes(self, instances: int) -> int:
        """What the holder keeps of prepared instances; the chooser keeps about half as much."""
        return instances * sum(count * function.kept_bytes for function, count in self.stages)

    def offline_bytes(
        self, instances: int, from_stock: bool = False, tree_depth: int = SHALLOW_TREES
    ) -> tuple[int, int]:
        """Bytes from the holder and from the chooser, headers included."""
        return summed(
            function.offline_bytes(instances * count, from_stock, tree_depth)
            for function, count in self.stages
        )

    def online_bytes(self, instances: int) -> tuple[int, int]:
        """Bytes from the holder and from the chooser, headers included."""
        return summed(function.online_bytes(instances * count) for function, count in self.stages)


def relu_lookups(ring_bits: int, shift: int, output_bits: int | None = None) -> LookupLayer:
    """y = max(x, 0) >> shift, as relu_circuit; shared modulo 2^output_bits where that is given.

    ValueError for figures that relu_circuit refuses, too.
    """
    return one_function(f"relu {ring_bits} >> {shift}", Lookups.relu(ring_bits, shift, output_bits))


def bounded_relu_lookups(
    ring_bits: int, shift: int, cap: int, output_bits: int | None = None
) -> LookupLayer:
    """y = min(max(x, 0) >> shift, cap), as bounded_relu_circuit; output_bits as in relu_lookups.

    ValueError unless 0 < cap < 2^(ring_bits - 1 - shift).
    """
    function = Lookups.bounded_relu(ring_bits, shift, cap, output_bits)
    return one_function(f"bounded relu {ring_bits} >> {shift} <= {cap}", function)


def rescale_lookups(ring_bits: int, shift: int) -> LookupLayer:
    """y = x >> shift, as truncate_circuit; ValueError unless 1 <= shift <= ring_bits - 2."""
    return one_function(f"truncate {ring_bits} >> {shift}", Lookups.rescale(ring_bits, shift))


def step_lookups(ring_bits: int, place: int) -> LookupLayer:
    """y = 2^place where x >= 0, else 0, as step_circuit in one ring."""
    return one_function(f"step {ring_bits} << {place}", Lookups.step(ring_bits, place))


def one_function(name: str, function: Lookups) -> LookupLayer:
    """A layer of one function of one number."""
    return LookupLayer(
        name,
        function.ring_bits,
        function.output_bits,
        1,
        lambda share, evaluate, _: evaluate(function, share[:, 0]),
    )


def maximum_lookups(
    ring_bits: int, window: int, small_bits: int | None = None, fan_in: int = 2
) -> LookupLayer:
    """The maximum of `window` numbers from -2^(ring_bits - 2) on and below 2^(ring_bits - 2).

    The differences of larger numbers would leave the ring. In a tree, at most `fan_in` numbers, 2
    to 4, are compared at once: more of them take fewer round trips and more bytes. With
    `small_bits` the numbers are those from 0 on and below 2^(small_bits - 1). Their shares need to
    be right modulo 2^small_bits alone, and all is done in that ring.
    """
    if not 2 <= fan_in <= MAX_FAN_IN:
        raise ValueError(f"a fan-in of {fan_in}; allowed are 2 to {MAX_FAN_IN}")
    bits = ring_bits if small_bits is None else small_bits
    most = fan_in if bits <= MAX_BITS_OF_FOUR else min(fan_in, 3)

    def program(share: Int64, evaluate: Evaluate, constant: Constant) -> Int64:
        left = share
        while left.shape[1] > 1:
            size = _group_size(left.shape[1], most)
            groups = left.shape[1] // size
            maximum = Lookups.maximum(bits, size, ring_bits if left.shape[1] == size else bits)
            winners = evaluate(maximum, left[:, : groups * size].reshape(-1, size))
            left = np.concatenate([winners.reshape(-1, groups), left[:, groups * size :]], axis=1)
        alone = window == 1 and bits < ring_bits
        return evaluate(Lookups.widened(bits, ring_bits), left[:, 0]) if alone else left[:, 0]

    name = f"maximum {ring_bits} x {window}"
    if small_bits is not None:
        name += f" of {small_bits} bits"
    return LookupLayer(name, ring_bits, ring_bits, window, program)


def _group_size(count: int, most: int) -> int:
    """Of groups of at most `most` of `count` numbers, so that the fewest are left; the smallest."""
    return min(range(2, min(most, count) + 1), key=lambda size: count // size + count % size)


@dataclass(frozen=True, eq=False, repr=False)
class DrawnMasks:
    """The holder's shares of what the look-ups of one layer give; used once.

    `steps` has for each stage its function and its masks, (m,), fresh and uniform.
    """

    layer: LookupLayer
    steps: Sequence[tuple[Lookups, Int64]]


def draw(layer: LookupLayer, instances: int) -> DrawnMasks:
    """Offline, at the holder: nothing is sent."""
    steps = [
        (function, uniform_bits(function.output_bits, instances * count))
        for function, count in layer.stages
    ]
    return DrawnMasks(layer, steps)


def hold(
    session: HolderSession, layers: Sequence[DrawnMasks], from_stock: bool = False
) -> HolderPreparation:
    """Offline, at the holder: begins the transfers of every stage of some layers, in order."""
    return session.begin([step for drawn in layers for step in drawn.steps], from_stock)


def answer(
    session: HolderSession, drawn: DrawnMasks, prepared: Sequence[HolderBatch], shares: ArrayLike
) -> Int64:
    """Online, at the holder: from its shares of the inputs, (n, layer.words), to (n, 1)."""
    steps = zip(prepared, drawn.steps, strict=True)

    def evaluate(function: Lookups, share: Int64) -> Int64:
        batch, (_, masks) = next(steps)
        session.evaluate(batch, share)
        return masks

    return _followed(drawn.layer, shares, evaluate, int)


def choose_ahead(
    session: ChooserSession,
    layers: Sequence[tuple[LookupLayer, int]],
    from_stock: bool = False,
) -> ChooserPreparation:
    """Offline, at the chooser: the other half of `hold`, for layers and their instances."""
    wanted = [
        (relu, instances * count) for layer, instances in layers for relu, count in layer.stages
    ]
    return session.begin(wanted, from_stock)


Arrange = Callable[[Int64], Int64]
"""Makes a layer's words (instances, words) of the outputs (m, 1) of the layer before it, by moving
numbers and filling in 0 alone."""


@dataclass(frozen=True, eq=False)
class ChosenLayer:
    """A layer in a row of them, prepared at the chooser; used once.

    Nothing is before the first layer of a row, so that its `arrange` is not called.
    """

    layer: LookupLayer
    prepared: Sequence[ChooserBatch]
    arrange: Arrange = lambda outputs: outputs


def choose(session: ChooserSession, row: Sequence[ChosenLayer], shares: ArrayLike) -> list[Int64]:
    """Online, at the chooser: from its shares of the inputs, to those of each layer's outputs.

    Shares are (n, words), outputs (n, 1). The holder answers one layer after the other. At the
    chooser a program only moves numbers, as all its constants are 0. So it is followed once, on
    the places of the numbers.
    """
    inputs = as_words(shares, row[0].layer.words)
    values = np.concatenate([np.zeros(1, dtype=np.int64), inputs.reshape(-1)])  # place 0: constants
    places = np.arange(1, len(values)).reshape(inputs.shape)
    known = len(values)
    stages: list[Stage] = []
    outputs: list[Int64] = []
    for chosen in row:
        left = iter(chosen.prepared)

        def note(function: Lookups, share: Int64, left: Iterator[ChooserBatch] = left) -> Int64:
            nonlocal known
            stages.append(next(left).stage(share.reshape(-1, function.inputs)))
            known += len(share)
            return np.arange(known - len(share), known)

        words = as_words(chosen.arrange(places) if outputs else places, chosen.layer.words)
        places = chosen.layer.program(words, note, lambda _: 0).reshape(-1, 1)
        outputs.append(places)
    found = session.evaluate_stages(stages, values)
    return [
        modulo(chosen.layer.output_bits, found[places])
        for chosen, places in zip(row, outputs, strict=True)
    ]


def _followed(
    layer: LookupLayer, shares: ArrayLike, evaluate: Evaluate, constant: Constant
) -> Int64:
    words = as_words(shares, layer.words)
    return modulo(layer.output_bits, layer.program(words, evaluate, constant)).reshape(-1, 1)
