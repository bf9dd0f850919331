"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from capc.errors import ConfigError


def write_whole(path: Path, text: str) -> None:
    """Write `text` so that a reader meets the old file or the new one, never half of it.

    The file is readable by its owner only. Raises ConfigError when it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)
