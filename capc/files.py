"""Where the repository lies, and files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import capc
from capc.errors import CapcError, ConfigError

REPOSITORY = Path(capc.__file__).resolve().parents[1]

OWNER, EVERYONE = 0o600, 0o644  # who may read a file
_FOLDER_MODE = {OWNER: 0o700, EVERYONE: 0o755}


def cache_root() -> Path:
    """$CAPC_CACHE, else ~/.cache/capc."""
    root = os.environ.get("CAPC_CACHE")
    return Path(root) if root else Path.home() / ".cache" / "capc"


def existing(name: str) -> Path | None:
    """The absolute path of a file or folder as it is named, or else below the repository."""
    for path in (Path(name).expanduser().absolute(), REPOSITORY / name):
        if path.exists():
            return path
    return None


def write_whole(
    path: Path,
    content: str | bytes | Callable[[IO[bytes]], object],
    *,
    mode: int = OWNER,
    make_folder: bool = False,
    error: type[CapcError] = ConfigError,
) -> None:
    """Write so that a reader meets the old file or the new one, never half of it.

    `content` may be a function that writes to the open file. By default the file, and a folder
    that is made for it, are their owner's alone. Raises `error` when the file cannot be written.
    """
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE[mode])
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as failure:
        raise _unwritable(path, failure, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError as failure:
        raise _unwritable(path, failure, error) from None
    finally:
        Path(name).unlink(missing_ok=True)


def _unwritable(path: Path, failure: OSError, error: type[CapcError]) -> CapcError:
    return error(
        f"{path} cannot be written: {failure.strerror}; free some space or name another folder "
        "(the cache is $CAPC_CACHE)"
    )
