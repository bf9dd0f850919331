"""What attacks on silent transfers take, by scripts/silent_security.py, and what the page says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from capc.gc import _engine

ROOT = Path(__file__).parents[2]
ESTIMATE = runpy.run_path(str(ROOT / "scripts" / "silent_security.py"))
OURS, FERRET, ATTACKS = (ESTIMATE[name] for name in ("OURS", "FERRET", "ATTACKS"))


def test_the_estimated_parameters_are_those_of_the_engine() -> None:
    trees, depth, secrets = _engine.SILENT_PARAMETERS
    assert (OURS.trees, OURS.part, OURS.secrets) == (trees, 2**depth, secrets)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_takes_less_than_128_bits(attack: str) -> None:
    assert ATTACKS[attack](OURS) > 128


def test_fewer_secrets_would_not_do() -> None:
    fewer = type(OURS)(OURS.trees, OURS.part, OURS.secrets // 2)
    assert min(bits(fewer) for bits in ATTACKS.values()) < 100


def test_the_documented_bits() -> None:
    text = (ROOT / "docs" / "silent-transfers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:pooled|information|algebraic).* \| (\d+) \| (\d+) \|$", text, re.M)
    expected = [(f"{bits(OURS):.0f}", f"{bits(FERRET):.0f}") for bits in ATTACKS.values()]
    assert rows == expected
