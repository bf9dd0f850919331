"""The benchmark tables: figures, files, and what is said where a peer is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capc.bench import bench_command as bench
from capc.bench.areas import ckks, gc, inference, privacy, spu_peers
from capc.bench.rows import COLUMNS, Row, measured, parse_rows, skipped, write_rows
from capc.bench.runs import MeasuredRun
from capc.bench.table1 import measured_cells
from capc.errors import CapcError, ConfigError
from capc.files import REPOSITORY
from capc.graph.layers import Dense, Input, Network
from capc.he.parameters import EncryptionParameters


def test_a_row_is_the_median_with_its_spread() -> None:
    row = measured("b", "builtin", [float(value) for value in range(101)], traffic=(7, 9))
    assert (row.n, row.median_s, row.p10_s, row.p90_s) == (101, 50.0, 10.0, 90.0)
    assert (row.bytes_sent, row.bytes_received) == (7, 9)


def test_rows_survive_their_file(tmp_path: Path) -> None:
    rows = [measured("b", "builtin", [0.25, 0.5], note="a, b"), skipped("b", "peer", "not there")]
    write_rows(tmp_path / "deep" / "area.csv", rows)
    text = (tmp_path / "deep" / "area.csv").read_text()
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert parse_rows(text) == rows
    with pytest.raises(ValueError, match="columns"):
        parse_rows("benchmark,seconds\nx,1\n")


def _timings() -> pd.DataFrame:
    columns = ["query", "party", "step", "phase", "seconds", "bytes_sent", "bytes_received"]
    lines = [
        (None, "querying", "1a", "setup", 0.5, 1, 2),
        *((query, "querying", "1a", "offline", 1.0 + query, 10, 20) for query in range(3)),
        *((query, "querying", "1a", "online", 0.1, 30, 40) for query in range(3)),
        *((query, "querying", "1c", "online", 0.01, 5, 6) for query in range(3)),
        *((query, "answering-0", "1a", "online", 9.0, 7, 7) for query in range(3)),
    ]
    return pd.DataFrame(lines, columns=columns)


def test_a_run_is_read_query_by_query_as_the_querying_party_saw_it() -> None:
    run = MeasuredRun(1.0, 2.0, _timings(), {})
    assert run.per_query(("1a", "1c"), ("online",)) == pytest.approx([0.11] * 3)
    assert run.per_query(("1a",), ("offline", "online")) == pytest.approx([1.1, 2.1, 3.1])
    assert run.per_query(("1a",), ("setup",)) == [0.5]
    assert run.traffic(("1a", "1c"), ("online",)) == (35, 46)
    rows = inference.single_query("config/fast.json", "transfers", run)
    by_name = {row.benchmark: row for row in rows}
    assert by_name["steps_1a_1c"].median_s == pytest.approx(2.11)
    assert by_name["pair_setup"].n == 1


def test_a_missing_peer_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(spu_peers.VARIABLE, raising=False)
    (row,) = inference.spu(repeat=1)
    assert row.median_s is None and spu_peers.VARIABLE in row.note


def test_the_engines_table_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("relu", "builtin", 2, 0.5, 0.25, 0.75, 10, 20, "note")
    write_rows(tmp_path / "table.csv", [row])
    program = tmp_path / "bench_gc"
    monkeypatch.setattr(gc, "_FOLDER", tmp_path)
    with pytest.raises(CapcError, match="not built"):
        gc.run(2)
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/table.csv"\n')
    program.chmod(0o755)
    found = gc.run(2)
    assert found[0] == row
    assert [peer.implementation for peer in found[1:]] == ["emp-0.3", "emp-dev", "emp-dev"]
    assert all("not installed" in peer.note for peer in found[1:])
    peer = replace(row, implementation="emp-dev")
    write_rows(tmp_path / "dev.csv", [peer])
    (tmp_path / "bench_emp_dev").write_text(f'#!/bin/sh\ncat "{tmp_path}/dev.csv"\n')
    (tmp_path / "bench_emp_dev").chmod(0o755)
    found = gc.run(2)
    assert found[2] == peer and "not installed" in found[1].note and len(found) == 4
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    with pytest.raises(CapcError, match="broken"):
        gc.run(2)


def test_the_program_writes_the_areas_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["privacy", "--repeat=1", f"--results_dir={tmp_path}"]) == 0
    rows = parse_rows((tmp_path / "privacy.csv").read_text())
    assert {row.benchmark for row in rows} == {
        "account_10000_histograms",
        "budget_step",
        "noise_of_a_query",
    }
    assert all(row.median_s is not None and row.median_s > 0 for row in rows)
    assert "budget_step" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="nothing is not an area"):
        bench.main(["nothing"])


def test_a_failing_area_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_repeat: int) -> list[Row]:
        raise CapcError("no luck")

    monkeypatch.setattr(privacy, "run", fail)
    assert bench.main(["privacy", f"--output={tmp_path}"]) == 1
    assert capsys.readouterr().err == "capc bench: error: privacy: no luck\n"


def test_table_1_has_the_papers_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    run = MeasuredRun(1.0, 2.0, _timings(), {})
    timings = run.timings
    later = timings[timings["step"] == "1c"].assign(step="3")
    run = MeasuredRun(1.0, 2.0, pd.concat([timings, later]), {})
    monkeypatch.setattr("capc.bench.table1.measured_run", lambda **_: run)
    cells = measured_cells("N = 8192", "config/10.json", 3, 8192, 1)
    assert [cell.steps for cell in cells] == ["1a", "1b-1c", "2-3"]
    assert cells[0].paper_s == 14.22 and cells[0].mean_s == pytest.approx(2.1)
    assert cells[0].ratio == pytest.approx(14.22 / 2.1)
    twice = measured_cells("N = 8192", "config/10.json", 3, 8192, 2)
    assert [cell.n for cell in twice] == [2 * cell.n for cell in cells]
    assert measured_cells("no encryption", "config/10.json", 3, None, 1)[0].paper_s == 0.152


def test_ckks_row_of_two_processes() -> None:
    """The bytes are what two ciphertexts up and one down must take; the note says the precision."""
    weight = np.array([[1.0], [-2.0]])
    network = Network(
        (
            Input("input", (), (2,)),
            Dense("logits", ("input",), (1,), weight, np.zeros(1)),
        )
    )
    name = "he_seal_ckks_config_N12_L4.json"
    parameters = EncryptionParameters.from_json(str(REPOSITORY / "config" / name))
    images = np.random.default_rng(1).uniform(0, 1, (5, 2))
    batch = ckks._batch(network, parameters, images)
    assert np.abs(batch.results - images @ weight).max() < 2.0**-batch.bits
    up, down = batch.traffic
    assert 0 <= up - 2 * (32 + 4096 * (4 + 3 + 3)) < 64
    assert 0 <= down - 2 * 4096 * 4 < 64
    row = ckks._row("ckks_small_5", "N12_L4", [batch], images @ weight)
    assert row.n == 1 and row.bytes_sent == up and "5 images, one image a slot" in row.note
