"""Parties on two nodes of a Ray of this machine. Skipped where Ray is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from test_real_run import N_QUERIES, Bench

from capc.harness.launchers.ray_launcher import NodesLauncher, ray_launcher

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes on loopback with a processor each.

    Ray reads the environment when it is first imported: no test may import it before.
    """
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests/harness")]))
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    head = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        made.add_node(num_cpus=1, node_ip_address="127.0.0.1", node_name="second")
        yield made
    finally:
        made.shutdown()


def test_a_run_over_two_nodes_of_ray(cluster: Any, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.launcher = launcher = ray_launcher(cluster.address, 60.0)
    assert isinstance(launcher, NodesLauncher)
    assert bench.run("--sigma=0.01") == 0
    assert len(bench.rows("queries.csv")) == N_QUERIES
    assert {name: place.host for name, place in launcher.places.items()} == {
        **{"querying": "127.0.0.1", "guardian": "127.0.0.1", "answering-0": "second"},
        **{"answering-1": "127.0.0.1", "answering-2": "second"},
    }
    session = Path(cluster.head_node.get_session_dir_path())
    logged = b"".join(path.read_bytes() for path in (session / "logs").iterdir() if path.is_file())
    assert b"NodeWorker" in logged  # it is where Ray says what it runs
    for secret in (b"PRIVATE KEY", b"query 0 step", *(path.read_bytes() for path in bench.models)):
        assert secret not in logged
