"""CSV rows that survive, and a summary checked against NumPy on rows made by hand."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import FileError
from capc.harness.paper import paper_seconds
from capc.harness.tables import (
    CHECK_COLUMNS,
    QUERY_COLUMNS,
    SUMMARY_COLUMNS,
    TIMING_COLUMNS,
    RowWriter,
    summarise,
    write_summary,
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_column_names_are_stable() -> None:
    assert (
        *("query", "true_label", "label", "answered", "voters", "epsilon_spent", "delta"),
        *("conversion", "insecure"),
    ) == QUERY_COLUMNS
    assert (
        *("query", "plain_label", "integer_label", "reference_agrees", "max_logit_error"),
    ) == CHECK_COLUMNS
    assert TIMING_COLUMNS[:8] == (
        *("query", "party", "step", "phase", "seconds", "bytes_sent", "bytes_received", "rounds"),
    )


def test_rows_are_on_disk_at_once(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path / "rows.csv", ("a", "b", "c"))
    assert (tmp_path / "rows.csv").read_text() == "a,b,c\n"
    writer.append({"a": 1, "c": True}, {"a": 0.1234567891234, "b": 'with "quotes", and comma'})
    assert rows_of(tmp_path / "rows.csv") == [
        {"a": "1", "b": "", "c": "true"},
        {"a": "0.123456789", "b": 'with "quotes", and comma', "c": ""},
    ]
    with pytest.raises(ValueError, match="no column d"):
        writer.append({"d": 1})
    writer.close()


@pytest.mark.parametrize("partial", [0, 3, 4])
def test_a_full_disk_keeps_earlier_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partial: int
) -> None:
    writer = RowWriter(tmp_path / "rows.csv", ("a", "b"))
    writer.append({"a": 1, "b": 2})
    really: Callable[[int, bytes], int] = os.write

    def full(descriptor: int, data: bytes) -> int:
        if not partial:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(descriptor, data[:partial])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(FileError, match=r"No space left.*rows written so far are kept"):
        writer.append({"a": 3, "b": 4}, {"a": 5, "b": 6})
    assert (tmp_path / "rows.csv").read_text() == "a,b\n1,2\n"
    writer.close()


def test_a_device_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode: opened("/dev/full", os.O_WRONLY))
    with pytest.raises(FileError, match="No space left"):
        RowWriter(tmp_path / "rows.csv", ("a",))


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot create"):
        RowWriter(tmp_path / "none" / "rows.csv", ("a",))
    with pytest.raises(FileError, match="cannot be written"):
        write_summary(tmp_path / "none" / "summary.csv", [])


def timings(path: Path, seconds: NDArray[Any]) -> Path:
    writer = RowWriter(path, TIMING_COLUMNS)
    base = {"bytes_sent": 10, "bytes_received": 1, "rounds": 1, "insecure": ""}
    writer.append(base | {"party": "querying", "step": "1a", "phase": "setup", "seconds": 9})
    for query, row in enumerate(seconds):
        for step, value in zip(("1a", "1b", "1c", "2", "3"), row, strict=True):
            for phase, part in (("offline", 0.25), ("online", 0.75)):
                here = base | {"query": query, "step": step, "phase": phase}
                writer.append(here | {"party": "querying", "seconds": value * part})
                # It waits for the others within its own step: that is no time of the step.
                writer.append(here | {"party": "guardian", "seconds": 100})
    writer.append(
        base | {"query": 0, "party": "answering-0", "step": "2", "phase": "setup", "seconds": 3}
    )
    writer.close()
    return path


def test_summary(tmp_path: Path) -> None:
    seconds = np.random.default_rng(1).uniform(0.01, 1, (31, 5))
    path = timings(tmp_path / "timings.csv", seconds)
    rows = summarise(path, degree=8192, unencrypted=False, insecure="verify")
    by_key = {(row["step"], row["phase"]): row for row in rows}
    row = by_key["1c", "online"]
    assert row["n"] == 31
    assert row["median_s"] == pytest.approx(np.median(seconds[:, 2]) * 0.75)
    assert row["p10_s"] == pytest.approx(np.quantile(seconds[:, 2], 0.1) * 0.75)
    assert row["p90_s"] == pytest.approx(np.quantile(seconds[:, 2], 0.9) * 0.75)
    assert row["bytes_median"] == 20
    assert by_key["1a", "setup"]["n"] == 1
    assert by_key["2", "setup"]["median_s"] == 3  # the querying party has no such row
    pairs = by_key["1b-1c", "offline+online"]
    assert pairs["median_s"] == pytest.approx(np.median(seconds[:, 1] + seconds[:, 2]))
    assert pairs["paper_s"] == 0.12
    assert pairs["ratio"] == pytest.approx(0.12 / pairs["median_s"])
    assert "not yet checked" in pairs["note"]
    assert by_key["1a", "offline+online"]["paper_s"] == 14.22
    assert by_key["2-3", "offline+online"]["bytes_median"] == 80
    assert {row["insecure"] for row in rows} == {"verify"}
    write_summary(tmp_path / "summary.csv", rows)
    written = rows_of(tmp_path / "summary.csv")
    assert tuple(written[0]) == SUMMARY_COLUMNS
    assert len(written) == len(rows)


def test_no_rows_no_summary(tmp_path: Path) -> None:
    RowWriter(tmp_path / "timings.csv", TIMING_COLUMNS).close()
    assert summarise(tmp_path / "timings.csv", degree=8192, unencrypted=False, insecure="") == []


def test_the_papers_figures() -> None:
    assert paper_seconds("1a", degree=32768, unencrypted=False) == 57.26
    assert paper_seconds("1a", degree=4096, unencrypted=False) is None
    assert paper_seconds("1a", degree=4096, unencrypted=True) == 0.152
    assert paper_seconds("2-3", degree=4096, unencrypted=False) == 0.030
