"""Where the circuit programs lie, by name and back end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from capc.errors import ConfigError
from capc.files import BUILD_AGAIN, IN_CLONE, REPOSITORY

ProgramName = Literal["argmax_1", "sum_histogram"]
BackEnd = Literal["auto", "builtin", "emp"]
BACK_ENDS: tuple[BackEnd, ...] = get_args(BackEnd)

_ON_EMP = "-emp"  # ends the file name of a program that is built on EMP


def find_program(name: ProgramName, back_end: BackEnd = "auto") -> Path:
    """The built program: in $CAPC_GC_BIN where that is set, else beside or inside this package.

    "auto" takes the project's own engine and, only where that is not built, EMP. Raises
    ConfigError, which says how to build it.
    """
    file_names: dict[str, list[str]] = {
        "builtin": [name],
        "emp": [f"{name}{_ON_EMP}"],
        "auto": [name, f"{name}{_ON_EMP}"],
    }
    if back_end not in file_names:
        raise ConfigError(f"the back end is {back_end!r}; allowed are auto, builtin and emp")
    for folder in _folders():
        for file_name in file_names[back_end]:
            if os.access(folder / file_name, os.X_OK):
                return folder / file_name
    if back_end == "emp":
        raise ConfigError(
            f"{name}-emp is not built; install EMP 0.3 (docs/emp.md), then: "
            "cd gc-emp-test && cmake -DGC_BACKEND=emp . && make"
        )
    by_hand = ", or: cd gc-emp-test && cmake . && make" if IN_CLONE else ""
    raise ConfigError(f"the circuit program {name} is not built; run `{BUILD_AGAIN}`{by_hand}")


def runs_emp(name: ProgramName, back_end: BackEnd = "auto") -> bool:
    """Whether this program would run on EMP; False where none is built."""
    try:
        return find_program(name, back_end).name.endswith(_ON_EMP)
    except ConfigError:
        return False


def _folders() -> list[Path]:
    if chosen := os.environ.get("CAPC_GC_BIN"):
        return [Path(chosen)]
    return [REPOSITORY / "gc-emp-test" / "bin", Path(__file__).resolve().parent / "bin"]
