"""An account that outlives a run: loaded, held by one run at a time, written before it is needed.

The order of writing keeps a crash from under-counting: before a label can be opened the file holds
the worst case, and what happened replaces it afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shlex
import stat
from pathlib import Path

from capc.errors import ConfigError
from capc.files import MAX_JSON_BYTES, write_whole
from capc.privacy.account_record import History, remember, require_latest
from capc.privacy.accountant import Accountant

_ATTEMPTS = 100  # each costs another run's save between two system calls


class AccountFile:
    """The account in `path`, a new one where there is no file, held until `close`.

    The lock is on the account itself, and goes over to the file that replaces it at a save; the
    system frees it when the process ends, however it ends. Each save first looks whether the
    account is still the very file, with the very content, that was read or written last: one that
    was replaced, restored, mounted over, edited or linked under another name meanwhile is refused.
    So is one that is older than what this user's runs have left of it (`account_record`).

    `owners` names the set of answering parties whose data the account is to cover. An account that
    has none yet, a new one or one of version 1, gets these at its next save.

    Raises ConfigError for a file that another run holds, that has a second name, that cannot be
    read, that is an older copy, whose account is of other owners, or is data-dependent, hence
    private.
    """

    def __init__(self, path: str | Path, owners: str | None = None) -> None:
        self.path = Path(os.path.realpath(path))
        self._shown = path
        self._lock: int | None = self._locked()
        try:
            self._content = self._read(self._lock)
            self.account = Accountant.from_json(self._content, str(path))
            if self.account.private:
                raise ConfigError(
                    f"account {path} is data-dependent and private: a run goes on from "
                    "published() only"
                )
            self._history = self.account.history
            if self._history is not None:
                require_latest(self._history, self._content, path)
            self._require_owners(owners)
        except BaseException:
            self.close()
            raise

    def save(self, account: Accountant) -> None:
        """Replace what the file holds, whole or not at all, on disk when this returns.

        ConfigError where the file is no longer the one that was last read or written.
        """
        if self._lock is None:
            raise ConfigError(f"account {self._shown} is closed; open it again to write it")
        self._require_unchanged(self._lock)
        self._history = (self._history or History.new()).saved()
        account.history = self._history
        content = account.to_json().encode()
        held: list[int] = []
        try:
            write_whole(self.path, content, before_naming=lambda file: held.append(_held(file)))
        except BaseException:
            # What the name stands for now is unknown only where the folder could not be synced.
            if held and _same_file(held[0], self.path):
                os.close(self._lock)
                self._lock, self._content = held.pop(), content
            for descriptor in held:
                os.close(descriptor)
            raise
        os.close(self._lock)
        self._lock, self._content = held[0], content
        remember(self._history, content)

    def close(self) -> None:
        """Let the next run have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> AccountFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_owners(self, owners: str | None) -> None:
        covered = self.account.owners
        if owners is None or owners == covered:
            return
        if covered is not None:
            raise ConfigError(
                f"account {self._shown} covers the data of {covered}, and this run asks {owners}: "
                "name another --account for these, which starts at 0; or where they are the same "
                f"owners, say so: --data_owners={shlex.quote(covered)}"
            )
        self.account.owners = owners

    # -- the lock --------------------------------------------------------------------------

    def _locked(self) -> int:
        """A descriptor of the account, which is locked and still has its name."""
        for _ in range(_ATTEMPTS):
            try:
                lock = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                created = self._created()
                if created is not None:
                    return created
                continue
            except OSError as failure:
                raise self._unusable(failure) from None
            try:
                self._require_regular(lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(lock, self.path):
                    self._require_one_name(lock)
                    return lock
            except OSError as failure:
                os.close(lock)
                if failure.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    break
                raise self._unusable(failure) from None
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # a run that has just ended had replaced it
        raise ConfigError(
            f"account {self._shown} is in use by another run: wait for its end, for two runs at "
            "once could pass the budget together"
        )

    def _created(self) -> int | None:
        """A new account, locked before it has its name; None where another run was faster."""
        new = self.path.with_name(f".{self.path.name[:40]}.{secrets.token_hex(4)}.new")
        held: list[int] = []
        try:
            write_whole(
                new, Accountant().to_json(), before_naming=lambda file: held.append(_held(file))
            )
            os.link(new, self.path)
            return held.pop()
        except FileExistsError:
            return None
        except ConfigError as failure:
            reason = str(failure).rpartition(" cannot be written: ")[2].partition(";")[0]
            raise self._unusable(reason) from None
        except OSError as failure:
            if failure.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise self._unusable(failure) from None
            new.rename(self.path)  # a file system without links
            return held.pop()
        finally:
            new.unlink(missing_ok=True)
            for descriptor in held:
                os.close(descriptor)

    def _read(self, lock: int) -> bytes:
        """All that the locked file holds."""
        size = os.fstat(lock).st_size
        if size > MAX_JSON_BYTES:
            raise ConfigError(f"account {self._shown} is larger than {MAX_JSON_BYTES} bytes")
        return os.pread(lock, size + 1, 0)

    def _require_unchanged(self, lock: int) -> None:
        try:
            same = _same_file(lock, self.path) and self._read(lock) == self._content
        except OSError as failure:
            raise self._unusable(failure) from None
        if not same:
            raise ConfigError(
                f"account {self._shown} was replaced, restored or edited during the run: nothing "
                "more is opened; let one run at a time use it"
            )
        self._require_one_name(lock)

    def _require_regular(self, lock: int) -> None:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            raise ConfigError(f"account {self._shown} is not a regular file; name another")

    def _require_one_name(self, lock: int) -> None:
        """A save gives the name to a new file: under the second name the old account would stay."""
        if os.fstat(lock).st_nlink != 1:
            raise ConfigError(
                f"account {self._shown} is a file with several names (hard links), of which only "
                "one would be charged: remove the others"
            )

    def _unusable(self, reason: str | OSError) -> ConfigError:
        said = reason if isinstance(reason, str) else reason.strerror
        return ConfigError(
            f"account {self._shown} cannot be locked: {said}; name a file in a folder "
            "that exists and can be written"
        )


def _held(descriptor: int) -> int:
    """A second descriptor of an open file, locked; the lock stays when the first is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return os.dup(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether the name stands for the open file."""
    with contextlib.suppress(OSError):
        there, ours = path.lstat(), os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
    return False
