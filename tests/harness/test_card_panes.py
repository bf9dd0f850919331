"""Cards in real tmux panes: at every size, after the run, and one step at a time."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from experiments import constant_network
from libtmux import Server
from rich.console import Console

from capc.graph.prepared import save_network
from capc.harness.experiment import Run
from capc.harness.launchers.tmux import TmuxLauncher
from capc.harness.queries import Queries
from capc.harness.settings import parse_settings
from capc.roles import MODULES

PARTIES = dict.fromkeys(MODULES, "card_party")
WAIT_SECONDS = 20


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmux_server: Server) -> Callable[..., int]:
    """A run of parties that do no work, in panes of the terminal's size."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)

    def start(parties: int, size: tuple[int, int], *flags: str, first_pane: str = "") -> int:
        monkeypatch.setenv("COLUMNS", str(size[0]))
        monkeypatch.setenv("LINES", str(size[1]))
        model = tmp_path / "model.npz"
        save_network(constant_network(1), model)
        always = (f"--results_dir={tmp_path / 'results'}", "--timeout=60", "--num_classes=4")
        settings = parse_settings([*always, f"--n_parties={parties}", "--n_queries=2", *flags])
        queries = Queries(np.zeros((2, 2, 2, 1), np.float32), [1, 1], (0.0, 1.0))
        inside = {"TMUX": "yes", "TMUX_PANE": first_pane} if first_pane else {}
        launcher = TmuxLauncher("capc", environment=inside, cards=settings.cards)
        made = Run(settings, launcher, queries, [model] * parties, PARTIES)
        with (tmp_path / "screen.txt").open("a") as screen:
            return made.run(Console(file=screen, width=200), lambda _recorder: {})

    return start


def shown(server: Server) -> dict[str, list[str]]:
    """What each pane of the run shows, in the order of the panes."""
    form = "#{pane_id} #{@capc_role}"
    rows = server.cmd("list-panes", "-s", "-t", "=capc:", "-F", form).stdout
    panes = {role: pane for pane, role in (row.split(" ", 1) for row in rows)}
    return {
        role: server.cmd("capture-pane", "-p", "-t", pane).stdout for role, pane in panes.items()
    }


def sizes(server: Server) -> dict[str, tuple[int, int]]:
    form = "#{pane_width} #{pane_height} #{@capc_role}"
    rows = server.cmd("list-panes", "-s", "-t", "=capc:", "-F", form).stdout
    split = [row.split(" ", 2) for row in rows]
    return {role: (int(width), int(height)) for width, height, role in split}


def until(holds: Callable[[], bool], shows: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, shows()
        time.sleep(0.05)


def flaws(server: Server) -> list[str]:
    """What keeps the panes from holding last cards that fit them."""
    room, found = sizes(server), []
    for role, lines in shown(server).items():
        if role == "driver":
            continue
        text, (width, height) = "\n".join(lines), room[role]
        if not ("finished" in text or "last label" in text or " done" in text):
            found.append(f"{role} does not say how it ended: {text}")
        if any(len(line) > width for line in lines) or "Pane is dead" in text:
            found.append(f"{role} does not fit {width} x {height}: {text}")
        roomy = role == "querying" and width >= 60 and height >= 17
        if roomy != ("learns the noisy label" in text):
            found.append(f"{role} was not drawn for {width} x {height}: {text}")
    return found


@pytest.mark.parametrize("parties", [1, 3, 10])
def test_cards_at_every_size(run: Callable[..., int], tmux_server: Server, parties: int) -> None:
    """The last cards follow the window from 80 x 24 to 200 x 50 and back."""
    assert run(parties, (80, 24)) == 0
    roles = [role for role in shown(tmux_server) if role.startswith("answering-")]
    alone = ["answering-0", "answering-1", "answering-2"]
    many = ["answering-0", "answering-1", "answering-2 to answering-9"]
    assert roles == (many if parties == 10 else alone[:parties])
    for width, height in ((80, 24), (120, 40), (200, 50), (80, 23)):
        tmux_server.cmd("resize-window", "-t", "capc", "-x", str(width), "-y", str(height))
        until(lambda: not flaws(tmux_server), lambda: flaws(tmux_server))
        querying = [line for line in shown(tmux_server)["querying"] if line]
        assert querying[-1].split() == ["labels", "1", "1"]
        for role, lines in shown(tmux_server).items():
            text = "\n".join(lines)
            assert ("labels" in text) == (role == "querying") or role == "driver"
            if role in alone:
                assert f"answering-{role[-1]}" in text or f"answering party {role[-1]}" in text
        assert any(
            "of 2 answered" in line or "3 spent" in line
            for line in [*shown(tmux_server)["guardian"]]
        )
    if parties == 10:
        lines = shown(tmux_server)["answering-2 to answering-9"]
        assert re.match(r"8( parties)? +8 done", lines[0])


def test_logs_hold_no_codes_and_cards_no_log(
    run: Callable[..., int], tmux_server: Server, tmp_path: Path
) -> None:
    assert run(2, (120, 40)) == 0
    logs = tmp_path / "results" / "latest" / "logs"
    for path in [*logs.glob("*.log"), *logs.glob("panes/*.txt")]:
        assert "\x1b" not in path.read_text()
    assert "query 1 step 1b online" in (logs / "answering-0.log").read_text()
    assert "step 1b online" not in (logs / "panes" / "answering-0.txt").read_text()
    assert "finished: served 2 queries" in (logs / "panes" / "answering-0.txt").read_text()


def test_panes_of_logs_are_as_they_were(
    run: Callable[..., int], tmux_server: Server, tmp_path: Path
) -> None:
    assert run(1, (200, 50), "--panes=log") == 0
    text = (tmp_path / "results" / "latest" / "logs" / "panes" / "answering-0.txt").read_text()
    assert "query 1 step 1b online" in text
    assert "holds" not in text


def test_a_failure_is_said_in_words(
    run: Callable[..., int], tmux_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With --debug the panes stay after a failure: the party that failed says why, others that."""
    monkeypatch.setenv("CAPC_FAKE", '{"guardian": "wrong", "querying": "hang"}')
    assert run(1, (120, 40), "--debug") == 1
    why = "a peer sent 12 bytes in place of 123456"
    until(lambda: why in " ".join(shown(tmux_server)["guardian"]), lambda: shown(tmux_server))
    ended = "ended because guardian failed"
    until(lambda: ended in " ".join(shown(tmux_server)["querying"]), lambda: shown(tmux_server))
    assert f"guardian failed: {why}" in (tmp_path / "screen.txt").read_text()
    assert "holds" not in (tmp_path / "screen.txt").read_text()  # no card among the last words


def test_the_next_run_takes_panes_that_show_the_last_cards(
    run: Callable[..., int], tmux_server: Server
) -> None:
    tmux_server.cmd("new-session", "-d", "-s", "capc", "-x", "120", "-y", "40", "sh")
    for _ in range(2):
        tmux_server.cmd("split-window", "-t", "capc", "sh")
        tmux_server.cmd("select-layout", "-t", "capc", "tiled")
    first = tmux_server.cmd("list-panes", "-s", "-t", "capc", "-F", "#{pane_id}").stdout[0]
    for _ in range(2):
        assert run(2, (120, 40), first_pane=first) == 0
        until(
            lambda: "3 done" in " ".join(shown(tmux_server)["answering parties, guardian"]),
            lambda: shown(tmux_server),
        )
        until(
            lambda: shown(tmux_server)["querying"][-1:] == ["labels 1 1"],
            lambda: shown(tmux_server),
        )


STEP = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from rich.console import Console
from experiments import constant_network
from capc.graph.prepared import save_network
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.queries import Queries
from capc.harness.settings import parse_settings
from capc.roles import MODULES
folder = Path(sys.argv[2])
save_network(constant_network(1), folder / "model.npz")
settings = parse_settings([f"--results_dir={folder / 'results'}", "--step", "--n_parties=2",
                           "--n_queries=2", "--num_classes=4", "--timeout=8"])
queries = Queries(np.zeros((2, 2, 2, 1), np.float32), [1, 1], (0.0, 1.0))
made = Run(settings, SubprocessLauncher(), queries, [folder / "model.npz"] * 2,
           dict.fromkeys(MODULES, "card_party"))
print("status", made.run(Console(), lambda _recorder: {}))
sys.stdin.readline()
"""


def test_one_step_at_a_time(tmux_server: Server, tmp_path: Path) -> None:
    """Each key lets one stage happen; the run is held longer than its --timeout, and is right."""
    tests = str(Path(__file__).parent)
    environment = ["-e", f"PYTHONPATH={tests}:{os.pathsep.join(sys.path)}", "-e", "LANG=C.UTF-8"]
    command = [sys.executable, "-c", STEP, tests, str(tmp_path)]
    tmux_server.cmd(
        *("new-session", "-d", "-s", "driver", "-x", "80", "-y", "24"), *environment, *command
    )

    def text() -> str:
        return "\n".join(
            tmux_server.cmd("capture-pane", "-p", "-J", "-S", "-", "-t", "driver").stdout
        )

    stages = ["set-up"]
    for query in (0, 1):
        stages.append(f"before query {query}")
        stages += [f"query {query}, step {step}" for step in ("1a", "1b", "1c", "2", "3")]
    table = tmp_path / "results" / "latest" / "timings.csv"
    for number, stage in enumerate(stages, start=1):
        until(lambda: f"NEXT: {stage}:" in text(), text)  # noqa: B023
        assert text().count("NEXT:") == number
        if stage == "query 0, step 1b":
            held = table.read_text()
            time.sleep(8.5)
            assert table.read_text() == held
            assert ",1a,online" in held
            assert ",1b," not in held
        assert not re.search(r"\n[^\n]{81,}", text())
        tmux_server.cmd("send-keys", "-t", "driver", "x")
    until(lambda: "status 0" in text(), text)
    assert (tmp_path / "results" / "latest" / "queries.csv").read_text().count(",true,") >= 2
