"""What stages leave behind, by content: the key of a result is the digest of all that went in.

The store holds models, logits and votes, which are private to the parties of a simulation: its
folders are for their owner only. What may be published goes elsewhere (results.py).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capc.errors import ConfigError
from capc.files import read_bounded
from capc.files import read_json as read_bounded_json

VERSION = 1  # part of every key: raise it when a stage computes something else

_DIGITS = 24


def content_key(stage: str, **parts: Any) -> str:
    """The first 96 bits of the SHA-256 of the stage's name and inputs, as hexadecimal digits."""
    text = json.dumps([VERSION, stage, parts], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def digest_of(paths: list[Path]) -> str:
    """The SHA-256 of files' bytes, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        content = read_bounded(path)
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


class Store:
    """Folders below `root`, one per stage and key, each there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()  # workers on other machines start in other folders
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"--cache {root} cannot be made: {error.strerror}") from None

    def folder(self, stage: str, key: str) -> Path:
        """Where a result lies, or will lie."""
        return self.root / stage / key

    def has(self, stage: str, key: str) -> bool:
        """Whether it is there."""
        return self.folder(stage, key).is_dir()

    @contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Path]:
        """A scratch folder that becomes the result when the block ends without an error.

        Two processes may compute the same result: the first one to finish leaves it.
        """
        target = self.folder(stage, key)
        scratch = target.with_name(f".{key}.{secrets.token_hex(4)}")
        try:
            scratch.mkdir(parents=True, mode=0o700)
            yield scratch
            scratch.rename(target)
        except OSError as error:
            if target.is_dir():
                return
            raise ConfigError(
                f"{target} cannot be written: {error.strerror}; free some space or name another "
                "--cache"
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path, document: Any) -> None:
    """Plain JSON, sorted."""
    path.write_text(json.dumps(document, sort_keys=True, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What `write_json` wrote; ConfigError says which file is damaged and what to do."""
    try:
        return read_bounded_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}): delete {path.parent} and run again"
        ) from None
