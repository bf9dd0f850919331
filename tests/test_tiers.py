"""The quick tier: what is left out of it exists, and every floor still has tests in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiers import SLOW, TESTS, is_slow

MODULES = sorted(TESTS.rglob("test_*.py"))
# All their tests need TensorFlow or whole runs.
NOT_QUICK = {"audit", "he_transformer", "protocol"}


@pytest.mark.parametrize("name", SLOW)
def test_what_is_slow_exists(name: str) -> None:
    assert (TESTS / name).exists()


@pytest.mark.parametrize("floor", sorted({path.parent for path in MODULES} - {TESTS}))
def test_every_floor_has_quick_tests(floor: Path) -> None:
    quick = [path for path in MODULES if path.parent == floor and not is_slow(path)]
    assert bool(quick) != (floor.name in NOT_QUICK)
