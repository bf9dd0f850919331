"""ReLUs by table look-ups over a connection in memory: exact, counted, ended by what is bent."""

from __future__ import annotations

import re
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gc_parties import both

from capc.errors import ProtocolError
from capc.fixed_point import Int64, modulo, uniform_bits
from capc.gc import (
    ChooserSession,
    Circuit,
    HolderSession,
    Lookups,
    _engine,
    bounded_relu_circuit,
    layer_pieces,
    lookups,
    relu_circuit,
    step_circuit,
    stock_rounds,
    truncate_circuit,
)
from capc.gc.lookups import DEEP_TREES, SHALLOW_TREES, ChooserBatch, HolderBatch
from capc.transport.duplex import MemoryDuplex
from capc.transport.outgoing_line import OutgoingLine

DOCUMENT = Path(__file__).parents[2] / "docs" / "garbled-circuits.md"


def sessions(
    left: MemoryDuplex, right: MemoryDuplex, tree_depth: int = SHALLOW_TREES
) -> tuple[HolderSession, ChooserSession]:
    return both(lambda: HolderSession(left, tree_depth), lambda: ChooserSession(right, tree_depth))


def evaluate(
    holder: HolderSession,
    chooser: ChooserSession,
    function: Lookups,
    shares: list[Int64],
    from_stock: bool = False,
) -> Int64:
    """Both phases for shares a, b and masks."""
    a, b, masks = shares
    mine, theirs = both(
        lambda: holder.prepare(function, masks, from_stock),
        lambda: chooser.prepare(function, len(masks), from_stock),
    )
    _, out = both(lambda: holder.evaluate(mine, a), lambda: chooser.evaluate(theirs, b))
    return out


@pytest.mark.parametrize(("ring_bits", "shift"), [(37, 12), (47, 0), (64, 20), (2, 0)])
def test_shares_equal_those_of_the_circuit(ring_bits: int, shift: int) -> None:
    rng = np.random.default_rng(7)
    info = np.iinfo(np.int64)
    a, b, masks = (rng.integers(info.min, info.max, (1500, 1), endpoint=True) for _ in range(3))
    b[:500] = rng.integers(-3, 3, (500, 1)) - a[:500]
    expected, _ = relu_circuit(ring_bits, shift).plain_evaluate(a, masks, b)
    holder, chooser = sessions(*MemoryDuplex.pair(20.0))
    out = evaluate(holder, chooser, Lookups.relu(ring_bits, shift), [a, b, masks])
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("from_stock", [False, True], ids=["corrected", "stock"])
def test_deep_trees_halve_the_bytes_of_corrections(from_stock: bool) -> None:
    relu = Lookups.relu(20, 5)
    a, b, masks = (uniform_bits(20, 400).reshape(-1, 1) for _ in range(3))
    expected, _ = relu_circuit(20, 5).plain_evaluate(a, masks, b)
    left, right = MemoryDuplex.pair(20.0)
    holder, chooser = sessions(left, right, DEEP_TREES)
    assert left.bytes_sent + right.bytes_sent == _engine.lookup_setup_bytes(DEEP_TREES)
    before = left.bytes_sent + right.bytes_sent
    np.testing.assert_array_equal(
        evaluate(holder, chooser, relu, [a, b, masks], from_stock), expected
    )
    sent = left.bytes_sent + right.bytes_sent - before - sum(relu.online_bytes(400))
    if from_stock:
        rounds = 2 * _engine.STOCK_ROUND_BYTES
        assert sent == rounds + 2 * _engine.stock_seed_bytes(DEEP_TREES)
    else:
        assert sent == sum(relu.offline_bytes(400, tree_depth=DEEP_TREES))
        transfers = 400 * (relu.plan.transfers + relu.plan.back_transfers)
        assert 2 * transfers < sent < 2.1 * transfers
        assert 0.5 < sent / sum(relu.offline_bytes(400)) < 0.51


def test_both_ends_take_trees_of_one_depth() -> None:
    offer = _engine.ChooserSession(SHALLOW_TREES).setup_offer()
    with pytest.raises(ProtocolError, match="other seed trees"):
        _engine.HolderSession(DEEP_TREES).setup_choose(offer)
    with pytest.raises(ValueError, match="4 or 8, not 5"):
        _engine.HolderSession(5)


def test_large_layers_run_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_pieces, "PIECE_INSTANCES", 40)
    relu = Lookups.relu(20, 5)
    a, b, masks = (uniform_bits(20, 100).reshape(-1, 1) for _ in range(3))
    left, right = MemoryDuplex.pair(20.0)
    holder, chooser = sessions(left, right)
    before = np.array([left.bytes_sent, right.bytes_sent])
    out = evaluate(holder, chooser, relu, [a, b, masks])
    sent = np.array([left.bytes_sent, right.bytes_sent]) - before
    assert sent.tolist() == np.add(relu.offline_bytes(100), relu.online_bytes(100)).tolist()
    expected, _ = relu_circuit(20, 5).plain_evaluate(a, masks, b)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(modulo(20, out), out)


def test_wrong_shapes_and_second_uses_are_refused() -> None:
    relu = Lookups.relu(20, 5)
    holder, chooser = sessions(*MemoryDuplex.pair(20.0))
    zeros = np.zeros((3, 1), dtype=np.int64)
    mine, theirs = both(lambda: holder.prepare(relu, zeros), lambda: chooser.prepare(relu, 3))
    for shares in (zeros[:2], np.zeros((4, 1)), np.zeros((3, 2))):
        with pytest.raises(ValueError, match="the batch needs"):
            holder.evaluate(mine, shares)
        with pytest.raises(ValueError, match="the batch needs"):
            chooser.evaluate(theirs, shares)
    both(lambda: holder.evaluate(mine, zeros), lambda: chooser.evaluate(theirs, zeros))
    with pytest.raises(RuntimeError, match="used already"):
        holder.evaluate(mine, zeros)
    with pytest.raises(RuntimeError, match="used already"):
        chooser.evaluate(theirs, zeros)
    with pytest.raises(ValueError, match="at least 1"):
        chooser.prepare(relu, 0)
    with pytest.raises(ValueError, match="ring_bits"):
        Lookups.relu(65, 0)


class BentDuplex(MemoryDuplex):
    """Changes a bit of the last byte of one message that it sends."""

    bent = -1

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        message = bytearray(payload)
        if self.messages_sent == self.bent:
            message[-1] ^= 1
        super().send(message)


@pytest.mark.parametrize("chooser_bends", [False, True])
def test_corrections_that_do_not_fit_end_the_session(chooser_bends: bool) -> None:
    """From either side, before the online phase: the third message of each end."""
    left, right = BentDuplex.pair(1.0)
    bending = right if chooser_bends else left
    assert isinstance(bending, BentDuplex)
    bending.bent = 2
    holder, chooser = sessions(left, right)
    relu = Lookups.relu(20, 5)
    failures: list[BaseException] = []

    def hold() -> None:
        try:
            holder.prepare(relu, uniform_bits(20, 10))
        except ProtocolError as error:
            failures.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    if chooser_bends:
        chooser.prepare(relu, 10)
    else:
        with pytest.raises(ProtocolError, match="do not fit"):
            chooser.prepare(relu, 10)
    thread.join()
    # The holder needs nothing of the chooser's answer to its corrections, and hears of it later.
    assert bool(failures) == chooser_bends
    dead = (
        (lambda: holder.prepare(relu, [0])) if chooser_bends else lambda: chooser.prepare(relu, 1)
    )
    with pytest.raises(RuntimeError, match="open another"):
        dead()


OTHER_FUNCTIONS = {
    "bounded ReLU, \u2113 = 37, f = 12, cap 6 \u00b7 2^12": (
        Lookups.bounded_relu(37, 12, 6 << 12),
        bounded_relu_circuit(37, 12, 6 << 12),
    ),
    "bounded ReLU, \u2113 = 41, f = 12, cap 6 \u00b7 2^12": (
        Lookups.bounded_relu(41, 12, 6 << 12),
        bounded_relu_circuit(41, 12, 6 << 12),
    ),
    "the first, with 16 bits of output": (Lookups.bounded_relu(37, 12, 6 << 12, 16), None),
    "ReLU, \u2113 = 37, f = 12, 26 bits of output": (Lookups.relu(37, 12, 26), None),
    "from 16 bits to \u2113 = 37": (Lookups.widened(16, 37), None),
    "maximum of 2 in 16 bits": (Lookups.maximum(16, 2), None),
    "maximum of 2 from 16 bits to \u2113 = 37": (Lookups.maximum(16, 2, 37), None),
    "maximum of 4 from 16 bits to \u2113 = 37": (Lookups.maximum(16, 4, 37), None),
    "maximum of 4 from 26 bits to \u2113 = 37": (Lookups.maximum(26, 4, 37), None),
    "rescaling, \u2113 = 37, f = 12": (Lookups.rescale(37, 12), truncate_circuit(37, 12)),
    "step, \u2113 = 37": (Lookups.step(37, 12), step_circuit(37, 37, 12)),
}


def test_the_documented_bytes() -> None:
    """The tables of docs/garbled-circuits.md: per instance, in batches of 65,536, and rounds."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| look-ups, . = (\d+), f = (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 3
    for ring_bits, shift, cells in rows:
        bits, dropped = int(ring_bits), int(shift)
        assert cells == documented(Lookups.relu(bits, dropped), relu_circuit(bits, dropped))
    for name, (function, circuit) in OTHER_FUNCTIONS.items():
        assert f"\n| {name} | {documented(function, circuit)} |\n" in text


def documented(function: Lookups, circuit: Circuit | None) -> str:
    """A function's row: bytes ahead from corrections and stock, online, in all, garbled; rounds."""
    plan, count = function.plan, 65536
    per_transfer = _engine.STOCK_ROUND_BYTES / _engine.STOCK_ROUND_TRANSFERS
    corrections, online = sum(plan.offline_bytes(count)), sum(function.online_bytes(count))
    stock = (plan.transfers + plan.back_transfers) * per_transfer
    garbled = "\u2013"
    if circuit is not None:
        both = sum(circuit.offline_bytes(count)) + sum(circuit.online_bytes(count))
        garbled = f"{both / count:,.0f}"
    return (
        f"{corrections / count:.0f} | {stock:.1f} | {online / count:.1f} | "
        f"{stock + online / count:.0f} | {garbled} | {function.rounds}"
    )


@pytest.mark.slow
def test_a_session_that_has_a_stock_goes_on_drawing_on_it() -> None:
    """Two batches: the first pays for the seeds and a round each way, the second for nothing."""
    relu = Lookups.relu(20, 5)
    a, b, masks = (uniform_bits(20, 100).reshape(-1, 1) for _ in range(3))
    left, right = MemoryDuplex.pair(60.0)
    holder, chooser = sessions(left, right)
    expected, _ = relu_circuit(20, 5).plain_evaluate(a, masks, b)
    for first in (True, False):
        before = left.bytes_sent + right.bytes_sent
        out = evaluate(holder, chooser, relu, [a, b, masks], from_stock=first)
        np.testing.assert_array_equal(out, expected)
        ahead = left.bytes_sent + right.bytes_sent - before - sum(relu.online_bytes(100))
        seeds = holder._engine.stock.seed_bytes + holder._engine.stock_back.seed_bytes
        assert ahead == (seeds + 2 * _engine.STOCK_ROUND_BYTES if first else 0)
    assert sum(relu.offline_bytes(100, from_stock=True)) < 100 * 0.11 * 100


def prepared(
    holder: HolderSession,
    chooser: ChooserSession,
    wanted: list[tuple[Lookups, Int64]],
    from_stock: bool,
) -> tuple[list[HolderBatch], list[ChooserBatch]]:
    """Several layers at once, by both halves."""
    mine, theirs = both(
        lambda: holder.begin(wanted, from_stock),
        lambda: chooser.begin([(relu, len(masks)) for relu, masks in wanted], from_stock),
    )
    both(mine.finish, theirs.finish)
    return list(mine.batches), list(theirs.batches)


def check(
    holder: HolderSession,
    chooser: ChooserSession,
    sizes: list[tuple[int, int, int]],
    from_stock: bool,
) -> None:
    """ReLUs of (ring bits, shift, how many), prepared together, against their circuits."""
    wanted = [(Lookups.relu(bits, f), uniform_bits(bits, (n, 1))) for bits, f, n in sizes]
    mine, theirs = prepared(holder, chooser, wanted, from_stock)
    for (bits, f, n), (_, masks), own, other in zip(sizes, wanted, mine, theirs, strict=True):
        a, b = (uniform_bits(bits, (n, 1)) for _ in range(2))
        expected, _ = relu_circuit(bits, f).plain_evaluate(a, masks, b)
        _, out = both(partial(holder.evaluate, own, a), partial(chooser.evaluate, other, b))
        np.testing.assert_array_equal(out, expected)


def test_layers_are_prepared_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the holder sends first has a bound, so that most of its corrections come later."""
    monkeypatch.setattr(layer_pieces, "PIECE_INSTANCES", 40)
    monkeypatch.setattr(lookups, "WINDOW_BYTES", 5000)
    left, right = MemoryDuplex.pair(20.0)
    holder, chooser = sessions(left, right)
    before = left.messages_sent
    relu, masks = Lookups.relu(20, 5), uniform_bits(20, (200, 1))
    begun = holder.begin([(relu, masks)])
    assert 0 < left.messages_sent - before < 5
    chosen = chooser.begin([(relu, 200)])
    both(begun.finish, chosen.finish)
    check(holder, chooser, [(20, 5, 100), (37, 12, 3), (13, 0, 90)], from_stock=False)


class NotedLine(OutgoingLine):
    """Answers come at the moments 1, 2, 3 and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_from: list[float] = []
        self._answers = 0

    def answer_at(self) -> float:
        self._answers += 1
        return self._answers

    def keep_from(self, moment: float) -> None:
        self.kept_from.append(moment)


def test_the_line_is_kept_for_the_answer_to_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pieces: their first choices are on the way, and later ones follow their last tables."""
    monkeypatch.setattr(layer_pieces, "PIECE_INSTANCES", 40)
    left, right = MemoryDuplex.pair(20.0)
    line = NotedLine()
    holder, chooser = both(lambda: HolderSession(left, line=line), lambda: ChooserSession(right))
    check(holder, chooser, [(20, 5, 100)], from_stock=False)
    answers = 3 * Lookups.relu(20, 5).rounds
    assert line.kept_from == [0, 0, 0, *range(1, answers - 2), answers]


@pytest.mark.slow
@pytest.mark.parametrize("lag", [1, _engine.STOCK_WINDOW - 1])
def test_rounds_of_silent_transfers_are_under_way_together(
    monkeypatch: pytest.MonkeyPatch, lag: int
) -> None:
    """More rounds than go without a proof, in both directions; then a batch from what is left."""
    monkeypatch.setattr(stock_rounds, "LAG", lag)
    left, right = MemoryDuplex.pair(60.0)
    holder, chooser = sessions(left, right)
    check(holder, chooser, [(62, 20, 40_000), (37, 12, 9000), (20, 5, 1)], from_stock=True)
    sent = left.messages_sent, right.messages_sent
    for end in (holder._engine, chooser._engine):
        assert end.stock.pending == end.stock_back.pending == 0
    check(holder, chooser, [(20, 5, 10)], from_stock=True)
    steps = Lookups.relu(20, 5).rounds
    assert (left.messages_sent, right.messages_sent) == (sent[0] + steps, sent[1] + steps)


@pytest.mark.slow
def test_nothing_is_chosen_before_the_transfers_are_proven() -> None:
    """A chooser that was sent a bent proof ends before its first choice."""
    left, right = BentDuplex.pair(20.0)
    assert isinstance(left, BentDuplex)
    holder, chooser = sessions(left, right)
    relu = Lookups.relu(20, 5)
    begun, chosen = both(
        lambda: holder.begin([(relu, uniform_bits(20, (10, 1)))], True),
        lambda: chooser.begin([(relu, 10)], True),
    )
    # Behind the seeds and the trees come the point of the round back, then the proof.
    left.bent = left.messages_sent + 1
    with pytest.raises(ProtocolError, match="do not fit their check"):
        both(begun.finish, chosen.finish)
    with pytest.raises(RuntimeError, match="open another"):
        chooser.evaluate(chosen.batches[0], np.zeros((10, 1), dtype=np.int64))
