"""`capc doctor`: what is missing is named, with the way to get it, and the status says so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from capc import cli
from capc.errors import ProgramError
from capc.harness import machine_checks, self_test
from capc.harness.machine_checks import Finding, machine_findings


def found(what: str, results: Path) -> Finding:
    (finding,) = (finding for finding in machine_findings(results) if finding.what == what)
    return finding


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Each line of the screen by its first two words' columns."""
    shown = capsys.readouterr().out.splitlines()
    return {line[9:26].strip(): line for line in shown if not line.startswith(" ")}


def test_a_machine_that_is_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--without_run", f"--results_dir={tmp_path / 'new'}"]) == 0
    shown = lines(capsys)
    for what in ("cores", "memory", "processor", "circuit programs", "disk", "permissions"):
        assert shown[what].startswith("ok"), shown[what]
    assert "self-test" not in shown
    assert not (tmp_path / "new").exists()


def test_the_self_test_asks_a_query(capsys: pytest.CaptureFixture[str]) -> None:
    """The real parties, two processes of each circuit program, and every share compared."""
    assert cli.main(["doctor"]) == 0
    assert "every bit as it should be" in lines(capsys)["self-test"]


def test_a_self_test_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(self_test, "_run", lambda *_: 3)
    assert cli.main(["doctor"]) == 1
    assert "a run ended with status 3" in lines(capsys)["self-test"]

    def fail(*_: object) -> int:
        raise ProgramError("no process could be started")

    monkeypatch.setattr(self_test, "_run", fail)
    assert self_test.self_test().found == "no process could be started"


def test_what_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPC_GC_BIN", str(tmp_path))
    assert cli.main(["doctor", f"--results_dir={tmp_path}"]) == 1
    said = capsys.readouterr().out
    assert "missing  circuit programs  argmax_1 is not built" in said
    assert "-> make setup" in said
    assert "self-test" not in said
    assert said.endswith("not ready: circuit programs\n")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = found("permissions", tmp_path / "file" / "results")
    assert finding.state == "missing"
    assert str(tmp_path / "file") in finding.found


def test_programs_and_packages_that_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found("compiler", tmp_path).remedy.endswith("apt-get install g++ cmake make")
    assert "apt install tmux" in found("tmux", tmp_path).remedy
    real = importlib.util.find_spec

    def spec(name: str, *others: Any) -> Any:
        return None if name == "opendp" else real(name, *others)

    monkeypatch.setattr(importlib.util, "find_spec", spec)
    assert found("packages", tmp_path) == Finding(
        "packages", "missing", "without opendp", "make setup"
    )


@pytest.mark.parametrize(
    ("flags", "path", "said"),
    [
        ("fpu aes pclmulqdq", "aes-ni", "has AES, PCLMUL, lacks VAES"),
        ("fpu", "portable", "has none of its fast instructions"),
    ],
)
def test_the_instructions_of_a_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, path: str, said: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : none\n")
    monkeypatch.setattr(machine_checks, "_PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine_checks, "_engine_path", lambda: path)
    finding = found("processor", tmp_path)
    assert said in finding.found
    assert f"'{path}'" in finding.found
    assert finding.state == ("note" if path == "portable" else "ok")
