"""The end of a child process is an event, with pidfd and without."""

from __future__ import annotations

import subprocess

import pytest

from capc.child_process import ExitWatch, ends_within


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_a_child_that_runs_and_one_that_ends(
    with_pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_pidfd:
        monkeypatch.setattr(ExitWatch, "_pidfd", staticmethod(lambda pid: None))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert not ends_within(child, 0.01)
        assert child.stdin is not None
        child.stdin.close()
        assert ends_within(child, 30)
        assert child.returncode == 0
        assert ends_within(child, 0)


def test_a_closed_watch_has_no_descriptor() -> None:
    with subprocess.Popen(["true"]) as child:
        watch = ExitWatch(child)
        watch.close()
        watch.close()
        with pytest.raises(ValueError, match="closed"):
            watch.fileno()
