"""Runs whose files cannot be written, lie elsewhere, or say what nobody foresaw."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiments import Bench

from capc.errors import CapcError, ConfigError, FileError
from capc.harness.recorder import Recorder


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    really: Callable[..., None] = Recorder._on_timing

    def full(self: Any, row: Any, timing: Any) -> None:
        if timing.query == 1:
            raise FileError("cannot write timings.csv: No space left on device")
        really(self, row, timing)

    monkeypatch.setattr(Recorder, "_on_timing", full)
    with pytest.raises(FileError, match="No space left"):
        bench.run(answering_0="hang")
    assert bench.json()["exit_status"] == 1
    assert "No space left" in bench.json()["failure"]
    assert any(row["query"] == "0" for row in bench.rows("timings.csv"))


def test_a_results_folder_that_cannot_be(bench: Bench) -> None:
    bench.results = Path("/dev/null/results")
    with pytest.raises(ConfigError, match="--results_dir"):
        bench.run()


def test_a_timing_log_of_the_users_own(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("earlier\n")
    assert bench.run(f"--log_timing_file={path}") == 0
    assert path.read_text().startswith("earlier\n")
    assert "step 1a" in path.read_text()
    with pytest.raises(CapcError, match="--log_timing_file"):
        bench.run("--log_timing_file=/no/such/folder/times.txt")


def test_a_timing_log_that_nobody_reads(bench: Bench, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="--log_timing_file: cannot write"):
        bench.run(f"--log_timing_file={tmp_path / 'pipe'}")


def test_a_timing_log_on_a_full_disk(bench: Bench) -> None:
    with pytest.raises(FileError, match="/dev/full: No space left"):
        bench.run("--log_timing_file=/dev/full")
    assert "No space left" in bench.json()["failure"]


def test_a_full_disk_names_the_run_s_folder_and_leaves_no_party_s(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Recorder, "_on_timing", full)
    monkeypatch.setattr(logging.FileHandler, "close", full)
    with pytest.raises(OSError, match="No space left") as raised:
        bench.run()
    assert raised.value.filename == str(bench.latest.resolve())
    assert bench.json()["failure"].startswith(f"{bench.latest.resolve()}: No space left on device")
    assert bench.json()["exit_status"] == 1
    assert not (bench.latest / "parties").exists()


def test_what_nobody_foresaw_leaves_its_trace_in_the_run_s_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Recorder, "_on_timing", fall)
    with pytest.raises(ZeroDivisionError) as raised:
        bench.run()
    trace = raised.value.capc_trace  # type: ignore[attr-defined]
    assert trace.parent == bench.latest.resolve() / "logs"
    assert "by zero" in trace.read_text()
    assert bench.json()["exit_status"] == 1
    assert bench.json()["failure"] == "unforeseen ZeroDivisionError: by zero"
