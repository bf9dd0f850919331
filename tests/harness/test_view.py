"""What the driver shows: the live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from capc.console import MinuteLines, bytes_text, printable, seconds_text
from capc.errors import ProtocolError
from capc.harness import models
from capc.harness.recorder import Recorder
from capc.harness.report import show_times
from capc.harness.view import LiveView, PartyRow, View
from capc.transport.control_messages import (
    Answer,
    LeftOut,
    Log,
    Message,
    Opened,
    Plan,
    Refused,
    Spent,
    Timing,
)

PARTIES = ["answering-0", "answering-1", "guardian", "querying"]


def terminal(height: int = 40) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=120, height=height, color_system=None
    )


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def recorder(folder: Path, console: Console, n_queries: int = 2) -> Recorder:
    return Recorder(
        PARTIES,
        n_queries=n_queries,
        queries_csv=folder / "queries.csv",
        timings_csv=folder / "timings.csv",
        timing_log=folder / "log.txt",
        true_labels=None,
        insecure="",
        console=console,
    )


def test_numbers_with_units() -> None:
    assert [bytes_text(n) for n in (0, 999, 1500, 2.5e6, 7e12)] == [
        *("0 B", "999 B", "1.5 kB", "2.5 MB", "7000.0 GB")
    ]
    assert seconds_text(0.0123) == "12.3 ms"
    assert seconds_text(12.345) == "12.35 s"


def test_text_of_a_party_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\u202e\nc\td") == "a?[2Jb?\nc\td"
    console = Console(file=io.StringIO(), width=120)
    View(console).line("[bold]not markup[/] \x1b]0;title\x07")
    assert text_of(console) == "[bold]not markup[/] ?]0;title?\n"


def test_the_live_table(tmp_path: Path) -> None:
    console = terminal()
    made = recorder(tmp_path, console)
    assert isinstance(made.view, LiveView)
    made.view.start()
    made.on_state("answering-1", "ready")
    made.on_message("answering-1", Timing(0, "1a", "online", 0.25, 2_000_000, 3000, 4, 1))
    made.on_message("querying", Answer(0, True, 7))
    made.on_message("guardian", Spent(0, 2.0291, 1e-5, "improved", True))
    assert made.refresh_at() is not None
    made.refresh()
    assert made.refresh_at() is None
    made.finish()
    text = text_of(console)
    for word in ("answering-1", "250.0 ms", "2.0 MB", "3.0 kB", "2.029", "1/2", "label 7"):
        assert word in text


def test_rows_that_do_not_fit_are_counted() -> None:
    rows = [PartyRow(f"answering-{index}", "ready") for index in range(50)]
    console = terminal(height=20)
    console.print(LiveView(console, rows, 1).table())
    text = text_of(console)
    assert "40 more" in text
    assert "40 ready" in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("width", [60, 80, 100])
def test_tables_are_read_whole_in_a_narrow_terminal(width: int) -> None:
    """Nothing is cut in half of a wide terminal, as the driver's pane is one of three."""
    console = Console(file=io.StringIO(), width=width)
    row = PartyRow(
        "answering-399", "connecting", 123, "1b", "offline", 0.2446, 703_700_000, 123_456
    )
    console.print(LiveView(console, [row], 1).table())
    times = {"median_s": 0.1432, "p10_s": 0.1432, "p90_s": 0.1432, "bytes_median": 320_700}
    summary = {"step": "1b-1c", "phase": "offline", "n": 100, "paper_s": 0.12, "ratio": 242.9}
    show_times([console], [summary | times])
    tables = text_of(console).splitlines()[:-1]
    assert all(len(line) <= width and "…" not in line for line in tables)
    for word in ("answering-399", "connecting", "244.6 ms", "143.2 ms", "320.7 kB", "242.9x"):
        assert any(word in line for line in tables)
    assert any("703.7 MB" in line for line in tables) == (width >= 80)
    assert any("p90" in line for line in tables) == (width >= 80)


def test_a_long_run_has_no_line_per_query(tmp_path: Path) -> None:
    console = terminal()
    made = recorder(tmp_path, console, n_queries=100)
    made.on_message("querying", Answer(0, True, 7))
    made.on_message("guardian", Spent(0, 2.0, 1e-5, "improved", True))
    made.finish()
    assert "label 7" not in text_of(console)


def test_a_batch_is_split_into_its_queries(tmp_path: Path) -> None:
    made = recorder(tmp_path, Console(file=io.StringIO()), n_queries=10)
    made.on_message("querying", Timing(4, "1a", "online", 0.3, 10, 4, 2, 3))
    made.finish()
    rows = (tmp_path / "timings.csv").read_text().splitlines()[1:]
    assert rows == [
        "4,querying,1a,online,0.1,3,1,2,",
        "5,querying,1a,online,0.1,3,1,2,",
        "6,querying,1a,online,0.1,4,2,2,",
    ]


@pytest.mark.parametrize(
    ("party", "message"),
    [
        ("guardian", Answer(0, True, 1)),
        ("querying", Answer(2, True, 1)),
        ("answering-0", Spent(0, 1.0, 1e-5, "classic", True)),
        ("guardian", Spent(2, 1.0, 1e-5, "classic", True)),
        ("answering-0", Plan(12, 12)),
    ],
)
def test_what_a_party_may_not_say(tmp_path: Path, party: str, message: Message) -> None:
    made = recorder(tmp_path, Console(file=io.StringIO()))
    with pytest.raises(ProtocolError):
        made.on_message(party, message)
    made.finish()


def test_an_answer_comes_once_and_both_agree(tmp_path: Path) -> None:
    made = recorder(tmp_path, Console(file=io.StringIO()))
    made.on_message("querying", Answer(0, True, 1))
    with pytest.raises(ProtocolError, match="not expected"):
        made.on_message("querying", Answer(0, True, 1))
    with pytest.raises(ProtocolError, match="disagree"):
        made.on_message("guardian", Spent(0, 1.0, 1e-5, "classic", False))
    made.finish()


def test_an_answer_without_account_is_written_at_the_end(tmp_path: Path) -> None:
    made = recorder(tmp_path, Console(file=io.StringIO()))
    made.on_message("querying", Answer(1, False, None, ("answering-0",)))
    assert len((tmp_path / "queries.csv").read_text().splitlines()) == 1
    made.finish()
    assert (tmp_path / "queries.csv").read_text().splitlines()[1] == "1,,,false,1,,,,"


def test_a_party_that_is_left_out_is_told_once_and_by_those_who_may(tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    made = recorder(tmp_path, console)
    made.on_message("querying", LeftOut("answering-0", "it is gone"))
    made.on_message("guardian", LeftOut("answering-0", "it sent nothing in time"))
    assert made.results.left_out == {"answering-0": "it is gone"}
    with pytest.raises(ProtocolError, match="not for answering-0 to leave out"):
        made.on_message("answering-0", LeftOut("answering-0", "at its own wish"))
    made.finish()


def test_the_rest_is_kept(tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    made = recorder(tmp_path, console)
    made.on_message("answering-0", Plan(41, 12))
    made.on_message("answering-0", Opened(0, "vote_share", None, (1, 2)))
    made.on_message("guardian", Refused(1, "too much"))
    made.on_message("guardian", Refused(2, "again"))
    made.on_message("guardian", Log("a word"))
    made.finish()
    assert made.results.plans["answering-0"].ring_bits == 41
    assert made.results.opened[0, "answering-0", "vote_share", None] == (1, 2)
    assert made.results.refused == Refused(1, "too much")
    assert "guardian: a word" in text_of(console)


def test_a_line_a_minute_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("capc.console.time.monotonic", lambda: clock[0])
    text = io.StringIO()
    rows = [PartyRow("querying", "ready", step="1a", phase="online"), PartyRow("guardian", "ready")]
    view = View(Console(file=text, width=200), rows)
    view.answered(2)
    assert view.refresh_at() == 1060.0
    view.refresh()
    assert text.getvalue() == ""
    clock[0] = 1061.0
    view.refresh()
    said = "still at work: 2 queries done, parties 2 ready, step 1a online (1 min)\n"
    assert text.getvalue() == said
    clock[0] = 1100.0
    view.line("query 2")
    assert view.refresh_at() == 1160.0


def test_long_preparations_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    script = "import sys; sys.stdin.read(); sys.stderr.write('last words'); sys.exit(3)"
    minutes = MinuteLines(said.append, seconds=0.2)
    read, write = os.pipe()
    really = subprocess.Popen
    monkeypatch.setattr(
        "capc.harness.models.subprocess.Popen",
        lambda command, **options: really(command, stdin=read, **options),
    )

    def once(text: str) -> None:
        said.append(text)
        os.close(write)
        minutes._seconds = 60.0

    minutes._say = once
    assert models._patiently([sys.executable, "-c", script], minutes) == (3, "last words")
    os.close(read)
    assert said[0].startswith("still preparing")
