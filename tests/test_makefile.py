"""The Makefile: its help names every command, and what it starts exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text().replace("\\\n", " ")
(PHONY,) = re.findall(r"^\.PHONY:(.*)$", MAKEFILE, re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z][\w-]*):(?!=)", MAKEFILE, re.MULTILINE))


def test_help_names_every_target() -> None:
    shown = set(re.findall(r'^\t@echo ".*$', MAKEFILE, re.MULTILINE))
    named = {name for line in shown for name in re.findall(r"\bmake ([a-z][\w-]*)", line)}
    assert named == TARGETS - {"help"}


def test_every_target_is_phony() -> None:
    assert set(PHONY.split()) == TARGETS


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m (capc[\w.]*)", MAKEFILE))))
def test_every_module_that_is_started_runs_as_a_program(module: str) -> None:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()


# Each program that `make test` starts, relative to the clone or on PATH.
PROGRAMS = (
    "scripts/setup.sh",
    "scripts/lint_cpp.sh",
    ".venv/bin/ruff",
    ".venv/bin/mypy",
    ".venv/bin/python",
    "path/cmake",
    "path/ctest",
)


@pytest.mark.parametrize("broken", ["", *PROGRAMS])
def test_make_test_fails_where_a_part_fails(tmp_path: Path, broken: str) -> None:
    """With doubles in the place of the programs: the Python tests come last, and only then."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for program in PROGRAMS:
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{program} $*" >> order\nexit {int(program == broken)}\n')
        path.chmod(0o700)
    done = subprocess.run(
        ["make", "test"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'path'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    order = (tmp_path / "order").read_text().splitlines()
    assert (done.returncode == 0) == (broken == ""), done.stderr
    assert ("-m pytest" in order[-1]) == (broken == "")
    assert broken or {line.split()[0] for line in order} == set(PROGRAMS)
