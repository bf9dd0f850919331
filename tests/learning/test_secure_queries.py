"""`--secure`: what the protocol's run is told, and what its answers become."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import made_data
import numpy as np
import pytest

from capc.data.datasets import Dataset
from capc.data.saved_queries import load_answers, load_saved_queries
from capc.errors import ConfigError, ProtocolError
from capc.graph.float_reference import evaluate_float
from capc.graph.prepared import load_network, prepare
from capc.harness import secure_queries
from capc.harness.secure_queries import SecureOptions, query_securely
from capc.learning import session
from capc.learning.experiment import Privacy
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.query_stage import query
from capc.learning.retrain_stage import retrain, retraining_trials
from capc.learning.session import Session
from capc.learning.store import Store, read_json
from capc.learning.train_stage import train
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.conversion import Conversion
from capc.privacy.rdp import Mechanism

QUIET = Privacy(sigma=0.0, threshold=4, sigma_threshold=0.0, epsilon=None)
HEADER = "query,true_label,label,answered\n"
CHECKS = "query,plain_label,reference_agrees\n"


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    yield made_data.use(monkeypatch)
    session.dataset_of.cache_clear()
    session.dataset_digest.cache_clear()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def at(root: Path, **fields: Any) -> Session:
    fields = {"privacy": QUIET, "strategies": ("gap", "random"), "parties": 5} | fields
    return Session(made_data.experiment(**fields), Store(root), workers=0)


class FakeRun:
    """Stands for `capc run`: reads its files, votes with the frozen models, writes queries.csv."""

    def __init__(self, cache: Path, status: int = 0) -> None:
        self.cache = cache
        self.status = status
        self.flags: list[dict[str, Any]] = []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:3] == [sys.executable, "-m", "capc.harness.experiment"]
        flags = dict(word.lstrip("-").split("=", 1) for word in command[3:] if "=" in word)
        self.flags.append(flags | {"verify": "--verify" in command})
        if self.status == 0:
            self._answer(flags)
        return subprocess.CompletedProcess(command, self.status, "", "capc: error: no\n")

    def _answer(self, flags: dict[str, str]) -> None:
        images, labels = load_saved_queries(Path(flags["dataset_path"]), (28, 28, 1))
        assert labels is not None
        count, parties = int(flags["n_queries"]), int(flags["n_parties"])
        folder = Path(flags["checkpoint_dir"]) / str(parties)
        files = [folder / f"{party}.pb" for party in range(parties)]
        assert sorted(folder.iterdir()) == files
        networks = [load_network(prepare(file, cache_dir=self.cache)) for file in files]
        votes = np.zeros((count, 10), int)
        for network in networks:
            votes[np.arange(count), evaluate_float(network, images[:count]).argmax(axis=1)] += 1
        rows, checks = [HEADER], [CHECKS]
        budget, account = self._budget(flags)
        for number, (vote, truth) in enumerate(zip(votes, labels, strict=False)):
            if not budget.admit(1)[0]:
                break
            answered = vote.max() >= int(flags.get("threshold", 0))
            label = vote.argmax() if answered else ""
            said = "true" if answered else "false"
            budget.charge(bool(answered))
            rows.append(f"{number},{truth},{label},{said}\n")
            checks.append(f"{number},{vote.argmax()},true\n")
        place = Path(flags["results_dir"]) / "latest"
        (place / "private").mkdir(parents=True)
        (place / "queries.csv").write_text("".join(rows))
        (place / "private" / "check.csv").write_text("".join(checks))
        account.save(budget.account)
        account.close()

    def _budget(self, flags: dict[str, str]) -> tuple[Budget, AccountFile]:
        epsilon = float(flags["epsilon"])
        account = AccountFile(flags["account"], flags["data_owners"])
        threshold = flags.get("threshold")
        return Budget(
            None if math.isinf(epsilon) else epsilon,
            float(flags["delta"]),
            float(flags["sigma"]),
            None if threshold is None else int(threshold),
            float(flags.get("sigma_threshold", 0.0)),
            distributed_over=int(flags["n_parties"]) if "noise" in flags else None,
            colluding=int(flags.get("colluding", 0)),
            conversion=cast(Conversion, flags["conversion"]),
            account=account.account,
        ), account


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRun:
    run = FakeRun(tmp_path / "prepared")
    monkeypatch.setattr(secure_queries, "run_child", run)
    return run


def test_labels_equal_the_simulations_without_noise(
    root: Path, fake: FakeRun, data: Dataset
) -> None:
    tiny = at(root)
    models = train(tiny)
    simulated = tiny.store.folder(QUERIES, query(tiny, models)[1])
    options = SecureOptions(queries=9)
    cut, keys, comparisons = query_securely(tiny, models, options)
    assert cut.experiment.strategies == ("gap",)
    folder = tiny.store.folder(QUERIES, keys[1])
    assert folder != simulated
    for party in (0, 1):
        theirs, ours = folder / "gap" / f"party{party}", simulated / "gap" / f"party{party}"
        outcome = read_json(theirs / "outcome.json")
        images, labels = load_answers(theirs / "answered", (28, 28, 1))
        wanted_images, wanted = load_answers(ours / "answered", (28, 28, 1))
        assert outcome["asked"] == 9
        assert outcome["answered"] == len(labels)
        assert np.array_equal(labels, wanted[: len(labels)])
        assert np.array_equal(images, wanted_images[: len(images)])
    assert [(c.queries, c.plain_equal, c.labels_equal) for c in comparisons] == [(9, 9, 9)] * 2
    assert [(c.checked, c.reference_agrees) for c in comparisons] == [(9, 9)] * 2
    assert {c.verdict for c in comparisons} == {"yes"}
    assert {replace(c, checked=0, reference_agrees=0).verdict for c in comparisons} == {
        "not compared"
    }
    scores = retrain(cut, retraining_trials(cut, keys))
    assert scores
    assert query_securely(tiny, models, options)[1:] == (keys, [])
    assert len(fake.flags) == 2


def test_a_wrong_label_shows_in_the_comparison(
    root: Path, fake: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = FakeRun._answer

    def wrong(self: FakeRun, flags: dict[str, str]) -> None:
        honest(self, flags)
        run = Path(flags["results_dir"]) / "latest"
        for name in ("queries.csv", "private/check.csv"):
            lines = (run / name).read_text().splitlines()
            number, second, last, *rest = lines[1].split(",")
            last = "false" if rest == [] else str((int(last) + 1) % 10)
            lines[1] = ",".join([number, second, last, *rest])
            (run / name).write_text("\n".join(lines))

    monkeypatch.setattr(FakeRun, "_answer", wrong)
    tiny = at(root, privacy=replace(QUIET, threshold=None))
    _, _, comparisons = query_securely(tiny, train(tiny), SecureOptions(queries=4))
    assert [(c.labels_equal, c.reference_agrees) for c in comparisons] == [(3, 3)] * 2
    assert {c.verdict for c in comparisons} == {"NO"}


def test_what_the_run_is_told(root: Path, fake: FakeRun) -> None:
    noisy = Privacy(sigma=2.0, threshold=3, sigma_threshold=4.0, epsilon=9.0, conversion="classic")
    tiny = at(root, privacy=noisy, seeds=(6,))
    options = SecureOptions(queries=5, batch_size=3, verify=True, encryption_params="config/x.json")
    query_securely(tiny, train(tiny), options)
    told = fake.flags[0]
    assert {name: told[name] for name in ("n_parties", "dataset_name", "seed")} == {
        "n_parties": "4",
        "dataset_name": "mnist",
        "seed": "6",
    }
    assert (told["sigma"], told["threshold"], told["sigma_threshold"]) == ("2.0", "3", "4.0")
    assert (told["epsilon"], told["delta"], told["conversion"]) == ("9.0", "1e-05", "classic")
    assert (told["encryption_params"], told["verify"]) == ("config/x.json", True)
    # 9.0 at sigma 2 admits few queries: the first party may ask its share of them at most.
    assert int(told["n_queries"]) < 5


def test_a_run_whose_parties_draw_the_noise_is_told_so(root: Path, fake: FakeRun) -> None:
    noisy = Privacy(sigma=2.0, threshold=3, epsilon=9.0, drawn_by="distributed", colluding=1)
    tiny = at(root, privacy=noisy, seeds=(6,))
    query_securely(tiny, train(tiny), SecureOptions(queries=5, encryption_params="x.json"))
    told = fake.flags[0]
    assert (told["noise"], told["colluding"], told["threshold"]) == ("distributed", "1", "3")
    assert "sigma_threshold" not in told
    assert {flags["data_owners"] for flags in fake.flags} == {"5 parties of tiny, seed 6"}


@pytest.mark.parametrize("threshold", [None, 5])
def test_one_account_goes_from_run_to_run_until_it_is_spent(
    root: Path, fake: FakeRun, threshold: int | None
) -> None:
    """Of 4 votes none reaches 5: queries that are not answered leave room for more."""
    privacy = Privacy(sigma=4.0, threshold=threshold, sigma_threshold=20.0, epsilon=5.0)
    fits = Budget(5.0, 1e-5, 4.0, threshold, 20.0).admit(99)[0]
    assert 4 <= fits < 10
    tiny = at(root, privacy=privacy, seeds=(1,))
    cut, keys, comparisons = query_securely(tiny, train(tiny), SecureOptions(queries=7))
    account = Accountant.load(tiny.store.folder(QUERIES, keys[1]) / "gap" / "account.json")
    asked = [comparison.queries for comparison in comparisons]
    assert len({flags["account"] for flags in fake.flags}) == 1
    assert sum(int(flags["n_queries"]) for flags in fake.flags) == sum(asked)
    if threshold is None:
        assert sum(asked) == fits
        assert max(asked) - min(asked) <= 1
        assert account.counts == {Mechanism("gnmax", 4.0): fits}
    else:
        assert asked == [7, 7]
        assert account.counts == {Mechanism("threshold", 20.0): 14}
    assert account.privacy_loss(1e-5).epsilon <= 5.0
    parties = range(cut.experiment.querying_parties)
    folders = [tiny.store.folder(QUERIES, keys[1]) / "gap" / f"party{p}" for p in parties]
    counts = [len(np.load(folder / "examples.npy")) for folder in folders]
    assert counts == asked


def test_a_budget_for_no_query_is_said(root: Path, fake: FakeRun) -> None:
    privacy = Privacy(sigma=0.5, threshold=None, sigma_threshold=0.0, epsilon=0.5)
    tiny = at(root, privacy=privacy)
    with pytest.raises(ConfigError, match="admits no query"):
        query_securely(tiny, train(tiny), SecureOptions(queries=3))


def test_a_failed_run_is_an_error_and_leaves_nothing(root: Path, fake: FakeRun) -> None:
    tiny = at(root, seeds=(5,))
    models = train(tiny)
    fake.status = 1
    with pytest.raises(ProtocolError, match="ended with status 1"):
        query_securely(tiny, models, SecureOptions(queries=3))
    fake.status = 0
    assert query_securely(tiny, models, SecureOptions(queries=3))[1]


def test_rows_out_of_order_are_refused(
    root: Path, fake: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(self: FakeRun, flags: dict[str, str]) -> None:
        place = Path(flags["results_dir"]) / "latest"
        (place / "private").mkdir(parents=True)
        (place / "queries.csv").write_text(HEADER + "1,3,3,true\n")
        (place / "private" / "check.csv").write_text(CHECKS + "1,3,true\n")

    monkeypatch.setattr(FakeRun, "_answer", some)
    tiny = at(root, seeds=(8,))
    with pytest.raises(ProtocolError, match="does not list the queries"):
        query_securely(tiny, train(tiny), SecureOptions(queries=3))


def test_the_frozen_models_are_those_that_voted(root: Path, fake: FakeRun, tmp_path: Path) -> None:
    tiny = at(root)
    models = train(tiny)
    secure_queries.freeze(tiny, models)
    folder = tiny.store.folder(secure_queries.FROZEN, secure_queries._frozen_key(models[1][0]))
    assert json.loads((tiny.store.folder("models", models[1][0]) / "model.json").read_text())
    network = load_network(prepare(folder / "model.pb", cache_dir=tmp_path))
    images, _ = tiny.dataset.test_images, tiny.dataset.test_labels
    logits = np.load(tiny.store.folder("models", models[1][0]) / "logits.npy")
    assert np.allclose(evaluate_float(network, images / 255.0), logits, atol=1e-3)
