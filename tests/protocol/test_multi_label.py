"""Several labels a query, in runs of the real parties on models of several sigmoids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from protocol_runs import Runner

from capc.errors import ConfigError
from capc.harness.settings import parse_settings
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism

keras = pytest.importorskip("keras")

PARTIES, LABELS, INPUTS, QUERIES = 3, 4, 6, 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models of four sigmoids that often disagree, and labelled queries."""
    folder = tmp_path_factory.mktemp("labels")
    generator = np.random.default_rng(5)
    (folder / str(PARTIES)).mkdir()
    weights = generator.normal(0, 1.0, (INPUTS, LABELS))
    for party in range(PARTIES):
        layer = keras.layers.Dense(LABELS, activation="sigmoid")
        model = keras.Sequential([keras.Input((INPUTS,)), layer])
        layer.set_weights([weights + generator.normal(0, 0.8, weights.shape), np.zeros(LABELS)])
        model.save(folder / str(PARTIES) / f"{party}.keras")
    samples = generator.uniform(-1, 1, (QUERIES, INPUTS)).astype(np.float32)
    np.savez(folder / "asked.npz", samples=samples, labels=(samples @ weights > 0).astype(np.int8))
    return folder


def flags(place: Path, *more: str) -> list[str]:
    return [
        *(f"--n_parties={PARTIES}", f"--n_queries={QUERIES}", "--batch_size=4"),
        *(f"--checkpoint_dir={place}", f"--dataset_path={place / 'asked.npz'}"),
        *("--input_range", "-1", "1", "--task=multi-label", *more),
    ]


def plain_sets(place: Path) -> list[str]:
    """The labels that more than half of the Keras models give, by themselves."""
    samples = np.load(place / "asked.npz")["samples"]
    votes = np.zeros((QUERIES, LABELS), dtype=np.int64)
    for party in range(PARTIES):
        model = keras.models.load_model(place / str(PARTIES) / f"{party}.keras")
        votes += np.asarray(model(samples)) > 0.5
    return [" ".join(map(str, np.flatnonzero(2 * row > PARTIES))) or "none" for row in votes]


def test_labels_are_those_that_most_models_give(
    run_protocol: Runner, place: Path, tmp_path: Path
) -> None:
    account = tmp_path / "account.json"
    finished = run_protocol(*flags(place, "--sigma=0", f"--account={account}"), own_models=True)
    assert finished.status == 0
    table = finished.table("queries")
    assert table["label"].astype(str).tolist() == plain_sets(place)
    assert len(set(table["label"])) > 2
    assert table["true_label"].notna().all()
    assert Accountant.load(account).counts == {Mechanism("labels", 0.0, changes=LABELS): QUERIES}


@pytest.mark.parametrize(
    "more",
    [
        ["--voting=tau", "--max_labels=2"],
        ["--voting=powerset", "--noise=distributed", "--threshold=2"],
    ],
    ids=["tau", "powerset"],
)
def test_shares_and_noise_are_the_references_bit_for_bit(
    run_protocol: Runner, place: Path, more: list[str]
) -> None:
    finished = run_protocol(*flags(place, *more, "--sigma=2", "--verify", "--cpu"), own_models=True)
    assert finished.status == 0
    check = pd.read_csv(finished.folder / "private" / "check.csv")
    assert check["reference_agrees"].tolist() == [True] * QUERIES


def test_what_does_not_go_together_is_said(place: Path) -> None:
    refused = {
        "--threshold=2 --sigma_threshold=1": "refused with --voting binary",
        "--noise=distributed": "refused with --voting binary",
        "--max_labels=2": "goes with --voting tau",
        "--voting=tau": "tau needs it",
        "--task=single-label --voting=binary": "needs --task multi-label",
    }
    for wrong, said in refused.items():
        with pytest.raises(ConfigError, match=said):
            parse_settings(flags(place, *wrong.split()))
