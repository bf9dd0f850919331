"""Bytes of sessions of look-ups, beside those of their batches."""

from __future__ import annotations

from collections.abc import Iterable

from capc.gc import _engine


def correction_bytes(tree_depth: int) -> int:
    """What a transfer by corrections takes, beside headers and checks."""
    return 16 // tree_depth


def setup_bytes(tree_depth: int) -> int:
    """Of a session's set-up, both directions together."""
    return _engine.lookup_setup_bytes(tree_depth)


def seed_bytes(tree_depth: int) -> int:
    """What a session sends before it draws on its stocks, both directions together."""
    return 2 * _engine.stock_seed_bytes(tree_depth)


def stock_start_bytes(tree_depth: int) -> int:
    """Seeds and first rounds, both directions together."""
    return seed_bytes(tree_depth) + 2 * _engine.STOCK_ROUND_BYTES


def summed(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Bytes of each direction, over all of `pairs`."""
    holder = chooser = 0
    for from_holder, from_chooser in pairs:
        holder += from_holder
        chooser += from_chooser
    return holder, chooser
