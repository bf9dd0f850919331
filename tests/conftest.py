"""The mark `slow`, and the quick tier without it; see tiers.py."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiers import is_slow


def pytest_configure() -> None:
    """Give signals their usual meaning: a shell's background job ignores Ctrl-C, and so would runs.

    What is ignored at its start stays ignored in a run, which is right and tested by itself.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)


def leaves_slow_out(config: pytest.Config) -> bool:
    """Whether this is the quick tier: pytest -m "not slow"."""
    return bool(config.option.markexpr == "not slow")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spare the quick tier the import of what it does not run: TensorFlow takes seconds."""
    return True if leaves_slow_out(config) and is_slow(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of SLOW."""
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What runs remember of accounts is not the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_tier_stays_quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where a test of the quick tier has imported TensorFlow: it belongs into SLOW."""
    yield
    if leaves_slow_out(request.config):
        assert "tensorflow" not in sys.modules, "a test that is not marked slow needs TensorFlow"
