"""Where what ships lies, files read within bounds, and files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import capc
from capc.errors import CapcError, ConfigError

_PACKAGE = Path(capc.__file__).resolve().parent
IN_CLONE = (_PACKAGE.parent / "gc-emp-test" / "CMakeLists.txt").is_file()
REPOSITORY = _PACKAGE.parent if IN_CLONE else _PACKAGE / "shipped"
"""Where `config/` and `models/` lie: the clone, or the part of it that an installed package has."""

BUILD_AGAIN = "make setup" if IN_CLONE else "pip install --force-reinstall capc-….whl"
"""The command that brings what is missing: the engine, a program, a package that CaPC needs."""

OWNER, EVERYONE = 0o600, 0o644  # who may read a file
_FOLDER_MODE = {OWNER: 0o700, EVERYONE: 0o755}

MAX_FILE_BYTES = 4 << 30
MAX_JSON_BYTES = 64 << 20
_MAX_DIGITS = 60  # of a whole number in a JSON file; 400 digits are no double
_MAX_SOCKET_BYTES = 107
_MOMENT_SECONDS = 10.0


def home() -> Path | None:
    """$HOME, else the folder of the password database; None for a user that has neither."""
    named = os.environ.get("HOME")
    if named:
        return Path(named)
    try:
        found = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return Path(found) if found else None


def cache_root() -> Path:
    """$CAPC_CACHE, else capc in $XDG_CACHE_HOME or ~/.cache; else a folder of temporary files.

    That last one is made here, for this user alone: another's at its place is a ConfigError.
    """
    root = os.environ.get("CAPC_CACHE")
    if root:
        return Path(root)
    caches = _xdg_folder("XDG_CACHE_HOME", ".cache")
    if caches is not None:
        return caches
    path = temporary_folder() / f"capc-cache-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        there = path.lstat()
    except OSError as error:
        raise ConfigError(
            f"there is no home folder, and {path} cannot be made: {error.strerror}; name a folder "
            "by CAPC_CACHE"
        ) from None
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid() or there.st_mode & 0o077:
        raise ConfigError(
            f"there is no home folder, and {path} is not a folder of this user alone; name one by "
            "CAPC_CACHE"
        )
    return path


def state_root() -> Path | None:
    """$XDG_STATE_HOME/capc, else ~/.local/state/capc; None for a user without a home."""
    return _xdg_folder("XDG_STATE_HOME", ".local/state")


def _xdg_folder(variable: str, below_home: str) -> Path | None:
    """capc in the folder that a variable of the XDG specification names, else below home."""
    named, own = Path(os.environ.get(variable, "")), home()
    if named.is_absolute():  # the specification has others ignored
        return named / "capc"
    return None if own is None else own / below_home / "capc"


def temporary_folder() -> Path:
    """Where temporary files go; ConfigError that names TMPDIR where nothing can be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        raise ConfigError(
            "no folder for temporary files can be written: name one by TMPDIR"
        ) from None


@contextlib.contextmanager
def socket_folder(prefix: str, longest_name: str) -> Iterator[Path]:
    """A folder of this user alone, whose path leaves room for a Unix socket's in 107 bytes.

    It goes with everything in it. Raises ConfigError where no place is short enough.
    """
    places = [temporary_folder(), *map(Path, ("/tmp", "/var/tmp"))]  # noqa: S108  mkdtemp's 0700
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.insert(1, Path(runtime))
    for place in places:
        added = len(f"/{prefix}12345678/{longest_name}")
        if len(os.fsencode(place.absolute())) + added > _MAX_SOCKET_BYTES:
            continue
        try:
            folder = tempfile.TemporaryDirectory(
                prefix=prefix, dir=place.absolute(), ignore_cleanup_errors=True
            )
        except OSError:
            continue
        with folder as name, held_folder(Path(name)):
            _sweep(place, prefix)
            yield Path(name)
            return
    raise ConfigError(
        f"{places[0]} is too long for a socket, and /tmp cannot be written: name a shorter folder "
        "by TMPDIR"
    )


@contextlib.contextmanager
def held_folder(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """A lock on a folder, which the system frees when this process ends, however it ends.

    `alone`: ConfigError where another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if alone:
                raise ConfigError(f"{folder} is in use by another process") from None
        except OSError:
            pass  # a file system without locks, where nothing is swept
        yield
    finally:
        os.close(descriptor)


def is_abandoned(folder: Path) -> bool:
    """Whether a folder is this user's, and nobody holds it any more who held it once.

    One that was made a moment ago may not be held yet.
    """
    try:
        there = folder.lstat()
        if there.st_uid != os.geteuid() or time.time() - there.st_mtime < _MOMENT_SECONDS:
            return False
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _sweep(place: Path, prefix: str) -> None:
    """Remove what processes that were killed left in `place` under this prefix."""
    for folder in place.glob(f"{prefix}*"):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """What this process and its children make meanwhile is their owner's alone."""
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)


def expanded(name: str | Path) -> Path:
    """A path as its user means it, absolute: ~ is home. A ~ of nobody stays as it is.

    It needs no folder that stands before a "..", such as the working folder, to be there later.
    """
    path = Path(name)
    with contextlib.suppress(RuntimeError):
        path = path.expanduser()
    path = path.absolute()
    if ".." in path.parts:
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a loop of links, an odd name
            return path.resolve()
    return path


def existing(name: str) -> Path | None:
    """The absolute path of a file or folder as it is named, or else below the repository.

    ConfigError for what is no name of a file.
    """
    return next(all_existing(name), None)


def place_to_write(name: str) -> Path:
    """A folder to write into: `existing`, but nothing within an installed package, else as named.

    It need not exist. ConfigError as `existing`.
    """
    path = existing(name)
    shipped = path is not None and not IN_CLONE and path.is_relative_to(REPOSITORY)
    return expanded(name) if path is None or shipped else path


def all_existing(name: str) -> Iterator[Path]:
    """All that `existing` may find, in its order."""
    for path in (expanded(name), REPOSITORY / name):
        try:
            path.stat()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                continue
            raise ConfigError(f"{shortened(name)} cannot be used: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{shortened(name)!r} is no name of a file") from None
        yield path


def shortened(name: object, most: int = 80) -> str:
    """A name that fits a line; of a long one the beginning and the end, where a file's name is."""
    text = str(name)
    if len(text) <= most:
        return text
    each = (most - 4) // 2
    return f"{text[:each]}[..]{text[-each:]}"


@contextlib.contextmanager
def open_bounded(path: str | Path, limit: int = MAX_FILE_BYTES) -> Iterator[IO[bytes]]:
    """A regular file of at most `limit` bytes, open for reading.

    Raises OSError, with a reason in its `strerror`, for what is none (a pipe, a device, a folder:
    opening never waits) and for what is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb", closefd=True) as file:
        there = os.fstat(descriptor)
        if stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(there.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if there.st_size > limit:
            raise OSError(errno.EFBIG, f"Larger than {limit} bytes", str(path))
        yield file


def read_bounded(path: str | Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a regular file; OSError as `open_bounded`."""
    with open_bounded(path, limit) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"Larger than {limit} bytes", str(path))
    return content


def read_json(path: str | Path, limit: int = MAX_JSON_BYTES) -> Any:
    """What a JSON file of a user holds; OSError as `open_bounded`, ValueError as `parse_json`."""
    return parse_json(read_bounded(path, limit))


def parse_json(text: str | bytes) -> Any:
    """What JSON text in UTF-8 says.

    Raises ValueError for what is none, for a name that an object has twice, for whole numbers of
    more than 60 digits and for lists nested too deeply.
    """
    try:
        content = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(content, object_pairs_hook=_once, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shortened(twice)!r} stands twice")
    return fields


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def write_whole(
    path: Path,
    content: str | bytes | Callable[[IO[bytes]], object],
    *,
    mode: int = OWNER,
    make_folder: bool = False,
    error: type[CapcError] = ConfigError,
    before_naming: Callable[[int], object] | None = None,
) -> None:
    """Write so that a reader meets the old file or the new one, never half of it.

    `content` may be a function that writes to the open file. By default the file, and a folder
    that is made for it, are their owner's alone. File and folder are on the disk when this
    returns. `before_naming` gets the descriptor of the complete file that still has another name.
    Raises `error` when the file cannot be written.
    """
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE[mode])
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    except OSError as failure:
        raise _unwritable(path, failure, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            if before_naming is not None:
                before_naming(file.fileno())
            Path(name).replace(path)
        sync_folder(path.parent)
    except OSError as failure:
        raise _unwritable(path, failure, error) from None
    finally:
        Path(name).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk: without it a renamed file may be the old one again."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as failure:
        if failure.errno not in (errno.EINVAL, errno.ENOTSUP):  # no such thing on this file system
            raise
    finally:
        os.close(descriptor)


def _unwritable(path: Path, failure: OSError, error: type[CapcError]) -> CapcError:
    return error(
        f"{path} cannot be written: {failure.strerror}; free some space or name another folder "
        "(the cache is $CAPC_CACHE)"
    )
