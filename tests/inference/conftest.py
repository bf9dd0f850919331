"""Options of the random-graph test."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random graphs to run, and which."""
    group = parser.getgroup("random graphs")
    group.addoption(
        "--random_graphs", type=int, default=100, help="how many to run between two parties"
    )
    group.addoption("--random_seed", type=int, default=0, help="another seed gives other graphs")
