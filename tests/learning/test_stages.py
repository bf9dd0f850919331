"""The three stages and the program, end to end on a small made data set."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pandas as pd
import pytest

import capc
from capc import cli
from capc.data.datasets import Dataset, normalised
from capc.data.saved_queries import load_answers, load_saved_queries, save_queries
from capc.errors import ConfigError
from capc.learning import results, session
from capc.learning.experiment import Privacy, Split
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.query_stage import query, total_votes
from capc.learning.retrain_stage import retrain, retraining_trials
from capc.learning.selection import by_entropy
from capc.learning.session import Session
from capc.learning.store import Store
from capc.learning.train_stage import load, predictions, train
from capc.learning.workers import Task
from capc.privacy.accountant import Accountant

Trained = tuple[Session, dict[int, list[str]]]

QUIET = Privacy(sigma=0.0, threshold=None, sigma_threshold=0.0, epsilon=None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all tests: what one test trained, the next one finds."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    yield made_data.use(monkeypatch)
    session.dataset_of.cache_clear()
    session.dataset_digest.cache_clear()


def at(store: Store, **fields: Any) -> Session:
    return Session(made_data.experiment(**fields), store, workers=0)


@pytest.fixture
def trained(store: Store) -> Trained:
    tiny = at(store)
    return tiny, train(tiny)


def test_finished_stages_are_not_run_again(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, models = trained
    queries = query(tiny, models)
    left = []
    monkeypatch.setattr(Session, "run", lambda self, title, tasks: left.extend(tasks))
    monkeypatch.setattr("capc.learning.query_stage.query_seed", lambda *_: pytest.fail("asked"))
    assert train(tiny) == models
    assert query(tiny, models) == queries
    assert not left


def test_an_interrupted_stage_goes_on_where_it_was(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = at(store, seeds=(77,))
    ran = []
    honest = Session.run

    def some(self: Session, title: str, tasks: list[Task]) -> None:
        ran.append(len(tasks))
        honest(self, title, tasks[:2])

    monkeypatch.setattr(Session, "run", some)
    train(tiny)
    train(tiny)
    assert ran == [6, 4]


def test_keys_follow_content(store: Store, trained: Trained) -> None:
    tiny, models = trained
    other_noise = at(store, privacy=replace(tiny.experiment.privacy, sigma=2.0))
    assert train(other_noise) == models
    first, second = query(tiny, models), query(other_noise, models)
    assert first != second
    more_parties = [job for job in train(at(store, strategies=("gap",)))[1] if job not in models[1]]
    assert more_parties == []


def test_votes_are_those_of_the_models(trained: Trained) -> None:
    tiny, models = trained
    total = total_votes(tiny, models[1])
    each = np.stack([predictions(tiny, key) for key in models[1]])
    assert total.sum(axis=1).tolist() == [6] * made_data.TEST
    assert np.array_equal(total, (each[:, :, None] == np.arange(10)).sum(axis=0))


def test_without_noise_the_answers_are_the_plain_vote_of_the_others(
    store: Store, trained: Trained, data: Dataset
) -> None:
    _, models = trained
    quiet = at(store, privacy=QUIET)
    folder = store.folder(QUERIES, query(quiet, models)[1])
    total = total_votes(quiet, models[1])
    parts = quiet.test_parts(1)
    for party in (0, 1):
        place = folder / "random" / f"party{party}"
        asked = np.load(place / "examples.npy")
        assert sorted(asked) == sorted(parts.pools[party])
        others = total[asked]
        others[np.arange(len(asked)), predictions(quiet, models[1][party])[asked]] -= 1
        images, labels = load_answers(place / "answered", (28, 28, 1))
        assert np.array_equal(labels, others.argmax(axis=1))
        assert np.array_equal(images, normalised(data.test_images[asked]))
        _, truth = load_saved_queries(place / "asked", (28, 28, 1))
        assert truth is not None
        assert np.array_equal(truth, data.test_labels[asked])


def test_entropy_is_asked_in_order_of_the_querying_partys_own_model(trained: Trained) -> None:
    tiny, models = trained
    folder = tiny.store.folder(QUERIES, query(tiny, models)[1])
    pool = tiny.test_parts(1).pools[0]
    order = by_entropy(load(tiny, models[1][0], "logits")[pool])
    asked = np.load(folder / "entropy" / "party0" / "examples.npy")
    assert np.array_equal(asked, pool[order][: len(asked)])


def test_one_budget_covers_all_querying_parties_or_each(store: Store, trained: Trained) -> None:
    tiny, models = trained
    privacy = replace(tiny.experiment.privacy, epsilon=25.0)
    spent = {}
    for shared in (True, False):
        part = at(store, privacy=replace(privacy, shared=shared), strategies=("random",))
        folder = store.folder(QUERIES, query(part, models)[1]) / "random"
        account = Accountant.load(folder / "account.json")
        asked = sum(len(np.load(folder / f"party{p}" / "examples.npy")) for p in (0, 1))
        assert sum(c for m, c in account.counts.items() if m.kind == "threshold") == asked
        spent[shared] = account.privacy_loss(1e-5).epsilon
    assert spent[True] <= 25.0 < spent[False]


def test_k_centre_uses_features(store: Store, trained: Trained) -> None:
    _, models = trained
    part = at(store, strategies=("k-centre",), queries=7, privacy=QUIET)
    folder = store.folder(QUERIES, query(part, models)[1])
    assert len(np.load(folder / "k-centre" / "party0" / "examples.npy")) == 7


def test_retraining_arms_and_tables(trained: Trained, tmp_path: Path) -> None:
    tiny, models = trained
    queries = query(tiny, models)
    trials = retraining_trials(tiny, queries)
    assert {(t.arm, t.strategy) for t in trials} == {
        ("own", ""),
        ("capc", "entropy"),
        ("capc", "random"),
        ("vote", "entropy"),
        ("pate", "pate"),
        ("distilled", "pate"),
    }
    scores = retrain(tiny, trials)
    rows = results.accuracy_rows(tiny.experiment, trials, scores)
    table = pd.DataFrame(rows + results.ensemble_rows(tiny, queries))
    assert len(table[table["arm"] == "own"]) == 2 * 2
    assert (table.loc[~table["arm"].isin(["pate", "distilled"]), "accuracy"] > 0.8).all()
    summary = results.summarise(table).set_index(["arm", "strategy", "metric"])
    gain = summary.loc[("capc", "random", "accuracy_gain")]
    units = table.groupby(["arm", "strategy", "party"])["accuracy"].mean()
    expected = [units["capc", "random", party] - units["own", "", party] for party in (0, 1)]
    assert gain["mean"] == pytest.approx(np.mean(expected))
    assert gain["units"] == 2
    classes = results.class_rows(tiny.experiment, trials, scores)
    assert len(classes) == 10 * len(trials)


def test_public_queries_are_answered_once_for_all_parties(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_file(tmp_path, name="known")
    assert call(store, tmp_path, "all", f"--config={config}", "--queries=public") == 0
    folder = tmp_path / "out" / "known"
    public, pate = (row for _, row in pd.read_csv(folder / "queries.csv").iterrows())
    assert (public["strategy"], pate["strategy"]) == ("public", "pate")
    assert public.drop("strategy").equals(pate.drop("strategy"))
    accuracy = pd.read_csv(folder / "accuracy.csv")
    shared = accuracy[(accuracy["arm"] == "capc") & (accuracy["strategy"] == "public")]
    assert shared["party"].tolist() == [0, 1]
    assert "distilled" in set(accuracy["arm"])
    summary = pd.read_csv(folder / "summary.csv")
    assert {"accuracy", "accuracy_gain"} <= set(
        summary.loc[summary["strategy"] == "public", "metric"]
    )
    assert call(store, tmp_path, "query", f"--config={config}", "--queries=public", "--secure") == 2
    assert "need no encrypted inference" in capsys.readouterr().err


def test_dirichlet_and_mixed_architectures_run(store: Store) -> None:
    mixed = at(
        store,
        parties=2,
        querying_parties=1,
        models=("vgg-5:2", "vgg-7:1"),
        split=Split(kind="dirichlet", alpha=5.0),
        strategies=("random",),
        retraining_seeds=1,
        seeds=(4,),
    )
    models = train(mixed)
    kinds = [row["model_type"] for row in results.model_rows(mixed, models)]
    assert kinds == ["vgg-5:2", "vgg-7:1"]
    queries = query(mixed, models)
    scores = retrain(mixed, retraining_trials(mixed, queries))
    assert all(found.accuracy > 0.05 for found in scores)


def config_file(folder: Path, **fields: Any) -> Path:
    experiment = made_data.experiment(strategies=("entropy", "random"), retraining_seeds=1)
    path = folder / "tiny.json"
    path.write_text(json.dumps(experiment.as_json() | fields))
    return path


def call(store: Store, tmp_path: Path, *arguments: str) -> int:
    folders = [f"--cache={store.root}", f"--results_dir={tmp_path / 'out'}", "--workers=0"]
    return cli.main(["learn", *folders, *arguments])


def test_the_program_leaves_tables_and_figures_for_its_owner_alone(
    store: Store, tmp_path: Path
) -> None:
    config = config_file(tmp_path)
    umask = os.umask(0)
    try:
        assert call(store, tmp_path, "all", f"--config={config}") == 0
    finally:
        os.umask(umask)
    folder = tmp_path / "out" / "tiny"
    modes = {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert modes == {0o600, 0o700}
    votes = pd.read_csv(folder / "private" / "votes.csv")
    ensemble = pd.read_csv(folder / "private" / "ensemble.csv")
    assert votes["plain_votes_right"].between(0, 1).all()
    assert ensemble["sigma"].tolist() == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    without_noise = pd.read_csv(folder / "accuracy.csv").query("arm == 'ensemble'")
    assert ensemble["accuracy"][0] == pytest.approx(without_noise["accuracy"].iloc[0])
    assert ensemble["accuracy"][5] < ensemble["accuracy"][0]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "accuracy.csv",
        "classes.csv",
        "figures",
        "models.csv",
        "private",
        "queries.csv",
        "report.html",
        "run.json",
        "summary.csv",
    }
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures == {
        f"{n}.{e}" for n in ("accuracy", "fairness", "strategies") for e in ("pdf", "png")
    }
    assert (folder / "figures" / "accuracy.png").read_bytes()[:4] == b"\x89PNG"
    table = pd.read_csv(folder / "queries.csv")
    assert tuple(table.columns) == results.QUERY_COLUMNS
    loaded = capc.load_learning(folder)
    assert {row.arm for row in loaded.accuracies} >= {"own", "capc", "vote", "ensemble"}
    summary = pd.read_csv(folder / "summary.csv").query("metric == 'accuracy_gain'")
    assert [row.mean for row in loaded.gains] == summary["mean"].tolist()
    assert len(loaded.figures) == 3
    run = json.loads((folder / "run.json").read_text())
    assert set(run["stages"]) == {"train", "query", "retrain"}
    assert run["experiment"]["parties"] == 6


def test_a_program_of_others_gets_the_same(store: Store, tmp_path: Path) -> None:
    config, folder = config_file(tmp_path), tmp_path / "out"
    found = capc.learn(
        config, stage="query", workers=0, results_dir=folder, cache=store.root, show=False
    )
    table = pd.read_csv(folder / "tiny" / "queries.csv")
    assert [row.answered for row in found.answers] == table["answered"].tolist()
    assert found.epsilon == table["epsilon_independent"].max()
    assert (found.accuracies, found.gains, found.figures) == ((), (), ())


def test_private_figures_are_written_only_when_asked(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_file(tmp_path)
    dependent = ["--set=privacy.bound=dependent", f"--config={config}"]
    assert call(store, tmp_path, "query", *dependent) == 0
    assert "how many were asked tells about the votes" in " ".join(capsys.readouterr().err.split())
    folder = tmp_path / "out" / "tiny"
    assert {path.name for path in (folder / "private").iterdir()} == {
        "README",
        "ensemble.csv",
        "votes.csv",
    }
    texts = [path.read_text() for path in folder.iterdir() if path.is_file()]
    assert call(store, tmp_path, "query", *dependent, "--include_private") == 0
    private = folder / "private"
    assert private.stat().st_mode & 0o077 == 0
    found = next(private.rglob("private_epsilon.json"))
    epsilon = json.loads(found.read_text())["epsilon"]
    assert 0 < epsilon <= 60.0
    assert not any(f"{epsilon:.6g}" in text for text in texts)
    assert list(private.rglob("votes.npy"))


def test_a_sweep_over_parties(store: Store, tmp_path: Path) -> None:
    points = [{"parties": k, "sigma": 1.0, "threshold": 2, "sigma_threshold": 1.0} for k in (3, 6)]
    config = config_file(tmp_path, sweep=points, strategies=["random"])
    assert call(store, tmp_path, "sweep", f"--config={config}") == 0
    table = pd.read_csv(tmp_path / "out" / "tiny" / "sweep.csv")
    assert table["parties"].tolist() == [3, 6]
    assert (table["answered"] <= table["asked"]).all()
    assert (tmp_path / "out" / "tiny" / "figures" / "sweep.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["all", "--config=/none.json"], "cannot be read"),
        (["sweep"], "the config has no sweep"),
        (["train", "--set=parties=7000"], "parties is 7000"),
        (["train", "--set=parties=901"], "gets no training examples"),
        (["train", "--out=/proc/none"], "--results_dir: /proc/none/tiny cannot be written"),
        (
            ["query", "--secure", "--encryption_params=none.json"],
            "names none.json, which is not a file",
        ),
        (["query", "--secure", '--encryption_params={"a": 1}'], "miss scheme_name"),
    ],
)
def test_what_is_wrong_is_one_line(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    config = (
        [] if any("--config" in a for a in arguments) else [f"--config={config_file(tmp_path)}"]
    )
    assert call(store, tmp_path, *arguments, *config) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("capc: error: ")


def test_answers_of_another_form_are_refused(tmp_path: Path) -> None:
    images = np.zeros((3, 28, 28, 1), np.float32)
    save_queries(tmp_path / "none", images, np.zeros(3))
    with pytest.raises(ConfigError, match="holds no answers"):
        load_answers(tmp_path / "none", (28, 28, 1))
    folder = tmp_path / "few"
    save_queries(folder, images, np.zeros(3), aggregated_labels=np.zeros(3))
    found = load_answers(folder, (28, 28, 1))
    assert found[1].tolist() == [0, 0, 0]
    np.save(next(Path(folder).glob("aggregated*")), np.array([1, 2]))
    with pytest.raises(ConfigError, match="does not hold 3 class numbers"):
        load_answers(folder, (28, 28, 1))
