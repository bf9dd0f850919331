"""Both ends of a layer by look-ups in two threads, and numbers at the edges of a ring."""

from __future__ import annotations

import numpy as np
from gc_parties import both

from capc.fixed_point import Int64, modulo, uniform_bits
from capc.gc import ChooserSession, Circuit, HolderSession
from capc.gc.lookup_layers import (
    ChosenLayer,
    LookupLayer,
    answer,
    choose,
    choose_ahead,
    draw,
    hold,
)
from capc.transport.duplex import MemoryDuplex


def evaluate(layer: LookupLayer, values: Int64) -> tuple[Int64, Int64, list[int]]:
    """The holder's shares, the values modulo the outputs' ring, and bytes and messages."""
    left, right = MemoryDuplex.pair(20.0)
    holder, chooser = both(lambda: HolderSession(left), lambda: ChooserSession(right))
    before = [left.bytes_sent, right.bytes_sent]
    shares = uniform_bits(layer.ring_bits, values.shape)
    drawn = draw(layer, len(values))
    begun, chosen = both(
        lambda: hold(holder, [drawn]), lambda: choose_ahead(chooser, [(layer, len(values))])
    )
    both(begun.finish, chosen.finish)
    mine, theirs = begun.batches, chosen.batches
    sent = right.messages_sent
    own, out = both(
        lambda: answer(holder, drawn, mine, shares),
        lambda: choose(
            chooser, [ChosenLayer(layer, theirs, lambda inputs: inputs)], values - shares
        )[0],
    )
    counts = [left.bytes_sent - before[0], right.bytes_sent - before[1]]
    opened = modulo(layer.output_bits, own + out)[:, 0]
    return own, opened, [*counts, right.messages_sent - sent]


def assert_equals_circuit(layer: LookupLayer, circuit: Circuit, values: Int64) -> None:
    """Values, bytes and round trips, over two sessions' ends."""
    words = values.reshape(-1, 1)
    zeros = np.zeros_like(words)
    expected, _ = circuit.plain_evaluate(words, zeros, zeros)
    _, opened, (sent, received, rounds) = evaluate(layer, words)
    np.testing.assert_array_equal(opened, expected[:, 0])
    total = np.add(layer.offline_bytes(len(words)), layer.online_bytes(len(words)))
    assert [sent, received] == total.tolist()
    assert rounds == layer.rounds


def edges(low: int, high: int) -> Int64:
    """Numbers at random from `low` to below `high`, and those at both ends and around 0."""
    some = np.random.default_rng(3).integers(low, high, 400)
    return np.concatenate([some, [low, low + 1, -2, -1, 0, 1, 2, high - 2, high - 1]])
