"""What this user's runs remember of an account, apart from its file: how often it was saved.

An older copy that is put back between two runs gives back what was spent since. The file cannot
show that by itself, so each save is noted once more in the user's state folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capc.errors import ConfigError
from capc.files import read_json, state_root, write_whole

_MAX_BYTES = 1 << 16
_HEX_DIGITS = 32


@dataclass(frozen=True)
class History:
    """Which account a file holds, wherever it lies, and how often it has been saved."""

    identity: str
    saves: int

    def __post_init__(self) -> None:
        digits = self.identity if isinstance(self.identity, str) else ""
        if len(digits) != _HEX_DIGITS or not set(digits) <= set("0123456789abcdef"):
            raise ConfigError(f"history: identity must have {_HEX_DIGITS} hexadecimal digits")
        if not isinstance(self.saves, int) or isinstance(self.saves, bool) or self.saves < 0:
            raise ConfigError("history: saves must be a whole number of 0 or more")

    @classmethod
    def new(cls) -> History:
        """Of an account that no file holds yet."""
        return cls(secrets.token_hex(_HEX_DIGITS // 2), 0)

    @classmethod
    def from_document(cls, document: Any) -> History | None:
        """What an account's file says, None for null; ConfigError where it cannot be."""
        if document is None:
            return None
        if not isinstance(document, dict) or set(document) != {"identity", "saves"}:
            raise ConfigError("history must have the fields identity, saves")
        return cls(document["identity"], document["saves"])

    def saved(self) -> History:
        """After one more save."""
        return History(self.identity, self.saves + 1)


def require_latest(history: History, content: bytes, shown: object) -> None:
    """Raise ConfigError where this user's runs have left the account in a later state.

    Or in another one after as many saves. Nothing is known, and nothing refused, where there is no
    record: for a user without a home, on another machine, or once the record was removed.
    """
    record = _record(history)
    if record is None:
        return
    try:
        noted = read_json(record, _MAX_BYTES)
        saves, digest = int(noted["saves"]), str(noted["sha256"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{record}, the record of account {shown}, cannot be read: remove it"
        ) from None
    if saves > history.saves:
        earlier, later = _times(history.saves), _times(saves)
        what = f"is an older copy: it was saved {earlier}, and later {later}"
    elif saves == history.saves and digest != _digest(content):
        what = "was edited since a run saved it"
    else:
        return
    raise ConfigError(
        f"account {shown} {what}. Put the latest file back; or, where you mean this one, remove "
        f"{record}: what the other one has spent is then counted no more"
    )


def remember(history: History, content: bytes) -> None:
    """Note the state that a file has now. A folder that cannot be written ends no run."""
    record = _record(history)
    if record is not None:
        note = {"saves": history.saves, "sha256": _digest(content)}
        with contextlib.suppress(ConfigError):
            write_whole(record, json.dumps(note), make_folder=True)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _record(history: History) -> Path | None:
    folder = state_root()
    return None if folder is None else folder / "accounts" / f"{history.identity}.json"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
