"""Layers of look-ups one after the other, of which the next begins before the last has ended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gc_parties import both

from capc.fixed_point import Int64, modulo, uniform_bits
from capc.gc import ChooserSession, HolderSession, layer_pieces
from capc.gc.lookup_layers import (
    ChosenLayer,
    answer,
    choose,
    choose_ahead,
    draw,
    hold,
    maximum_lookups,
    relu_lookups,
)
from capc.transport.duplex import MemoryDuplex


def pooled(side: int) -> Callable[[Int64], Int64]:
    """Windows of 2 x 2, padded by 0 at two sides, of (side * side, 1) outputs."""

    def arrange(outputs: Int64) -> Int64:
        image = np.pad(outputs.reshape(side, side), ((0, 1), (0, 1)))
        height = (side + 1) // 2
        return image.reshape(height, 2, height, 2).swapaxes(1, 2).reshape(-1, 4)

    return arrange


@pytest.mark.parametrize("fan_in", [2, 3, 4])
def test_a_row_of_layers_runs_one_into_the_other(
    monkeypatch: pytest.MonkeyPatch, fan_in: int
) -> None:
    """ReLU and maximum of (9, 9): pieces of the maximum begin before the last of the ReLU."""
    monkeypatch.setattr(layer_pieces, "PIECE_INSTANCES", 20)
    side, bits, shift = 9, 20, 5
    relu = relu_lookups(bits, shift, 16)
    maximum = maximum_lookups(bits, 4, 16, fan_in)
    arrange = pooled(side)
    values = np.random.default_rng(fan_in).integers(-(1 << 19), 1 << 19, (side * side, 1))
    left, right = MemoryDuplex.pair(20.0)
    holder, chooser = both(lambda: HolderSession(left), lambda: ChooserSession(right))
    windows = len(arrange(values))
    drawn = [draw(relu, side * side), draw(maximum, windows)]
    begun, chosen = both(
        lambda: hold(holder, drawn),
        lambda: choose_ahead(chooser, [(relu, side * side), (maximum, windows)]),
    )
    both(begun.finish, chosen.finish)
    sent: list[int] = []  # by the chooser, each time that it receives
    mine, theirs = iter(begun.batches), list(chosen.batches)
    shares = uniform_bits(bits, values.shape)

    def hold_row() -> Int64:
        first = answer(holder, drawn[0], [next(mine)], shares)
        return answer(holder, drawn[1], list(mine), arrange(first))

    before, recv = right.messages_sent, right.recv

    def noted(max_bytes: int) -> bytes:
        sent.append(right.messages_sent - before)
        return recv(max_bytes)

    monkeypatch.setattr(right, "recv", noted)
    row = [ChosenLayer(relu, theirs[:1]), ChosenLayer(maximum, theirs[1:], arrange)]
    own, outputs = both(hold_row, lambda: choose(chooser, row, values - shares))
    np.testing.assert_array_equal(
        modulo(bits, own + outputs[1]),
        arrange(np.maximum(values, 0) >> shift).max(axis=1, keepdims=True),
    )
    steps = relu.rounds * 5
    assert sent[steps - 1] > steps, "the maximum has begun when the ReLU's last table comes"
