"""The state of a group's training on disk, so that long training goes on where it was stopped."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from capc.arrays import open_arrays
from capc.errors import ModelError
from capc.files import write_whole

_SECONDS = 60.0  # at least between two writings


class Checkpoint:
    """One file, written at most once a minute, and gone when the training is over."""

    def __init__(self, path: Path, seconds: float = _SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._written = time.monotonic()

    def load(self, like: Any) -> tuple[int, Any] | None:
        """Epochs done, and the state after them, shaped `like` a fresh one; None: no such file."""
        tree = importlib.import_module("jax").tree
        if not self._path.is_file():
            return None
        expected, structure = tree.flatten(like)
        try:
            with open_arrays(self._path) as archive:
                epoch = int(archive["epoch"])
                leaves = [archive[f"s{place:04d}"] for place in range(len(expected))]
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{self._path} is damaged ({error}): delete it") from None
        if any(found.shape != leaf.shape for found, leaf in zip(leaves, expected, strict=True)):
            raise ModelError(f"{self._path} belongs to other models: delete it")
        return epoch, tree.unflatten(structure, leaves)

    def offer(self, epoch: int, state: Any) -> None:
        """Write the state after `epoch` epochs, unless one was written within the last minute."""
        if time.monotonic() - self._written < self._seconds:
            return
        leaves = importlib.import_module("jax").tree.leaves(state)
        arrays = {f"s{place:04d}": np.asarray(leaf) for place, leaf in enumerate(leaves)}
        arrays["epoch"] = np.asarray(epoch)
        write_whole(
            self._path,
            lambda file: np.savez(file, **arrays),  # type: ignore[arg-type]
            make_folder=True,
            error=ModelError,
        )
        self._written = time.monotonic()

    def remove(self) -> None:
        """The training is over."""
        self._path.unlink(missing_ok=True)
