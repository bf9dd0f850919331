"""Functions by table look-ups: a ninth of the bytes of garbled circuits, or less, in more rounds.

The holder has a share of each input, the chooser the other. The result is shared afresh under the
holder's masks, as the circuit of the same function shares it. A session begins with base oblivious
transfers in both directions. `prepare` runs before the query is known, or `begin` and later
`finish` for several layers at once. `evaluate` takes one round trip a step of the plan. Both
parties cut a layer into pieces, which go through a step one behind the other: while one is on its
way, a party works on the next. After a ProtocolError a session is dead: open another. Trust is as
in capc.gc.session (docs/garbled-circuits.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import Int64
from capc.gc import _engine
from capc.gc.circuits import as_words
from capc.gc.layer_pieces import piece_places, piece_sizes
from capc.gc.lookup_bytes import summed
from capc.gc.lookup_steps import Stage, steps_of
from capc.gc.stock_rounds import ChooserRounds, HolderRounds
from capc.transport.duplex import Duplex
from capc.transport.outgoing_line import OutgoingLine
from capc.transport.pipelining import WINDOW_BYTES, pipelined

MAX_INSTANCES = _engine.MAX_LOOKUP_INSTANCES  # of one batch of the engine
MAX_BITS_OF_FOUR = 31
"""Of a maximum of four inputs: in larger rings an instance would take too many transfers back."""
STOCK_TRANSFER_BYTES = _engine.STOCK_ROUND_BYTES / _engine.STOCK_ROUND_TRANSFERS
SHALLOW_TREES, DEEP_TREES = _engine.TREE_DEPTHS
"""How deep the seed trees of a session's corrections are, SoftSpoken's k: a transfer takes 16 / k
bytes, and 2^k / k times as much AES. Public, and the same at both ends."""


class Lookups:
    """A function of a number or a few by table look-ups: the public part that both parties know.

    Its inputs are shared modulo 2^ring_bits, its output modulo 2^output_bits, which is
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

    @classmethod
    def rescale(cls, ring_bits: int, shift: int) -> Lookups:
        """y = floor(x / 2^shift), for every signed x; 1 <= shift <= ring_bits - 2."""
        return cls(_engine.LookupPlan.rescale(ring_bits, shift))

    @classmethod
    def step(cls, ring_bits: int, place: int) -> Lookups:
        """y = 2^place where x >= 0, else 0, for every signed x; 0 <= place < ring_bits."""
        return cls(_engine.LookupPlan.step(ring_bits, place))

    @classmethod
    def widened(cls, ring_bits: int, output_bits: int) -> Lookups:
        """y = x for 0 <= x < 2^(ring_bits - 1), in a larger ring."""
        return cls(_engine.LookupPlan.widened(ring_bits, output_bits))

    @classmethod
    def maximum(cls, ring_bits: int, inputs: int, output_bits: int | None = None) -> Lookups:
        """y = max(x_1, ...) of 2 to 4 inputs whose differences are signed numbers of the ring.

        In a larger output ring they lie in [0, 2^(ring_bits - 1)). Four inputs need
        ring_bits <= MAX_BITS_OF_FOUR.
        """
        return cls(_engine.LookupPlan.maximum(ring_bits, inputs, output_bits or ring_bits))

    @classmethod
    def leaky_relu(cls, ring_bits: int, shift: int, slope: int, slope_bits: int) -> Lookups:
        """y = x >> shift for x >= 0, else (slope * x) >> (shift + slope_bits), for every x.

        0 < slope < 2^slope_bits; slope_bits is at most 31 and at most ring_bits - shift.
        """
        return cls(_engine.LookupPlan.leaky_relu(ring_bits, shift, slope, slope_bits))

    @classmethod
    def shift(cls, ring_bits: int, shift: int, output_bits: int) -> Lookups:
        """y = x >> shift for 0 <= x < 2^(ring_bits - 1), into a larger ring or a smaller one.

        1 <= shift <= ring_bits - 2.
        """
        return cls(_engine.LookupPlan.shift(ring_bits, shift, output_bits))

    @classmethod
    def square(cls, ring_bits: int) -> Lookups:
        """y = x^2 modulo 2^ring_bits, for every x."""
        return cls(_engine.LookupPlan.square(ring_bits))

    @property
    def inputs(self) -> int:
        """Numbers of an instance."""
        return int(self.plan.inputs)

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
        """Round trips of the online phase, for any number of instances."""
        return self.plan.step_count

    @property
    def kept_bytes(self) -> int:
        """Memory of one prepared instance at the holder; the chooser's is two thirds of it."""
        return self.plan.holder_bytes

    def offline_bytes(
        self, instances: int, from_stock: bool = False, tree_depth: int = SHALLOW_TREES
    ) -> tuple[int, int]:
        """Bytes from the holder and from the chooser, headers included.

        From the stock: their share of its rounds, without the seeds of its first.
        """
        if from_stock:
            return (
                round(instances * self.plan.transfers * STOCK_TRANSFER_BYTES),
                round(instances * self.plan.back_transfers * STOCK_TRANSFER_BYTES),
            )
        return summed(
            self.plan.offline_bytes(count, tree_depth) for count in piece_sizes(instances)
        )

    def online_bytes(self, instances: int) -> tuple[int, int]:
        """Bytes from the holder and from the chooser, headers included."""
        return summed(self.plan.online_bytes(count) for count in piece_sizes(instances))


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

    def stage(self, sources: Int64) -> Stage:
        """The batch in a row of stages; `sources` as there, (n, inputs)."""
        return Stage(self.function.plan, self._pieces, sources)


class HolderSession:
    """The end that fills the tables: the answering party's.

    `tree_depth` is SHALLOW_TREES or DEEP_TREES: ProtocolError where the other end takes the other.
    """

    def __init__(
        self,
        channel: Duplex,
        tree_depth: int = SHALLOW_TREES,
        line: OutgoingLine | None = None,
    ) -> None:
        """`line` is told when `evaluate` needs it: messages that can wait go in between."""
        self._channel = channel
        self._line = OutgoingLine() if line is None else line
        self._engine = _engine.HolderSession(tree_depth)
        offer = channel.recv(_engine.LOOKUP_OFFER_BYTES)
        channel.send(self._engine.setup_choose(offer))
        answer = channel.recv(self._engine.answer_bytes)
        channel.send(self._engine.setup_finish(answer))

    def prepare(self, function: Lookups, masks: ArrayLike, from_stock: bool = False) -> HolderBatch:
        """Random transfers in both directions for as many instances as there are `masks`, (n, 1).

        The masks become this party's shares of the outputs. They must be fresh and uniform. Both
        ends say alike whether the transfers come `from_stock`; once there is one, they always do.
        """
        preparation = self.begin([(function, masks)], from_stock)
        preparation.finish()
        return preparation.batches[0]

    def begin(
        self, wanted: Sequence[tuple[Lookups, ArrayLike]], from_stock: bool = False
    ) -> HolderPreparation:
        """The same for several layers: sends what needs no answer, at most some MiB.

        The chooser begins the same. In between, both may use the channel for other messages.
        """
        from_stock = from_stock or self._engine.stock.is_seeded
        batches = []
        for function, masks in wanted:
            words = as_words(masks, 1)
            pieces = [
                self._engine.prepare(function.plan, words[piece], from_stock)
                for piece in piece_places(len(words))
            ]
            batches.append(HolderBatch(function, pieces))
        return HolderPreparation(self._channel, self._engine, batches, from_stock)

    def evaluate(self, batch: HolderBatch, shares: ArrayLike) -> None:
        """Give this party's shares, (n, inputs). RuntimeError where the batch was used already."""
        words, plan = _shares_of(batch, shares), batch.function.plan
        for piece, place in zip(batch._pieces, piece_places(len(words)), strict=True):
            piece.begin(words[place])
        answers = deque([0.0] * len(batch._pieces))  # the first choices are under way
        for step in range(plan.step_count):
            for piece in batch._pieces:
                self._line.keep_from(answers.popleft())
                chosen = self._channel.recv(plan.choose_bytes(piece.instances, step))
                self._channel.send(piece.answer(chosen))
                answers.append(self._line.answer_at())
        self._line.keep_from(answers[-1])


class HolderPreparation:
    """What HolderSession.begin has begun. The batches can be used once `finish` has returned."""

    def __init__(
        self,
        channel: Duplex,
        engine: _engine.HolderSession,
        batches: Sequence[HolderBatch],
        from_stock: bool,
    ) -> None:
        self.batches = batches
        self._channel, self._tree_depth = channel, engine.tree_depth
        self._pieces = [
            (batch.function.plan, piece) for batch in batches for piece in batch._pieces
        ]
        self._uncorrected = iter(self._pieces)
        self._rounds: HolderRounds | None = None
        if from_stock:
            self._rounds = HolderRounds(channel, engine, [piece for _, piece in self._pieces])
            self._rounds.begin()
            return
        ahead = 0
        while ahead < WINDOW_BYTES and (size := self._correct()):
            ahead += size

    def finish(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Take the chooser's messages and answer them.

        From a stock, `meanwhile` is called in each tick: it may send messages of another type of
        the channel, which the other end sets aside.
        """
        if self._rounds is not None:
            self._rounds.finish(meanwhile)
            return
        for plan, piece in self._pieces:
            for chunk in range(plan.chunk_count(piece.instances)):
                size = plan.correlate_bytes(piece.instances, chunk, self._tree_depth)
                piece.take_correlations(self._channel.recv(size))
            self._correct()

    def _correct(self) -> int:
        """The corrections of the next piece that has none; their bytes, 0 where all have."""
        for _, piece in self._uncorrected:
            message = piece.correct()
            self._channel.send(message)
            return len(message)
        return 0


class ChooserSession:
    """The end that reads one entry of each table, and speaks first: the querying party's."""

    def __init__(self, channel: Duplex, tree_depth: int = SHALLOW_TREES) -> None:
        """The other half of HolderSession's set-up."""
        self._channel = channel
        self._engine = _engine.ChooserSession(tree_depth)
        channel.send(self._engine.setup_offer())
        choice = channel.recv(_engine.LOOKUP_CHOICE_BYTES)
        channel.send(self._engine.setup_answer(choice))
        self._engine.setup_finish(channel.recv(self._engine.trees_bytes))

    def prepare(self, function: Lookups, instances: int, from_stock: bool = False) -> ChooserBatch:
        """The other half of HolderSession.prepare."""
        preparation = self.begin([(function, instances)], from_stock)
        preparation.finish()
        return preparation.batches[0]

    def begin(
        self, wanted: Sequence[tuple[Lookups, int]], from_stock: bool = False
    ) -> ChooserPreparation:
        """The other half of HolderSession.begin."""
        from_stock = from_stock or self._engine.stock.is_seeded
        batches = []
        for function, instances in wanted:
            pieces = [
                self._engine.prepare(function.plan, size, from_stock)
                for size in piece_sizes(instances)
            ]
            batches.append(ChooserBatch(function, pieces))
        return ChooserPreparation(self._channel, self._engine, batches, from_stock)

    def evaluate(self, batch: ChooserBatch, shares: ArrayLike) -> Int64:
        """From this party's shares, (n, inputs), to its shares y - mask of the outputs, (n, 1)."""
        words = _shares_of(batch, shares)
        stage = batch.stage(np.arange(words.size).reshape(words.shape))
        return self.evaluate_stages([stage], words.reshape(-1))[words.size :].reshape(-1, 1)

    def evaluate_stages(self, stages: Sequence[Stage], values: Int64) -> Int64:
        """The same for stages one after the other, which the holder evaluates one by one.

        `values` (n,) are this party's shares of what the stages begin with. Returns them, and
        behind them its shares of the outputs of all stages, in order. A piece of a stage begins
        once the pieces before it are there that it takes something of.
        """
        steps = list(steps_of(stages, len(values)))
        count = len(values) + sum(len(stage.sources) for stage in stages)
        known = np.empty(count, dtype=np.int64)
        known[: len(values)] = values

        def choose(number: int) -> int:
            step = steps[number]
            if step.number == 0:
                step.piece.begin(known[step.sources])
            message = step.piece.choose()
            self._channel.send(message)
            return len(message)

        def take(number: int) -> None:
            step = steps[number]
            size = step.plan.table_bytes(step.piece.instances, step.number)
            step.piece.take_table(self._channel.recv(size))
            if step.number == step.plan.step_count - 1:
                known[step.outputs] = step.piece.outputs()[:, 0]

        pipelined(len(steps), choose, take, needs=lambda number: steps[number].needs)
        return known


class ChooserPreparation:
    """The other half of HolderPreparation."""

    def __init__(
        self,
        channel: Duplex,
        engine: _engine.ChooserSession,
        batches: Sequence[ChooserBatch],
        from_stock: bool,
    ) -> None:
        self.batches = batches
        self._channel, self._tree_depth = channel, engine.tree_depth
        self._pieces = [
            (batch.function.plan, piece) for batch in batches for piece in batch._pieces
        ]
        self._rounds: ChooserRounds | None = None
        if from_stock:
            self._rounds = ChooserRounds(channel, engine, [piece for _, piece in self._pieces])
            self._rounds.begin()

    def finish(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """The other half of HolderPreparation.finish."""
        if self._rounds is not None:
            self._rounds.finish(meanwhile)
            return
        pipelined(len(self._pieces), self._correlate, self._take_back)

    def _correlate(self, number: int) -> int:
        plan, piece = self._pieces[number]
        size = 0
        for _ in range(plan.chunk_count(piece.instances)):
            message = piece.correlate()
            self._channel.send(message)
            size += len(message)
        return size

    def _take_back(self, number: int) -> None:
        plan, piece = self._pieces[number]
        size = plan.back_bytes(piece.instances, self._tree_depth)
        piece.take_back(self._channel.recv(size))


def _shares_of(batch: HolderBatch | ChooserBatch, shares: ArrayLike) -> Int64:
    inputs = batch.function.inputs
    words, needed = as_words(shares, inputs), sum(piece.instances for piece in batch._pieces)
    if words.shape != (needed, inputs):
        raise ValueError(
            f"the shares have shape {words.shape}; the batch needs ({needed}, {inputs})"
        )
    return words
