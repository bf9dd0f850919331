"""The scaling benchmark: the fitted line, what a batch takes, what the tables and the page say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from capc import cli
from capc.bench import scaling
from capc.bench.laws import Law, fitted_law
from capc.bench.runs import MeasuredRun
from capc.bench.scaling_page import AXES, HEAD, LAW_HEAD, LEGEND, Point, law_rows, point_rows

QUIET = Console(quiet=True)


def test_a_line_is_found_again() -> None:
    law = fitted_law([1, 2, 10, 50], [0.3, 0.5, 2.1, 10.1])
    assert (law.fixed, law.each) == pytest.approx((0.1, 0.2))
    assert law.off < 1e-9
    assert law.at(250) == pytest.approx(50.1)


def test_off_is_the_worst_point_as_a_share_of_it() -> None:
    law = fitted_law([1, 2, 3], [1.0, 2.2, 3.0])
    found = [abs(law.at(x) / y - 1) for x, y in ((1, 1.0), (2, 2.2), (3, 3.0))]
    assert law.off == pytest.approx(max(found))
    assert 0.01 < law.off < 0.1


def test_a_point_alone_has_no_line() -> None:
    with pytest.raises(ValueError, match="two different"):
        fitted_law([3, 3], [1.0, 2.0])


class Runs:
    """In place of real runs: each query takes a second, and a millisecond for each party."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, tuple[str, ...]]] = []

    def __call__(self, *, n_parties: int, flags: tuple[str, ...]) -> MeasuredRun:
        self.asked.append((n_parties, flags))
        given = dict(flag.removeprefix("--").split("=") for flag in flags)
        queries, batch = int(given["n_queries"]), int(given["batch_size"])
        rows: list[tuple[Any, ...]] = [(None, "querying", "1a", "setup", 99.0, 10**9)]
        for query in range(queries):
            spent = (1.0 + 0.001 * n_parties) / batch
            rows.append((query, "querying", "1a", "online", spent, 10**6 // batch))
            for party in range(n_parties):
                rows.append((query, f"answering-{party}", "1a", "online", 7.0, 10**6 // batch))
        columns = ["query", "party", "step", "phase", "seconds", "bytes_sent"]
        table = pd.DataFrame(rows, columns=columns).assign(bytes_received=0)
        return MeasuredRun(1.0, 1.0, table, {})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs()
    monkeypatch.setattr(scaling, "measured_run", made)
    monkeypatch.setattr(scaling, "_model", lambda folder, setting: folder / f"{setting.hidden}")
    return made


def test_a_batch_counts_as_one_and_the_base_is_measured_once(runs: Runs) -> None:
    size = scaling.Size((1, 3), (10,), (64,), (1, 4), 2)
    points = scaling.measured_points(size, 3, QUIET)
    assert len(runs.asked) == 3 * 3  # one party, three parties, a batch of four
    by_place = {(point.axis, point.value): point for point in points}
    assert set(by_place) == {
        *(("parties", 1), ("parties", 3), ("classes", 10), ("hidden", 64 * 794)),
        *(("batch", 1), ("batch", 4)),
    }
    assert all(point.n == 6 for point in points)
    three, four = by_place["parties", 3], by_place["batch", 4]
    assert (three.median_s, three.megabytes) == pytest.approx((1.003, 4.0))
    assert (four.median_s, four.megabytes) == pytest.approx((1.001, 2.0))


def test_one_unit_a_column() -> None:
    point = Point("hidden", 50_816, 5, 0.0421, 0.0400, 12.5, 4.321)
    row = dict(zip(HEAD, next(point_rows([point])), strict=True))
    assert row["along"] == AXES["hidden"]
    assert row["value"] == "50,816"
    assert (row["median, ms"], row["p90, ms"]) == ("42.1", "12,500")
    assert row["sent by all, MB"] == "4.32"


def test_weights_count_in_thousands() -> None:
    law = Law(0.03, 1.7e-7, 0.12)
    weights, parties = law_rows({"hidden": (law, law), "parties": (law, law)})
    assert dict(zip(LAW_HEAD, weights, strict=True)) == {
        "along": "1,000 weights of the model",
        **{"fixed, ms": "30.0", "each, ms": "0.170", "off, %": "12"},
        **{"fixed, MB": "0.0300", "each, MB": "0.000170", "MB off, %": "12"},
    }
    assert parties[2] == "0.000170"


@pytest.mark.slow
def test_the_program_leaves_tables_pictures_and_a_page(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    small = scaling.Size((1, 2), (2, 10), (16, 64), (1, 2), 1)
    monkeypatch.setitem(scaling.SIZES, "small", small)
    folder = tmp_path / "results" / "scaling"
    assert cli.main(["scaling", "--size=small", f"--results_dir={folder}"]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"scaling.csv", "laws.csv", "figures", "report.html"}
    assert (folder / "figures" / "scaling.pdf").is_file()
    page = (folder / "report.html").read_text()
    assert "250 answering parties would take 1.25 s on this machine and 251 MB in all" in page
    assert "At most 2 parties were measured" in page
    assert LEGEND in page
    laws = pd.read_csv(folder / "laws.csv")
    assert np.allclose(
        laws.loc[0, ["fixed_s", "each_s", "each_megabytes"]].astype(float), (1, 0.001, 1)
    )
    assert "scaling/report.html" in (tmp_path / "results" / "index.html").read_text()
    assert " ".join(LEGEND.split()[:6]) in " ".join(capsys.readouterr().out.split())
