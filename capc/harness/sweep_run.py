"""One run of a sweep, in a process and a folder of its own; what it leaves there when it has ended.

It may be called by a worker of this machine or of a cluster: it takes plain arguments, and all that
it leaves is below its folder.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capc.child_process import ExitWatch, start_child
from capc.command_line import ExitStatus
from capc.files import read_json, write_whole
from capc.harness.launchers.processes import party_environment
from capc.harness.signals import SignalEvents, interruptible

ENDED, SCREEN = "ended.json", "screen.txt"
"""How a run ended, once it has; what it said."""


def run_point(folder: str, words: Sequence[str], working_folder: str) -> None:
    """Run `capc WORDS` anew in a folder; how it ended is in its file `ended.json`.

    Paths among the words are relative to `working_folder`. Nothing is written where it was stopped.
    """
    place = Path(folder)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, mode=0o700)
    begun = time.monotonic()
    with interruptible(), (place / SCREEN).open("wb") as screen:
        named = [*words, f"--results_dir={place / 'results'}"]
        status = _status(named, screen.fileno(), working_folder)
    if status == ExitStatus.INTERRUPTED:
        raise SystemExit(status)  # the worker that runs this is being ended
    ended = {"status": status, "seconds": round(time.monotonic() - begun, 3)}
    write_whole(place / ENDED, json.dumps(ended))


def command_of(words: Sequence[str]) -> list[str]:
    """`capc WORDS`, with this interpreter."""
    return [sys.executable, "-m", "capc.cli", *words]


def _status(words: Sequence[str], screen: int, working_folder: str) -> int:
    """Of the command, which is given the time to end its own processes when this one is stopped."""
    with SignalEvents() as signals, selectors.DefaultSelector() as selector:
        child = start_child(
            command_of(words),
            ends_by=signal.SIGTERM,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            cwd=working_folder,
            env=party_environment(),
        )
        with contextlib.closing(ExitWatch(child)) as watch:
            selector.register(watch, selectors.EVENT_READ)
            selector.register(signals, selectors.EVENT_READ)
            selector.select()
        if signals.clear():
            child.terminate()
            child.wait()
            return ExitStatus.INTERRUPTED
        return child.wait()


def ended(folder: Path) -> Mapping[str, Any] | None:
    """How the run in a folder ended; None where none has."""
    try:
        found: Mapping[str, Any] = read_json(folder / ENDED)
    except (OSError, ValueError):
        return None
    return found
