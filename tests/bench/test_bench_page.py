"""The page of the benchmarks: one unit a column, ours beside peers, what the marks mean."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from capc.bench.bench_command import write_page
from capc.bench.bench_page import HEAD, LEGEND, bench_page, cells, peers_drawing
from capc.bench.rows import measured, ratios, skipped, write_rows
from capc.harness.pages.markup import command_block
from capc.harness.rundir import machine

OURS = measured("relu", "builtin", [0.002, 0.0021, 0.0019], traffic=(3_361_000, 99))
PEER = measured("relu", "emp-0.3", [0.0112, 0.0116, 0.0110])
ALONE = measured("whole", "builtin", [12.25])
MISSING = skipped("whole", "peer", "not <installed>")
ROWS = [OURS, PEER, ALONE, MISSING]


def test_one_unit_a_column() -> None:
    found = [dict(zip(HEAD, row, strict=True)) for row in cells(ROWS)]
    assert [row["median, ms"] for row in found] == ["2.00", "11.2", "12,250", ""]
    assert [row["sent, kB"] for row in found] == ["3,361", "", "", ""]
    assert found[0]["received, kB"] == "0.0990"
    assert [row["ratio"] for row in found] == ["1.00", "5.60", "", ""]


def test_a_ratio_needs_two_that_were_measured() -> None:
    assert ratios([PEER]) == [None]
    assert ratios([PEER, OURS])[0] == PEER.median_s / OURS.median_s  # type: ignore[operator]


def test_bars_share_a_scale_within_a_benchmark() -> None:
    drawing = peers_drawing(ROWS)
    assert drawing is not None
    svg = ElementTree.fromstring(drawing)
    widths = [float(bar.get("width", 0)) for bar in svg.iter("rect")]
    assert len(widths) == 2
    assert abs(widths[1] / widths[0] - 5.6) < 0.01
    said = " ".join(svg.itertext())
    assert "2.00 ms" in said and "11.2 ms" in said and "whole" not in said
    assert peers_drawing([ALONE, MISSING]) is None


def test_the_page_says_what_its_figures_are() -> None:
    text = bench_page({"gc": ROWS}, machine(), "1.0")
    assert LEGEND in text
    assert "Bar: median. Line across its end: from p10 to p90." in text
    assert command_block("capc bench gc") in text
    assert "not &lt;installed&gt;" in text
    assert not re.search(r"<(script|link|img)|https?://(?!www.w3.org)", text)


def test_the_page_shows_every_area_that_was_measured(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "bench"
    write_rows(folder / "privacy.csv", [ALONE])
    write_rows(folder / "gc.csv", [OURS])
    (folder / "protocol.csv").write_text("columns,of,another,version\n1,2,3,4\n")
    text = write_page(folder).read_text()
    assert text.index("<h2>gc") < text.index("<h2>privacy")
    assert "protocol" not in text
    assert "bench/report.html" in (tmp_path / "results" / "index.html").read_text()
