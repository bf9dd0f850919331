"""The Makefile: its help names every command, and what it starts exists."""

from __future__ import annotations

import re
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
