"""Workers: a killed one costs its task, a failing task is named, and order does not matter."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.learning import workers
from capc.learning.store import Store, content_key, digest_of, read_json, write_json
from capc.learning.workers import Task, TaskError, run_tasks


def write(folder: str, name: str) -> None:
    (Path(folder) / name).write_text(f"{name} {os.getpid()}")


def die_once(folder: str, name: str) -> None:
    mark = Path(folder) / f"{name}.tried"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, name)


def die_always() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def refuse() -> None:
    raise ConfigError("too big")


def divide() -> None:
    1 // 0  # noqa: B018


def test_every_task_runs_and_progress_reaches_the_end(tmp_path: Path) -> None:
    seen = []
    tasks = [Task(str(i), write, (str(tmp_path), str(i))) for i in range(6)]
    run_tasks(tasks, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(i) for i in range(6)]
    assert (seen[0], seen[-1]) == ((0, 6), (6, 6))
    pids = {path.read_text().split()[1] for path in tmp_path.iterdir()}
    assert str(os.getpid()) not in pids


def test_a_long_task_is_reported_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_REPORT_SECONDS", 0.05)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 4:
            (tmp_path / "go").touch()

    run_tasks([Task("waits", wait_for, (str(tmp_path / "go"),))], workers=1, progress=progress)
    assert seen[:4] == [(0, 1)] * 4
    assert seen[-1] == (1, 1)


def test_a_killed_worker_costs_its_task_which_is_tried_again(tmp_path: Path) -> None:
    tasks = [Task("dies", die_once, (str(tmp_path), "dies"))]
    tasks += [Task(str(i), write, (str(tmp_path), str(i))) for i in range(3)]
    run_tasks(tasks, workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"dies", "dies.tried", "0", "1", "2"}


def test_failures_are_named_when_the_others_are_done(tmp_path: Path) -> None:
    tasks = [Task("deadly", die_always, ()), Task("refuses", refuse, ()), Task("bug", divide, ())]
    tasks += [Task(str(i), write, (str(tmp_path), str(i))) for i in range(3)]
    with pytest.raises(TaskError, match=r"3 of 6 tasks failed") as caught:
        run_tasks(tasks, workers=2)
    assert "first" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("function", "reason"),
    [(refuse, "too big"), (divide, "ZeroDivisionError"), (die_always, r"exit status -9.*3 times")],
)
def test_the_reason_is_told(function: Callable[[], None], reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        run_tasks([Task("it", function, ())], workers=1)


def test_zero_workers_means_this_process(tmp_path: Path) -> None:
    run_tasks([Task("a", write, (str(tmp_path), "a"))], workers=0)
    assert (tmp_path / "a").read_text() == f"a {os.getpid()}"


def test_no_tasks_start_nothing() -> None:
    run_tasks([], workers=4)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_gives_the_same_and_survives_a_killed_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # a cluster of other work is left alone
    tasks = [Task("dies", die_once, (str(tmp_path), "dies")), Task("bad", refuse, ())]
    tasks += [Task(str(i), write, (str(tmp_path), str(i))) for i in range(2)]
    with pytest.raises(TaskError, match=r"1 of 4 tasks failed, first bad: too big"):
        run_tasks(tasks, workers=2, ray_address="local")
    assert {path.name for path in tmp_path.iterdir()} == {"dies", "dies.tried", "0", "1"}


def test_keys_tell_inputs_apart() -> None:
    keys = {content_key("a", x=1), content_key("a", x=2), content_key("b", x=1)}
    keys |= {content_key("a", x=1, y=None)}
    assert len(keys) == 4
    assert content_key("a", x=1, y=2) == content_key("a", y=2, x=1)


def test_a_result_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match="stop"), store.writing("s", "k") as folder:
        (folder / "half").touch()
        raise ValueError("stop")
    assert not store.has("s", "k")
    with store.writing("s", "k") as folder:
        (folder / "whole").touch()
        assert not store.has("s", "k")
    assert [path.name for path in store.folder("s", "k").iterdir()] == ["whole"]
    assert [path.name for path in (store.root / "s").iterdir()] == ["k"]


def test_the_first_of_two_writers_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("s", "k") as slow:
        (slow / "slow").touch()
        with store.writing("s", "k") as fast:
            (fast / "fast").touch()
    assert [path.name for path in store.folder("s", "k").iterdir()] == ["fast"]


def test_the_store_is_for_its_owner_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.writing("s", "k"):
        pass
    assert store.root.stat().st_mode & 0o077 == 0
    assert store.folder("s", "k").stat().st_mode & 0o077 == 0


def test_digests_and_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    (tmp_path / "c").write_bytes(b"1")
    (tmp_path / "d").write_bytes(b"23")
    assert digest_of([tmp_path / "a", tmp_path / "b"]) != digest_of(
        [tmp_path / "c", tmp_path / "d"]
    )
    write_json(tmp_path / "e", {"x": [1, 2]})
    assert read_json(tmp_path / "e") == {"x": [1, 2]}
    with pytest.raises(ConfigError, match="is damaged"):
        read_json(tmp_path / "a.json")
