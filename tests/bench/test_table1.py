"""Table 1 beside the paper's: one unit a column, what is shown, what is said of the paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from capc import cli
from capc.bench import table1
from capc.bench.table1_page import HEAD, LEGEND, NOT_THE_SAME, Cell, table1_page, text_rows
from capc.harness.pages.markup import command_block
from capc.harness.paper import PAPER_NOTE
from capc.harness.rundir import machine

CELL = Cell("N = 8192", "1a", 40, 0.0353, 0.0041, 0.0182, 14.22, 0.11, 14.22 / 0.0353)


def test_all_times_are_milliseconds() -> None:
    row = next(text_rows([CELL]))
    assert row == ("N = 8192", "1a", "40", "35.3", "4.10", "18.2", "14,220", "110", "403")
    assert len(row) == len(HEAD)


def test_the_page_says_what_the_papers_figures_are() -> None:
    text = table1_page([CELL], b"\x89PNG", machine(), "capc table1 --n_queries=20")
    assert command_block("capc table1 --n_queries=20") in text
    for said in (PAPER_NOTE, NOT_THE_SAME, LEGEND):
        assert said.replace("'", "&#x27;") in text


@pytest.mark.slow
def test_the_program_leaves_table_picture_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, ...]] = []

    def cells(*given: object) -> list[Cell]:
        asked.append(given)
        return [CELL]

    monkeypatch.setattr(table1, "measured_cells", cells)
    assert cli.main(["table1", "--n_queries=4", "--repeat=3", f"--results_dir={tmp_path}"]) == 0
    assert [given[2:] for given in asked] == [
        *((4, degree, 3) for degree in (8192, 16384, 32768)),
        (4, None, 3),
    ]
    for name in ("table1.csv", "table1.txt", "table1/report.html", "table1/figures/table1.pdf"):
        assert (tmp_path / name).is_file(), name
    shown = capsys.readouterr().out
    assert "14,220" in shown and "as remembered" in shown
