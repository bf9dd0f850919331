"""A run from its folder: the cards at its end, what happened when, and folders that are no runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from capc.cards.glyphs import UNICODE
from capc.cards.lines import card_lines
from capc.errors import ConfigError
from capc.harness.recorded import RecordedRun
from capc.harness.replay_command import Player, main
from capc.harness.tables import QUERY_COLUMNS, TIMING_COLUMNS, write_table
from capc.transport.control_messages import Answer, Progress, Timing

TIMINGS = [
    ",guardian,3,setup,0.4,0,0,0,",
    ",querying,1a,setup,0.5,1000,2000,2,",
    "0,querying,1a,offline,0.3,700,900,2,",
    "0,answering-0,1a,offline,0.2,900,700,2,",
    "0,guardian,2,offline,0.01,0,0,0,",
    "0,querying,1a,online,1,700,900,2,",
    "0,answering-0,1a,online,1.2,900,700,2,",
    "0,querying,2,online,0,0,0,0,",
    "0,querying,3,online,0.5,7,9,1,",
    "0,guardian,2,online,1.3,0,72,1,",
    "0,guardian,3,online,0.4,9,7,1,",
]


ONE = ",".join(TIMING_COLUMNS) + "\n0,querying,1a,online,0.5,1,2,3,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parties = ("answering-0", "guardian", "querying")
    record = {
        "flags": {"n_parties": 1, "n_queries": 3, "epsilon": 5.0, "threshold": None},
        "parties": {name: {"port": 1, "exit_status": 0} for name in parties},
        "refused": {"query": 1, "reason": "epsilon would be 6"},
        "failure": None,
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    lines = [",".join(TIMING_COLUMNS), *TIMINGS]
    (tmp_path / "timings.csv").write_text("\n".join(lines) + "\n")
    answered = {"query": 0, "label": 7, "answered": True, "epsilon_spent": 3.5, "delta": 1e-5}
    rows: list[dict[str, object]] = [answered | {"conversion": "improved"}]
    rows += [{"query": query, "answered": False} for query in (1, 2)]
    table = [[row.get(name) for name in QUERY_COLUMNS] for row in rows]
    write_table(tmp_path / "queries.csv", QUERY_COLUMNS, table)
    return tmp_path


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def change(folder: Path, **fields: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def text_of(folder: Path, party: str) -> list[str]:
    card = RecordedRun(folder).final_card(party)
    return [line.plain for line in card_lines(card, 80, 23, 0.0, UNICODE)]


def test_the_last_cards(folder: Path) -> None:
    assert text_of(folder, "querying")[-1].split() == ["label", "7"]
    assert "✓ finished: label 7" in text_of(folder, "querying")[0]
    assert text_of(folder, "guardian")[-1] == "1 answered, 0 not answered, 2 refused"
    assert text_of(folder, "guardian")[-2].endswith("ε 3.5 of 5")
    step = next(line for line in text_of(folder, "answering-0") if line.startswith("1a"))
    assert step.split()[2:] == [*["200.0", "ms", "1.20", "s", "1.8", "kB", "1.4", "kB"]]


def test_what_happened_when(folder: Path) -> None:
    """The querying party's steps end to end; what others did in the same step ends with it."""
    run = RecordedRun(folder)
    ends = {
        (event.party, event.message.step, event.message.phase): event.at
        for event in run.events()
        if isinstance(event.message, Timing)
    }
    assert ends["querying", "1a", "setup"] == pytest.approx(0.5)
    assert ends["guardian", "3", "setup"] == pytest.approx(0.5)
    assert ends["querying", "1a", "offline"] == ends["answering-0", "1a", "offline"]
    assert ends["querying", "1a", "online"] == pytest.approx(1.8)
    assert ends["guardian", "3", "online"] == pytest.approx(ends["querying", "3", "online"])
    begins = {
        (event.party, event.message.step): event.at
        for event in run.events()
        if isinstance(event.message, Progress) and event.message.phase == "online"
    }
    assert begins["answering-0", "1a"] == pytest.approx(ends["answering-0", "1a", "offline"])
    answers = [event for event in run.events() if isinstance(event.message, Answer)]
    assert [event.party for event in answers] == ["querying"]
    assert answers[0].at == pytest.approx(2.3)
    assert [event.at for event in run.events()] == sorted(event.at for event in run.events())


def test_it_plays_at_any_speed(folder: Path) -> None:
    run = RecordedRun(folder)
    player = Player(run, run.names(), 4.0)
    player.advance(1.0)
    querying = player._cards["querying"]
    assert (querying.state, querying.step, querying.phase) == ("working", "1a", "online")
    player.advance(0.1)
    assert querying.labels == querying.labels.__class__()
    player.advance(2.0)
    assert list(querying.labels) == [7]
    assert {card.state for card in player._cards.values()} == {"done"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"failure": {"party": "guardian", "reason": "no room"}}, "no room"),
        ({"failure": {"party": "querying", "reason": "x"}}, "ended because querying failed"),
        ({"failure": "stopped"}, "ended with the run: stopped"),
        ({}, "killed by SIGKILL"),
    ],
)
def test_how_a_party_ended(folder: Path, fields: dict[str, object], said: str) -> None:
    change(folder, parties={"guardian": {"port": 1, "exit_status": -9}}, **fields)
    lines = text_of(folder, "guardian")
    assert "✗ failed" in lines[0]
    assert said in lines


def test_off_a_terminal_the_last_cards_are_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert [len(line) <= 80 for line in printed.splitlines()].count(False) == 0
    for title in ("answering-0", "guardian", "querying party"):
        assert title in printed
    assert main([str(folder), "--party", "guardian", "--speed=4"]) == 0
    assert "querying" not in capsys.readouterr().out


def test_a_picture(folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "cards.svg"
    assert main([str(folder), "--svg", str(picture), "--size", "80x24", "--at", "1.0"]) == 0
    text = picture.read_text()
    assert text.startswith("<svg")
    assert "url(http" not in text
    assert "url(&quot;http" not in text
    assert 'url("http' not in text
    assert f"CaPC run {folder.name}" in text.replace("&#160;", " ")
    assert str(folder.parent) not in text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "run.json").unlink(),
        lambda folder: (folder / "run.json").write_text("[]"),
        lambda folder: (folder / "run.json").write_text('{"flags": {"n_parties": -1}}'),
        lambda folder: (folder / "run.json").write_text('{"flags": {"n_parties": 99999}}'),
        lambda folder: (folder / "timings.csv").unlink(),
        lambda folder: to_pipe(folder / "timings.csv"),
        lambda folder: (folder / "timings.csv").write_text(ONE.replace("0.5", "-1")),
        lambda folder: (folder / "timings.csv").write_text(ONE.replace("querying", "root")),
        lambda folder: (folder / "timings.csv").write_text(ONE.replace("1a", "1z")),
        lambda folder: (folder / "timings.csv").write_text("query,party\n1,2\n"),
        lambda folder: (folder / "timings.csv").write_bytes(b"\xff\xfe\x00"),
        lambda folder: (folder / "queries.csv").write_text("query,answered\nx,y\n"),
    ],
)
def test_a_folder_that_is_no_run(folder: Path, spoil: Callable[[Path], object]) -> None:
    spoil(folder)
    with pytest.raises(ConfigError, match=r"run|row"):
        main([str(folder)])


def test_flags_that_cannot_be(folder: Path) -> None:
    for flags in (["--speed=0"], ["--speed=inf"], ["--party=root"], ["--size=9x9"], ["--at=-1"]):
        with pytest.raises(ConfigError):
            main([str(folder), *flags])
