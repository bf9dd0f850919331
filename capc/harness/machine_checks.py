"""What a run needs of this machine: what is there, what is missing, and how to get it.

Nothing here imports the engine or a package of others before it is known to be there.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from capc.console import bytes_text
from capc.errors import ConfigError
from capc.files import BUILD_AGAIN, IN_CLONE, cache_root, temporary_folder
from capc.machine import cores, memory_bytes, package_version

State = Literal["ok", "note", "missing"]

# By the name that is imported, the package that has it.
PACKAGES = {
    "cryptography": "cryptography",
    "libtmux": "libtmux",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "opendp": "opendp",
    "pandas": "pandas",
    "rich": "rich",
    "seal": "seal-python",
    "tensorflow": "tensorflow-cpu",
}
_SYSTEM_PACKAGES = {"c++": "g++", "cmake": "cmake", "make": "make"}
_INSTRUCTIONS = {"aes": "AES", "vaes": "VAES", "pclmulqdq": "PCLMUL"}
_LEAST_FREE_BYTES = 1 << 30  # a run leaves far less; a cache of models and data sets may not
_LOOPBACK = "127.0.0.1"
_PROCESSORS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` says how to get what is missing, or what a note is about."""

    what: str
    state: State
    found: str
    remedy: str = ""


def machine_findings(results_dir: Path) -> list[Finding]:
    """All that can be known without running anything, in the order to read it."""
    looked: Iterable[Callable[[], Finding]] = (
        *(_cores, _memory, _processor, _python, _packages, _engine, _programs, _emp, _tmux),
        *(_compiler, lambda: _disk(results_dir), lambda: _permissions(results_dir), _loopback),
    )
    return [look() for look in looked]


def _cores() -> Finding:
    found = cores()
    return Finding("cores", "ok", f"{found} (affinity and quotas count)")


def _memory() -> Finding:
    found = memory_bytes()
    if found is None:
        return Finding("memory", "note", "unknown", "the system does not say")
    return Finding("memory", "ok", f"{bytes_text(found)} (limits of control groups count)")


def _processor() -> Finding:
    """Which of the engine's paths runs, and the instructions that decide it."""
    try:
        text = _PROCESSORS.read_text()
    except OSError:
        text = ""
    words = set(re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)[:1])
    flags = {word for line in words for word in line.split()}
    has = [name for flag, name in _INSTRUCTIONS.items() if flag in flags]
    lacks = [name for flag, name in _INSTRUCTIONS.items() if flag not in flags]
    said = f"has {', '.join(has) or 'none of its fast instructions'}"
    if lacks and has:
        said += f", lacks {', '.join(lacks)}"
    path = _engine_path()
    said += "" if path is None else f"; circuits run on the path '{path}'"
    if path == "portable":
        return Finding("processor", "note", said, "circuits are slower without AES instructions")
    return Finding("processor", "ok", said)


def _engine_path() -> str | None:
    """The path that the engine takes; None where it is not built."""
    try:
        found: str = importlib.import_module("capc.gc._engine").best_path()
    except ImportError:
        return None
    return found


def _python() -> Finding:
    return Finding("Python", "ok", platform.python_version())


def _packages() -> Finding:
    lacks = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if lacks:
        return Finding("packages", "missing", f"without {', '.join(lacks)}", BUILD_AGAIN)
    seal = package_version("seal-python") or "of unknown version"
    return Finding("packages", "ok", f"all {len(PACKAGES)}, seal-python {seal}")


def _engine() -> Finding:
    if _engine_path() is None:
        return Finding("circuit engine", "missing", "not built for this Python", BUILD_AGAIN)
    return Finding("circuit engine", "ok", "built")


def _programs() -> Finding:
    """argmax_1 and sum_histogram, on either back end."""
    try:
        programs = importlib.import_module("capc.gc.program_files")
    except ImportError:
        return Finding("circuit programs", "missing", "the engine is not built", BUILD_AGAIN)
    places = []
    for name in get_args(programs.ProgramName):
        try:
            places.append(programs.find_program(name).name)
        except ConfigError:
            return Finding("circuit programs", "missing", f"{name} is not built", BUILD_AGAIN)
    return Finding("circuit programs", "ok", ", ".join(places))


def _emp() -> Finding:
    """EMP is a choice: its absence is no lack."""
    try:
        programs = importlib.import_module("capc.gc.program_files")
    except ImportError:
        return Finding("EMP", "ok", "not built (needed for --gc_backend emp alone)")
    names = get_args(programs.ProgramName)
    try:
        for name in names:
            programs.find_program(name, "emp")
    except ConfigError:
        return Finding("EMP", "ok", "not built (needed for --gc_backend emp alone: docs/emp.md)")
    return Finding("EMP", "ok", f"{' and '.join(names)} run on it with --gc_backend emp")


def _tmux() -> Finding:
    try:
        importlib.import_module("capc.harness.launchers.panes").require_tmux()
    except ImportError as error:
        return Finding("tmux", "note", f"not looked at: {error.name} is missing", BUILD_AGAIN)
    except ConfigError as error:
        return Finding("tmux", "note", "no panes", str(error))
    return Finding("tmux", "ok", shutil.which("tmux") or "")


def _compiler() -> Finding:
    """Needed to build, not to run."""
    if not IN_CLONE:
        return Finding("compiler", "ok", "not needed: the installed package has its engine")
    tools = {os.environ.get("CXX", "c++"): "g++"} | {
        name: package for name, package in _SYSTEM_PACKAGES.items() if name != "c++"
    }
    lacks = [package for name, package in tools.items() if shutil.which(name) is None]
    if lacks:
        remedy = f"to build the engine: apt-get install {' '.join(lacks)}"
        return Finding("compiler", "note", f"without {', '.join(lacks)}", remedy)
    return Finding("compiler", "ok", ", ".join(tools))


def _disk(results_dir: Path) -> Finding:
    """The least of what is free at the places that a run writes to."""
    free = {place: shutil.disk_usage(_there(place)).free for place in _places(results_dir)}
    place = min(free, key=lambda name: free[name])
    said = f"{bytes_text(free[place])} free at {place}"
    if free[place] < _LEAST_FREE_BYTES:
        return Finding("disk", "note", said, "results and prepared models may not fit: make room")
    return Finding("disk", "ok", said)


def _permissions(results_dir: Path) -> Finding:
    """Whether a file can be made at each place, by making one."""
    for place in _places(results_dir):
        try:
            tempfile.TemporaryFile(dir=_there(place)).close()
        except OSError as error:
            remedy = "take another --results_dir, CAPC_CACHE or TMPDIR, or give yourself the right"
            return Finding("permissions", "missing", f"{place}: {error.strerror}", remedy)
    return Finding("permissions", "ok", "results, cache and temporary files can be written")


def _places(results_dir: Path) -> list[Path]:
    return [results_dir, cache_root(), temporary_folder()]


def _there(path: Path) -> Path:
    """The first thing on the way up that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _loopback() -> Finding:
    try:
        with socket.create_server((_LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5.0).close()
    except OSError as error:
        remedy = "the parties of a run meet there: allow it in the sandbox or container"
        return Finding("loopback", "missing", f"{_LOOPBACK}: {error.strerror or error}", remedy)
    return Finding("loopback", "ok", f"{_LOOPBACK} takes connections")
