"""A party's log: every change of a line is found, and a line is there whole or not at all."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from capc.cli import main
from capc.errors import ConfigError, FileError
from capc.parties.federation import audit_log
from capc.parties.federation.audit_log import (
    AuditLog,
    BrokenLogError,
    Entry,
    entries,
    is_in_use,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of four lines, written by two processes one after the other."""
    file = tmp_path / "audit.jsonl"
    for words in (("start", "ready"), ("step", "done")):
        log = AuditLog(file)
        for word in words:
            log.append(word, query=3)
        log.close()
    return file


def test_a_log_goes_on_where_it_ended(path: Path) -> None:
    found = list(entries(path))
    assert [entry.fields["event"] for entry in found] == ["start", "ready", "step", "done"]
    assert [entry.number for entry in found] == [1, 2, 3, 4]
    assert path.stat().st_mode & 0o777 == 0o600
    assert main(["party", "log", "verify", str(path)]) == 0


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda lines: [lines[0].replace(b"3", b"4", 1), *lines[1:]], "line 1 was changed"),
        (lambda lines: [*lines[:3], lines[3].replace(b"done", b"dome")], "line 4 was changed"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 does not follow"),
        (lambda lines: lines[1:], "line 1 does not follow"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 2 does not follow"),
        (lambda lines: [*lines, lines[3]], "line 5 does not follow"),
        (lambda lines: [*lines, b"\n"], "line 5 is not JSON"),
        (lambda lines: [lines[0].replace(b":3", b": 3"), *lines[1:]], "line 1 was changed"),
        (lambda lines: [*lines[:3], lines[3][:-1]], "line 4 is not complete"),
        (lambda lines: [b"{}\n"], "line 1 has no hash"),
    ],
)
def test_whatever_is_changed_is_found(path: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    path.write_bytes(b"".join(spoil(lines_of(path))))
    with pytest.raises(BrokenLogError, match=said):
        list(entries(path))
    with pytest.raises(BrokenLogError, match=said):
        AuditLog(path)
    assert main(["party", "log", "verify", str(path)]) == 1


def test_an_end_that_was_cut_off_is_found_by_what_others_were_told(path: Path) -> None:
    head = list(entries(path))[-1].hash
    assert main(["party", "log", "verify", str(path), f"--head={head}"]) == 0
    path.write_bytes(b"".join(lines_of(path)[:2]))
    assert main(["party", "log", "verify", str(path)]) == 0
    assert main(["party", "log", "verify", str(path), f"--head={head}"]) == 1


def test_one_process_at_a_time_appends(path: Path) -> None:
    log = AuditLog(path)
    with pytest.raises(ConfigError, match="in use"):
        AuditLog(path)
    assert is_in_use(path)
    log.close()
    assert not is_in_use(path)


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    log = AuditLog(path)
    size, limits = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(FileError, match="cannot be written"):
            log.append("step")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == size
    log.append("step")
    log.close()
    assert len(list(entries(path))) == 5


@pytest.mark.parametrize("kind", ["folder", "missing folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        AuditLog(tmp_path if kind == "folder" else tmp_path / "nowhere" / "log")


def test_what_is_there_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever opens the log, which may be long."""
    reads: list[Path] = []
    found: list[str] = []

    def counted(file: Path) -> Iterator[Entry]:
        reads.append(file)
        return entries(file)

    monkeypatch.setattr(audit_log, "entries", counted)
    AuditLog(path, lambda entry: found.append(entry.fields["event"])).close()
    assert (found, reads) == (["start", "ready", "step", "done"], [path])
