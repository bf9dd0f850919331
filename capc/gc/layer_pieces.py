"""How a layer of look-ups is cut into pieces, which go through the steps one behind the other.

While the tables of one piece are on their way, both parties work on others. Pieces of a whole
number of correction messages take as many bytes as the layer in one.
"""

from __future__ import annotations

from collections.abc import Iterator

from capc.gc import _engine

PIECE_INSTANCES = 8192  # at most: some ms of work a step, for 0.1 ms of overhead
_PIECES = 8  # of a layer of less: a line is busy with some while others are waited for
_CHUNK_INSTANCES = _engine.LOOKUP_CHUNK_INSTANCES  # of a message of corrections


def piece_places(instances: int) -> Iterator[slice]:
    """The places of the engine's batches: alike at both parties."""
    if instances < 1:
        raise ValueError(f"{instances} instances; at least 1 is needed")
    chunks = -(-instances // (_PIECES * _CHUNK_INSTANCES))
    size = min(PIECE_INSTANCES, chunks * _CHUNK_INSTANCES)
    for start in range(0, instances, size):
        yield slice(start, min(start + size, instances))


def piece_sizes(instances: int) -> Iterator[int]:
    """Instances of each piece."""
    return (piece.stop - piece.start for piece in piece_places(instances))
