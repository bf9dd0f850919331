"""A party's own files on their way to its machine: how they are sent and how they are received.

First a JSON line, which names the files with their sizes, then their bytes in that order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capc.errors import ProtocolError

if TYPE_CHECKING:  # who receives them needs none of it, and starts sooner
    from capc.parties.config import PartyConfig

CONFIG, MODEL, QUERIES = "config.json", "model.npz", "queries.npy"
_ALLOWED = {CONFIG, MODEL, QUERIES}
_MOST_HEADER = 1 << 12
_PIECE = 1 << 18


def send_files(write: Callable[[bytes], object], config: PartyConfig) -> None:
    """The party's settings, and its own model or queries: nothing of another party."""
    files: dict[str, Path] = {}
    if config.model is not None:
        files[MODEL] = Path(config.model)
        config = replace(config, model=MODEL)
    if config.queries is not None and config.queries.path is not None:
        files[QUERIES] = Path(config.queries.path)
        config = replace(config, queries=replace(config.queries, path=QUERIES))
    settings = json.dumps(config.to_json()).encode()
    sizes = {CONFIG: len(settings), **{name: path.stat().st_size for name, path in files.items()}}
    write(json.dumps(sizes).encode() + b"\n" + settings)
    for path in files.values():
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                write(piece)


def receive_files(folder: Path, read: Callable[[int], bytes]) -> None:
    """The files of the header, each its owner's alone; ProtocolError for anything else.

    `read` gives the next bytes, at least one and at most as many as it is asked for.
    """
    header = bytearray()
    while not header.endswith(b"\n"):
        header += read(1)
        if len(header) > _MOST_HEADER:
            raise ProtocolError("the driver sent no list of files")
    try:
        sizes = {str(name): int(size) for name, size in json.loads(header).items()}
    except (AttributeError, TypeError, ValueError):
        sizes = {}
    if CONFIG not in sizes or not set(sizes) <= _ALLOWED:
        raise ProtocolError("the driver sent another list of files than this version knows")
    for name, size in sizes.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            left = size
            while left:
                piece = read(min(left, _PIECE))
                file.write(piece)
                left -= len(piece)
