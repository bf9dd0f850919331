"""Which launcher `--launcher` names."""

from __future__ import annotations

from capc.harness.flags import RAY
from capc.harness.launchers.processes import Launcher
from capc.harness.launchers.ray_launcher import ray_launcher
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.settings import Settings


def launcher_of(settings: Settings) -> Launcher:
    """The launcher of a run, which has started nothing yet."""
    if settings.launcher == "tmux":
        from capc.harness.launchers.tmux import TmuxLauncher  # noqa: PLC0415  0.1 s, for panes

        return TmuxLauncher(settings.session, cards=settings.cards)
    if settings.launcher == RAY:
        return ray_launcher(settings.ray_address, settings.timeout_seconds)
    return SubprocessLauncher()
