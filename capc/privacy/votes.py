"""Votes in the clear, as the learning experiments have them: private, never seen in the protocol.

Votes are an int64 array of shape (queries, classes): how many answering parties chose each class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capc.arrays import load_array as load_bounded
from capc.errors import ConfigError
from capc.fixed_point import Int64

Answered = NDArray[np.bool_]

_LARGEST_VOTE = 2**31 - 1


def check_votes(votes: ArrayLike) -> Int64:
    """Votes as an int64 array of shape (queries, classes); ConfigError says what is wrong.

    One histogram of shape (classes,) counts as one query. Floats must be whole numbers.
    """
    raw = np.atleast_2d(np.asarray(votes))
    if raw.ndim != 2 or raw.shape[1] < 2:
        raise ConfigError(
            f"votes have shape {raw.shape}; give (queries, classes), 2 classes or more"
        )
    if raw.dtype.kind not in "iuf":
        raise ConfigError(f"votes are of type {raw.dtype}; give counts")
    if not bool(np.all(np.isfinite(raw))):
        raise ConfigError("votes hold a value that is not finite; give counts")
    _refuse_first(raw, raw < 0, "is negative")
    _refuse_first(raw, raw != np.floor(raw), "is not a whole number")
    _refuse_first(raw, raw > _LARGEST_VOTE, f"is above {_LARGEST_VOTE}")
    return raw.astype(np.int64)


def _refuse_first(votes: NDArray[Any], wrong: NDArray[np.bool_], reason: str) -> None:
    if bool(np.any(wrong)):
        query, label = np.argwhere(wrong)[0]
        raise ConfigError(
            f"votes of query {query} for class {label}: {votes[query, label]} {reason}; give counts"
        )


def check_answered(answered: ArrayLike, queries: int) -> Answered:
    """One flag per query, shape (queries,), from booleans or zeros and ones."""
    raw = np.asarray(answered)
    if raw.shape != (queries,):
        raise ConfigError(
            f"answered has shape {raw.shape} and there are {queries} queries; give one flag each"
        )
    if raw.dtype.kind not in "biuf" or not bool(np.all((raw == 0) | (raw == 1))):
        raise ConfigError("answered must hold booleans, or zeros and ones, and nothing else")
    return raw.astype(np.bool_)


def load_array(path: str | Path, what: str) -> NDArray[Any]:
    """The array of a .npy file, never unpickled; ConfigError names the file and what is wrong."""
    try:
        loaded: Any = load_bounded(path)
    except FileNotFoundError:
        raise ConfigError(f"{what} file {path} does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{what} file {path} is not a readable .npy file: {error}") from None
    if not isinstance(loaded, np.ndarray):
        raise ConfigError(f"{what} file {path} holds several arrays; give one array as .npy")
    return loaded
