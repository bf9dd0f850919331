"""What no other code has caught, as one line, with its traceback in a file of its owner's."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import tempfile
import traceback
from pathlib import Path

from capc.files import cache_root, shortened

_MOST = 400  # characters of an error's own text
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ADVICE = {
    **dict.fromkeys(FULL, "free some space, or raise the limit of a file's size (ulimit -f)"),
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "this machine has too many files open",
    errno.EAGAIN: "raise the limit of processes (ulimit -u)",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "check its permissions",
}


def one_line(error: BaseException) -> str | None:
    """What to say of an error of the operating system or of its limits; None for any other."""
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, MemoryError):
        return "out of memory: ask for fewer parties or smaller batches, or raise the limit on it"
    if isinstance(error, RecursionError):
        return "a file or a model is nested too deeply to be read"
    if isinstance(error, UnicodeError):
        return f"text in another encoding than UTF-8, or a name that has none: {_text(error)}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no further thread can be started: raise the limits (ulimit -u, ulimit -v)"
    return None


def _of_system(error: OSError) -> str:
    reason = error.strerror or _text(error)
    names = [name for name in (error.filename, error.filename2) if name not in (None, "")]
    if names and not isinstance(error.filename, int):
        shown = " and ".join(shortened(os.fsdecode(name), 120) for name in names)
        reason = f"{shown}: {reason}"
    advice = _ADVICE.get(error.errno or 0)
    return reason if advice is None else f"{reason}; {advice}"


def unforeseen(error: BaseException, folder: Path | None = None) -> str:
    """One line for an error that nobody foresaw: its type, its text, and where its trace is.

    The trace goes into `folder`, else into the cache's `errors`, else among temporary files.
    """
    kept = getattr(error, "capc_trace", None) or keep_trace(error, folder)
    where = "" if kept is None else f"; its trace is in {kept}"
    return f"unforeseen {type(error).__name__}: {_text(error)}{where} (--debug shows it)"


def keep_trace(error: BaseException, folder: Path | None = None) -> Path | None:
    """Write an error's traceback to a new file for its owner alone; None where nothing can be."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    stamp = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for place in (folder, _in_cache(), Path(tempfile.gettempdir())):
        if place is None:
            continue
        path = place / f"error-{stamp}-{os.getpid()}.log"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except (OSError, ValueError):
            continue
        with contextlib.suppress(AttributeError):
            error.capc_trace = path  # type: ignore[attr-defined]
        return path
    return None


def _in_cache() -> Path | None:
    try:
        return cache_root() / "errors"
    except Exception:
        return None


def _text(error: BaseException) -> str:
    try:
        said = " ".join(str(error).split())
    except Exception:
        said = "?"
    return shortened(said, _MOST) or "no text"
