"""Where a run is expected to cost more than it may; estimate.py says what each costs."""

from __future__ import annotations

from collections.abc import Sequence

from capc.inference.costs import LayerCost


def expectations(
    parties: Sequence[LayerCost], together: int, timeout_seconds: float, memory: int | None
) -> list[str]:
    """Warnings on a run with one query's total cost per answering party, all on one machine.

    `memory` is what it may use, in bytes, None where that is not known. One warning is given where
    the queries that run `together`, which are answered together, are expected to take longer than
    the deadline. Another is given where the transformed weights need most of that memory.
    """
    seconds = sum(cost.offline_seconds + cost.online_seconds for cost in parties)
    weights = sum(cost.weight_bytes for cost in parties)
    said = []
    if together * seconds > timeout_seconds:
        what = "a query" if together == 1 else f"{together} queries of a batch, answered together,"
        advice = "model" if together == 1 else "--batch_size"
        said.append(
            f"WARNING: {what} may take {together * seconds:,.0f} s, and --timeout is "
            f"{timeout_seconds:g} s: give a longer one, or a smaller {advice}"
        )
    if memory is not None and weights > memory / 2:
        said.append(
            f"WARNING: the answering parties hold {weights / 1e9:.1f} GB of transformed weights, "
            f"and may use {memory / 1e9:.1f} GB of memory on this machine: use fewer parties or a "
            "smaller model"
        )
    return said
