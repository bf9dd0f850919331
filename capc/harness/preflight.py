"""What this machine must offer a run, checked before models are trained and parties started.

A party meets the same conditions later and reports them itself: these checks are for the user,
who should not wait for a training to learn that a folder is read-only.
"""

from __future__ import annotations

import os
from pathlib import Path

from capc.errors import ConfigError
from capc.gc.program_files import find_program
from capc.harness.settings import Settings
from capc.transport.endpoints import LOOPBACK, Listener


def check_machine(settings: Settings) -> None:
    """Raises ConfigError, naming the flag, for a folder, port or engine that a run cannot use."""
    _writable("--results_dir", settings.results_dir)
    if settings.log_timing_file is not None:
        if settings.log_timing_file.is_dir() or not settings.log_timing_file.parent.is_dir():
            raise ConfigError(
                f"--log_timing_file is {settings.log_timing_file}; allowed is a file in a folder "
                "that exists"
            )
        _writable("--log_timing_file", settings.log_timing_file)
    if settings.start_port:
        _free_port(settings.start_port)
    for program in settings.circuit_programs:
        find_program(program, settings.gc_backend)


def _writable(flag: str, path: Path) -> None:
    """The first thing on the way up that exists must be writable."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if there != path and not there.is_dir():
        raise ConfigError(f"{flag} is {path}, but {there} is not a folder; name another")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{flag} is {path}, but {there} cannot be written; name another")


def _free_port(first: int) -> None:
    """Whether a port can be had: each party takes the next free one, as other runs do."""
    Listener(LOOPBACK, first).close()
