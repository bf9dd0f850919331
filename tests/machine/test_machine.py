"""Cores and memory within the limits of affinity and of control groups, made up as files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capc import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "cgroup"
    top.mkdir()
    monkeypatch.setattr(machine, "GROUPS", top)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    return top


def put(folder: Path, **values: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in values.items():
        (folder / name.replace("__", ".", 1)).write_text(text + "\n")


def own(groups: Path, *lines: str) -> None:
    (groups.parent / "own").write_text("".join(f"{line}\n" for line in lines))


def test_without_groups(groups: Path) -> None:
    assert machine.cores() == 8
    assert machine.memory_bytes() > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)]
)
def test_version_2(groups: Path, quota: str, cores: int) -> None:
    own(groups, "0::/a/b")
    put(groups / "a" / "b", cpu__max="max 100000", memory__max="max")
    put(groups / "a", cpu__max=quota, memory__max="1000000")
    assert machine.cores() == cores
    assert machine.memory_bytes() == 1_000_000


def test_version_1(groups: Path) -> None:
    own(groups, "4:cpu,cpuacct:/job", "5:memory:/job", "1:name=systemd:/")
    put(groups / "cpu,cpuacct" / "job", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    put(groups / "memory" / "job", memory__limit_in_bytes="2000000")
    assert machine.cores() == 3
    assert machine.memory_bytes() == 2_000_000


def test_a_container_sees_its_own_group_at_the_top(groups: Path) -> None:
    own(groups, "0::/docker/0123")
    put(groups, cpu__max="200000 100000", memory__max="3000000")
    assert (machine.cores(), machine.memory_bytes()) == (2, 3_000_000)


def test_affinity(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5})
    assert machine.cores() == 1
