"""An account that outlives a run: loaded, held by one run at a time, written before it is needed.

The order of writing keeps a crash from under-counting: before a label can be opened the file holds
the worst case, and what happened replaces it afterwards.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from capc.errors import ConfigError
from capc.privacy.accountant import Accountant


class AccountFile:
    """The account in `path`, a new one where there is no file, locked until `close`.

    The lock is on `path` + ".lock", which stays: the account itself is replaced at every save. The
    system frees it when the process ends, however it ends. Raises ConfigError for a file that
    another run holds, that cannot be read, or whose account is data-dependent, hence private.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self._lock: int | None = _locked(self.path)
        try:
            self.account = _read(self.path)
        except BaseException:
            self.close()
            raise

    def save(self, account: Accountant) -> None:
        """Replace what the file holds, whole or not at all, on disk when this returns."""
        if self._lock is None:
            raise ConfigError(f"account {self.path} is closed; open it again to write it")
        account.save(self.path)

    def close(self) -> None:
        """Let the next run have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> AccountFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _locked(path: Path) -> int:
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"account {path} cannot be locked: {error.strerror}; name a file in a folder that "
            "exists and can be written"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(
            f"account {path} is in use by another run: wait for its end, for two runs at once "
            "could pass the budget together"
        ) from None
    return lock


def _read(path: Path) -> Accountant:
    if not path.exists():
        return Accountant()
    account = Accountant.load(path)
    if account.private:
        raise ConfigError(
            f"account {path} is data-dependent and private: a run goes on from published() only"
        )
    return account
