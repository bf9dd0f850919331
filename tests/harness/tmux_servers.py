"""A tmux server of its own for each test, so that no other session is touched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from libtmux import Server


@pytest.fixture
def tmux_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that every tmux command of this process and its children reaches."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    # Socket paths are short: the test's own folder may be too deep for one.
    folder = Path(f"/tmp/capc-{tmp_path.name[-20:]}-{id(tmp_path):x}")
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("TMUX_TMPDIR", str(folder))
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("TMUX_PANE", raising=False)
    server = Server()
    yield server
    server.cmd("kill-server")
    shutil.rmtree(folder)
