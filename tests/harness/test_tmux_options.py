"""Parties in real tmux panes, whatever locale and options the user has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from libtmux import Server
from tmux_runs import names, panes, supervise

from capc.harness.launchers.tmux import TmuxLauncher


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", "xx_YY.none", "C.UTF-8"])
@pytest.mark.parametrize("name", ["LC_ALL", "LC_CTYPE"])
def test_every_locale(
    tmux_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str, name: str
) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANG", locale)
    monkeypatch.setenv(name, locale)
    launcher = TmuxLauncher("capc")
    outcome = supervise(launcher, names(1), tmp_path / "run")
    assert outcome.succeeded
    launcher.finish(keep=True)
    assert {row[0] for row in panes(tmux_server, "capc")} >= set(names(1)) or locale != "C.UTF-8"


OPTIONS = {
    "destroy-unattached": "set -g destroy-unattached on",
    "exit-unattached": "set -s exit-unattached on",
    "exit-empty": "set -s exit-empty off",
    "both": "set -g destroy-unattached on\nset -s exit-unattached on\nset -s exit-empty on",
    "shell": "set -g default-shell /bin/false\nset -g default-command 'exit 3'",
    "indices": "set -g base-index 7\nsetw -g pane-base-index 3\nset -g renumber-windows on",
    "remain": "setw -g remain-on-exit off\nset -g detach-on-destroy on",
    "remain failed": "setw -g remain-on-exit failed",
    "bare": "set -g status off\nset -g history-limit 0\nset -g default-terminal vt52",
    "names": "setw -g automatic-rename on\nset -g set-titles on\nset -g set-titles-string '%x'",
    "sizes": "set -g default-size 10x3\nsetw -g window-size smallest\nsetw -g aggressive-resize on",
    "broken": "this is no command\nset -g nonsense on\nif-shell {",
}


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def configure(text: str) -> None:
        home = tmp_path / "home"
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
        (home / ".tmux.conf").write_text(text + "\n")

    return configure


@pytest.mark.parametrize("server_runs", [False, True])
@pytest.mark.parametrize("kind", OPTIONS)
def test_the_users_options(
    tmux_server: Server,
    tmp_path: Path,
    configured: Callable[[str], None],
    kind: str,
    server_runs: bool,
) -> None:
    configured(OPTIONS[kind])
    if server_runs:
        tmux_server.cmd("new-session", "-d", "-s", "of the user", "sh", "-c", "cat")
    launcher = TmuxLauncher("capc")
    outcome = supervise(launcher, names(1), tmp_path / "run")
    assert outcome.exit_statuses == dict.fromkeys(names(1), 0)
    assert {row[0] for row in panes(tmux_server, "capc")} == {"driver", *names(1)}
    launcher.finish(keep=True)
    again = TmuxLauncher("capc")
    assert supervise(again, names(1), tmp_path / "again").succeeded
    again.finish(keep=False)
    assert not again._tmux.succeeds("has-session", "-t", "=capc")


def test_an_option_set_aside_comes_back(
    tmux_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that would end without anybody attached is left as it was found."""
    tmux_server.cmd("new-session", "-d", "-s", "other", "sh", "-c", "cat")
    launcher = TmuxLauncher("capc")
    run = launcher._tmux.run
    asked: list[tuple[str, ...]] = []

    def pretended(*words: str) -> list[str]:
        asked.append(words)
        return (
            ["on"] if words[:1] == ("show-options",) and "exit-unattached" in words else run(*words)
        )

    monkeypatch.setattr(launcher._tmux, "run", pretended)
    (tmp_path / "run" / "logs").mkdir(parents=True)
    launcher.prepare(names(1), tmp_path / "run")
    assert any("exit-unattached is off" in note for note in launcher.notes)
    asked.clear()

    def carried_out(*words: str) -> bool:
        asked.append(words)
        return True

    monkeypatch.setattr(launcher._tmux, "succeeds", carried_out)
    launcher.finish(keep=False)
    assert asked[-1] == ("set-option", "-s", "exit-unattached", "on")
