"""The whole protocol between real processes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from protocol_runs import ROOT, Runner

from capc.command_line import ExitStatus
from capc.data.datasets import queries
from capc.privacy.budget import Budget


def test_labels_equal_the_plain_computation(run_as_users_do: Runner) -> None:
    finished = run_as_users_do("--n_parties=3", "--n_queries=4", "--sigma=0", "--start_batch=7")
    assert finished.status == 0
    table = finished.table("queries")
    _, labels = queries("mnist", 7, 4)
    assert table["query"].tolist() == [0, 1, 2, 3]
    assert table["true_label"].tolist() == labels.tolist()
    found = finished.table("private/check")
    assert table["label"].tolist() == found["plain_label"].tolist()
    assert found["reference_agrees"].all()
    assert (found["max_logit_error"] < 0.02).all()
    assert np.isinf(table["epsilon_spent"]).all()
    timings = finished.table("timings")
    online = timings[(timings.phase == "online") & (timings.party == "querying")]
    for step in ("1a", "1b", "1c", "2", "3"):
        assert (online["step"] == step).sum() == 4
    assert (timings["seconds"] > 0).all()
    assert set(timings["phase"]) == {"setup", "offline", "online"}
    summary = finished.table("summary")
    assert {"1a", "3"} <= set(summary["step"])
    statuses = {party["exit_status"] for party in finished.record["parties"].values()}
    assert statuses == {0}


@pytest.mark.parametrize("batch_size", [2, 5, 100])
def test_batches_give_the_same_labels(run_protocol: Runner, batch_size: int) -> None:
    finished = run_protocol(
        "--n_parties=2", "--n_queries=5", "--sigma=0", f"--batch_size={batch_size}"
    )
    assert finished.status == 0
    table = finished.table("private/check")
    assert table["reference_agrees"].all() and len(table) == 5


def test_opened_shares_are_the_reference_bit_for_bit(run_protocol: Runner) -> None:
    finished = run_protocol(
        "--n_parties=2", "--n_queries=3", "--sigma=4", "--threshold=2", "--sigma_threshold=3",
        "--verify", "--nonlinear=auto", "--link=2ms,100mbit",
    )  # fmt: skip
    assert finished.status == 0
    for name in ("querying", "answering-0", "answering-1"):
        log = (finished.folder / "logs" / f"{name}.log").read_text()
        assert "non-linear layers by transfers: " in log
    table = finished.table("queries")
    assert finished.table("private/check")["reference_agrees"].all()
    assert (table["insecure"] == "verify").all()
    assert table["label"].isna().tolist() == (~table["answered"]).tolist()


def test_epsilon_is_what_the_account_says(run_protocol: Runner) -> None:
    """Charged for what happened: the threshold always, GNMax when answered."""
    finished = run_protocol(
        "--n_parties=2", "--n_queries=6", "--sigma=40", "--threshold=20", "--sigma_threshold=30",
        "--delta=1e-5", "--batch_size=4", "--conversion=classic",
    )  # fmt: skip
    assert finished.status == 0
    budget = Budget(None, 1e-5, 40.0, 20.0, 30.0, conversion="classic")
    for _, row in finished.table("queries").iterrows():
        budget.charge(bool(row["answered"]))
        assert math.isclose(row["epsilon_spent"], budget.epsilon_spent, rel_tol=1e-8)
        assert row["conversion"] == "classic"


def test_the_budget_ends_the_run(run_protocol: Runner) -> None:
    account = Budget(None, 1e-5, 40.0)
    for _ in range(3):
        account.charge(answered=True)
    limit = account.epsilon_spent * 1.0001
    finished = run_protocol(
        "--n_parties=1", "--n_queries=8", "--sigma=40", f"--epsilon={limit}", "--batch_size=2"
    )
    assert finished.status == 0
    table = finished.table("queries")
    assert table["answered"].tolist() == [True] * 3 + [False] * 5
    assert table["label"].notna().tolist() == table["answered"].tolist()
    assert table["epsilon_spent"].notna().tolist() == table["answered"].tolist()
    assert table["epsilon_spent"].max() <= limit
    assert finished.record["refused"]["query"] == 3


def test_a_budget_for_no_query_at_all(run_protocol: Runner) -> None:
    finished = run_protocol("--n_parties=1", "--sigma=1", "--epsilon=0.1")
    assert finished.status == ExitStatus.NOTHING_ANSWERED
    assert finished.table("queries")["answered"].tolist() == [False]


def test_without_encryption(run_protocol: Runner) -> None:
    finished = run_protocol("--n_parties=2", "--n_queries=3", "--sigma=0", "--cpu")
    assert finished.status == 0
    assert finished.table("private/check")["reference_agrees"].all()
    for name in ("queries", "timings", "summary"):
        assert (finished.table(name)["insecure"] == "cpu+no_noise").all()


def test_saved_queries(run_protocol: Runner, tmp_path: Path) -> None:
    images, labels = queries("mnist", 100, 4)
    folder = tmp_path / "saved"
    folder.mkdir()
    np.save(folder / "samples-(party=0).npy", images[..., 0])
    np.save(folder / "labels-(party=0).npy", labels)
    finished = run_protocol(
        "--n_parties=1", "--n_queries=3", "--start_batch=1", "--sigma=0",
        f"--dataset_path={folder}",
    )  # fmt: skip
    assert finished.status == 0
    assert finished.table("queries")["true_label"].tolist() == labels[1:].tolist()


@pytest.mark.parametrize("config", ["10.json"])
def test_the_originals_parameters(run_protocol: Runner, config: str) -> None:
    finished = run_protocol(
        "--n_parties=1", "--sigma=0", f"--encryption_params={ROOT / 'config' / config}"
    )
    assert finished.status == 0
    assert finished.table("private/check")["reference_agrees"].all()


def test_models_are_read_by_their_own_party_alone(run_protocol: Runner) -> None:
    """The settings of the other parties do not say where a model lies."""
    finished = run_protocol("--n_parties=2", "--sigma=0", "--debug")
    for party in ("querying", "guardian"):
        text = (finished.folder / "parties" / party / "config.json").read_text()
        assert '"model"' not in text and ".npz" not in text
