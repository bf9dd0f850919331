"""`--ray ADDRESS`: two nodes give what one process gives, also when one of them is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pytest

from capc.errors import ConfigError
from capc.learning import session
from capc.learning.session import Session
from capc.learning.store import Store, content_key
from capc.learning.workers import Task, run_tasks


def work(root: str, number: int) -> None:
    """A task's result as a stage leaves it: seeded, in the store; beside it, who did it."""
    with Store(Path(root)).writing("work", content_key("work", number=number)) as folder:
        np.save(folder / "drawn.npy", np.random.default_rng(number).normal(size=100))


def wait_for_the_end_of_the_node(root: str, number: int) -> None:
    """The first attempt says where it is at work, and lasts until its node is gone."""
    import ray  # noqa: PLC0415  only where it is installed

    begun = Path(root) / f"{number}.begun"
    if not begun.exists():
        begun.write_text(ray.get_runtime_context().get_node_id())
        threading.Event().wait()
    work(root, number)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head on loopback that takes no task; nodes are added to it.

    Ray reads the environment when it is first imported: no test may import it before.
    """
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    here = Path(__file__).resolve().parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parents[1])]))
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    head = {"num_cpus": 0, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


def results(root: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in (root / "work").glob("*/*.npy")}


@pytest.mark.slow
def test_two_nodes_give_the_same_and_a_lost_node_costs_its_task(
    cluster: Any, tmp_path: Path
) -> None:
    nodes = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    run_tasks([Task(str(n), work, (str(tmp_path / "one"), n)) for n in range(6)], workers=0)
    root = tmp_path / "two"
    tasks = [Task(str(n), work, (str(root), n)) for n in range(1, 6)]
    tasks.insert(0, Task("0", wait_for_the_end_of_the_node, (str(root), 0)))
    killed: list[Any] = []

    def progress(done: int, total: int) -> None:
        """When all others are done, the node of the waiting task dies."""
        if done == total - 1 and not killed:
            name = (root / "0.begun").read_text()
            killed.extend(node for node in nodes if node.node_id == name)
            cluster.remove_node(killed[0], allow_graceful=False)

    run_tasks(tasks, workers=2, ray_address=cluster.address, progress=progress)
    assert len(killed) == 1
    assert results(root) == results(tmp_path / "one")
    assert len(results(root)) == 6


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_no_cluster_is_said_at_once() -> None:
    for address in ("127.0.0.1:9", "nowhere", "127.0.0.1:x"):
        with pytest.raises(ConfigError, match="no Ray cluster answers"):
            run_tasks([Task("a", print, ())], workers=1, ray_address=address)


def test_the_store_is_named_in_full_for_workers_that_start_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made_data.use(monkeypatch)
    relative = Session(made_data.experiment(), Store(Path("cache")))
    assert relative.root == tmp_path / "cache"
    session.dataset_of.cache_clear()
    session.dataset_digest.cache_clear()
