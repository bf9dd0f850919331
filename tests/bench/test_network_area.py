"""`capc bench network`: rows over each line, the same bytes on all of them, missing peers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from capc.bench.areas import network, spu_peers
from capc.bench.areas.network import Task, over_line
from capc.bench.emulated_hosts import why_not
from capc.errors import ConfigError, ProgramError
from capc.files import REPOSITORY
from capc.fixed_point import MAX_LOGIT
from capc.graph.layers import Dense, Input, LeakyRelu, Network, Relu
from capc.graph.prepared import save_network
from capc.graph.ring_choice import to_ring
from capc.he.parameters import EncryptionParameters
from capc.transport.framing import HEADER


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Two dense layers and a ReLU, two images."""
    generator = np.random.default_rng(1)
    small = Network(
        (
            Input("input", (), (6,)),
            Dense("hidden", ("input",), (4,), generator.normal(size=(6, 4)), np.zeros(4)),
            Relu("relu", ("hidden",), (4,)),
            Dense("logits", ("relu",), (3,), generator.normal(size=(4, 3)), np.ones(3)),
        )
    )
    prepared = tmp_path_factory.mktemp("model") / "small.npz"
    save_network(small, prepared)
    parameters = EncryptionParameters.from_json(str(REPOSITORY / "config" / "fast.json"))
    integers = to_ring(small, (0.0, 1.0), MAX_LOGIT)
    return Task("small", small, integers, prepared, parameters, generator.random((3, 6)))


def test_each_way_is_a_row_and_a_line_adds_time_but_headers_alone(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(spu_peers.VARIABLE, raising=False)
    over_loopback = list(over_line(task, None))
    names = ["builtin auto", "builtin garbled", "builtin transfers", spu_peers.NAME]
    assert [row.implementation for row in over_loopback] == names
    assert all(row.n == 2 and row.bytes_sent and row.bytes_received for row in over_loopback[:3])
    assert "1 layers by transfers" in over_loopback[2].note
    assert all("first query" in row.note for row in over_loopback[:3])
    assert spu_peers.VARIABLE in over_loopback[3].note
    if why_not() is not None:
        return
    delayed = list(over_line(task, "100ms,1gbit"))
    for near, far in zip(over_loopback[1:3], delayed[1:3], strict=True):
        assert near.bytes_sent == far.bytes_sent
        assert near.bytes_received is not None and far.bytes_received is not None
        more = far.bytes_received - near.bytes_received  # products come in pieces
        assert 0 < more < 20 * HEADER.size and more % HEADER.size == 0
        assert near.median_s is not None and far.median_s is not None
        # At least the input's and the last reply's way, and those of the ReLU.
        assert far.median_s - near.median_s > 0.2


def test_a_logit_that_differs_ends_the_area(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "evaluate", lambda *_: np.zeros((3, 3), dtype=np.int64))
    with pytest.raises(ProgramError, match=r"small .*logits differ"):
        next(over_line(task, None))


def test_without_hosts_one_row_says_why(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "why_not", lambda: "network namespaces need root")
    (row,) = over_line(task, "40ms,100mbit")
    assert row.median_s is None and "need root" in row.note


def test_a_peer_that_fails_is_a_row_and_ours_stay(
    task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv(spu_peers.VARIABLE, str(broken))
    row = network._spu_row("small, loopback", task, None)
    assert row.median_s is None and "status [3, 3]: no such module" in row.note


def test_a_layer_that_spus_program_does_not_know_is_named() -> None:
    leaky = Network((Input("input", (), (6,)), LeakyRelu("leaky", ("input",), (6,), 0.1)))
    with pytest.raises(ConfigError, match="'leaky' has no form"):
        spu_peers.run(leaky, np.zeros((1, 6)))
