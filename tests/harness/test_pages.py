"""The page of a run: whole however the run ended, of public outputs alone, without a network."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from html_pages import Page
from scripted_runs import World, scripted_run

from capc.harness.pages import drawings
from capc.harness.pages.markup import element, table
from capc.harness.pages.run_files import tables_of, write_pages
from capc.harness.pages.run_page import run_page
from capc.harness.pages.tables_of_run import Bar, Tables, bars, middle_query, rows_of
from capc.harness.tables import TIMING_COLUMNS

WORLD = World((1, 1, 2))
EMPTY = Tables([], [], [])


def page_of(folder: Path) -> Page:
    path = folder / "report.html"
    assert path.stat().st_mode & 0o777 == 0o600
    return Page(path.read_text())


def record_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return record


def test_a_run_leaves_a_page_that_stands_alone(tmp_path: Path) -> None:
    flags = ("--sigma=7", "--epsilon=10", "--threshold=2", "--sigma_threshold=3", "--user=jane")
    done = scripted_run(tmp_path / "made", WORLD, *flags)
    page = page_of(done.folder)
    assert page.leaves == []
    assert not page.tags & {"script", "img", "link", "iframe", "object", "embed"}
    text = (done.folder / "report.html").read_text()
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "http:" not in text.replace("http-equiv", "")
    for name in (str(tmp_path), "jane", "private/check.csv", "plain_label"):
        assert name not in text
    for said in (
        "3 of 3 queries answered",
        "2 of 3 labels right",
        "4.5 epsilon spent, of 10",
        "1a private inference",
        "4.5 of 10, 5.5 left",
        "scale 7, drawn by the guardian",
        "2 votes, under noise of scale 3",
        "each answering party nothing",
        "which were answered",
        "capc run --n_parties=3 --n_queries=3",
    ):
        assert said in page.said, said
    assert f"report:   {done.folder / 'report.html'}" in done.screen


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("failed", "ended with status 1: a party"),
        ("stopped", "ended with status 130: stopped by Ctrl-C"),
        ("Ctrl-C", "ended with status 130"),
    ],
)
def test_a_run_that_does_not_end_well_has_a_page(tmp_path: Path, ends: str, said: str) -> None:
    done = scripted_run(tmp_path / "made", WORLD, "--sigma=7", "--verify", ends=ends)
    page = page_of(done.folder)
    assert said in page.said
    assert "every share was opened to the driver" in page.said
    assert "One query in time" in page.said
    assert ("The party that failed: answering-1" in page.said) is (ends == "failed")


def test_a_run_without_a_single_row(tmp_path: Path) -> None:
    record = record_of(scripted_run(tmp_path / "made", WORLD, "--sigma=7").folder)
    refused = {"query": 0, "reason": "the next query could spend epsilon 3.1"}
    page = Page(run_page(record | {"refused": refused, "exit_status": 4}, EMPTY))
    assert "The budget refused query 0 and those after it" in page.said
    assert "0 of 3 queries answered" in page.said


def test_a_page_that_cannot_be_written_does_not_change_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def replace(path: Path, target: Any) -> Path:
        if str(target).endswith(".html"):
            raise OSError(28, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    done = scripted_run(tmp_path / "made", WORLD, "--sigma=7")
    assert done.status == 0
    assert "no page of the run: " in done.screen


def test_nothing_of_a_table_is_markup(tmp_path: Path) -> None:
    folder = scripted_run(tmp_path / "made", WORLD, "--sigma=7").folder
    bad = "<script>alert(1)</script>"
    tables = tables_of(folder)
    queries = [{**row, "label": bad} for row in tables.queries]
    record = record_of(folder) | {"complaints": [bad], "privacy": f'"{bad}'}
    page = Page(run_page(record, Tables(queries, tables.timings, tables.summary)))
    assert "script" not in page.tags
    assert page.said.count(bad) == 5  # each of three labels, the complaint, the statement
    assert element("td", bad, title='"') == (
        '<td title="&quot;">&lt;script&gt;alert(1)&lt;/script&gt;</td>'
    )
    assert 'class="n"' in table(("a", "b"), [("1", "2")], numbers=1)


def test_the_command_names_no_file_but_shipped_ones(tmp_path: Path) -> None:
    account = f"--account={tmp_path / 'account.json'}"
    flags = ("--sigma=7", account, "--encryption_params=config/fast.json", "--seed=5")
    folder = scripted_run(tmp_path / "made", WORLD, *flags, "--noise=distributed").folder
    said = page_of(folder).said
    (command,) = re.findall(r"capc run .*?--launcher=subprocess", said)
    assert "--account=..." in command
    assert "--encryption_params=config/fast.json" in command
    assert "--seed=5 " in command
    assert "--noise=distributed " in command
    for name in ("checkpoint_dir", "user", "results_dir", "input_node"):
        assert name not in command
    own = {**record_of(folder)["flags"], "encryption_params": "/home/jane/mine.json"}
    said = Page(run_page(record_of(folder) | {"flags": own}, EMPTY)).said
    assert "--encryption_params=..." in said
    assert "jane" not in said


def timing(query: object, party: str, step: str, phase: str, seconds: float) -> Mapping[str, str]:
    row = dict.fromkeys(TIMING_COLUMNS, "0")
    named = {"query": query, "party": party, "step": step, "phase": phase, "seconds": seconds}
    return row | {name: str(value) for name, value in named.items()}


def test_steps_are_laid_end_to_end() -> None:
    rows = [
        timing(4, "querying", "1a", "offline", 2.0),
        timing(4, "answering-0", "1a", "offline", 1.5),
        timing(4, "answering-1", "1a", "offline", 3.0),
        timing(4, "guardian", "2", "online", 0.25),
        timing(4, "querying", "3", "online", 1.0),
        timing(4, "guardian", "3", "online", 1.0),
        timing(5, "querying", "1a", "offline", 9.0),
        timing("", "querying", "1a", "setup", 50.0),
    ]
    assert bars(rows, "4") == [
        Bar("querying", "1a", "offline", 0.0, 2.0),
        Bar("answering-0", "1a", "offline", 0.5, 1.5),
        Bar("answering-1", "1a", "offline", 0.0, 2.0),
        Bar("guardian", "2", "online", 2.0, 0.25),
        Bar("querying", "3", "online", 2.25, 1.0),
        Bar("guardian", "3", "online", 2.25, 1.0),
    ]
    assert middle_query(rows) == "4"
    assert middle_query([*rows, timing(6, "querying", "1a", "online", 5.0)]) == "6"
    assert middle_query(rows[-1:]) is None


def test_rows_that_were_cut_are_left_out() -> None:
    assert rows_of("a,b\n1,2\n3\n4,5,6\n") == [{"a": "1", "b": "2"}]
    assert rows_of("") == []


def test_many_parties_fit_the_timeline() -> None:
    found = [Bar(f"answering-{index}", "1a", "online", 0.0, 1.0) for index in range(50)]
    found += [Bar(name, "1a", "online", 0.0, 1.0) for name in ("guardian", "querying")]
    svg = ElementTree.fromstring(drawings.timeline_drawing(found))
    names = [str(text.text) for text in svg.iter("text") if text.get("text-anchor") == "end"]
    assert names[:3] == ["querying", "answering-0", "answering-1"]
    assert "guardian" in names
    assert "answering-12" not in names
    assert "and 38 more answering parties" in names


@pytest.mark.parametrize("budget", [None, 4.55, 100.0])
@pytest.mark.parametrize("spent", [[0.0], [1.5, 3.0, 4.5]])
def test_epsilon_is_drawn_within_its_frame(spent: list[float], budget: float | None) -> None:
    svg = ElementTree.fromstring(drawings.epsilon_drawing(spent, budget))
    path = next(part.get("d", "") for part in svg.iter("path"))
    heights = [float(y) for y in re.findall(r"V([\d.]+)", path)]
    assert len(heights) == len(spent)
    assert all(12 <= y <= 108 for y in heights)
    assert sorted(heights, reverse=True) == heights
    assert ("budget" in "".join(svg.itertext())) is (budget is not None)


@pytest.mark.parametrize("end", [1e-4, 0.09, 0.24, 1.0, 7.3, 900.0])
def test_times_on_the_axis_are_few_and_round(end: float) -> None:
    ticks = drawings._ticks(end)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert end / 2 < ticks[-1] <= end


def test_the_list_of_runs(tmp_path: Path) -> None:
    results = tmp_path / "made" / "results"
    first = scripted_run(tmp_path / "made", WORLD, "--sigma=7").folder
    record = record_of(first)
    second = results / "20990101-000000-abcdef"
    second.mkdir()
    (second / "run.json").write_text(json.dumps(record | {"run_id": second.name}))
    (results / "notes").mkdir()
    (results / "notes" / "run.json").write_text("[]")
    write_pages(first, record)
    page = Page((results / "index.html").read_text())
    assert (results / "index.html").stat().st_mode & 0o777 == 0o600
    assert page.leaves == [f"{first.name}/report.html"]
    assert page.said.index(second.name) < page.said.index(first.name)
    assert "notes" not in page.said
