"""`retrain --answers`: queries answered elsewhere come back, checked, and are retrained on."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from capc import cli
from capc.data import saved_queries
from capc.data.datasets import Dataset, normalised
from capc.data.saved_queries import load_answers, save_queries
from capc.errors import ConfigError
from capc.fixed_point import Int64
from capc.learning import imported, session
from capc.learning.experiment import Privacy
from capc.learning.imported import load_answered, parse_sources
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.query_stage import query
from capc.learning.session import Session
from capc.learning.store import Store
from capc.learning.train_stage import train

QUIET = Privacy(sigma=0.0, threshold=None, sigma_threshold=0.0, epsilon=None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    made = made_data.use(monkeypatch)
    first = normalised(made.test_images), made.test_labels
    monkeypatch.setattr(
        saved_queries,
        "queries",
        lambda _, at, count, *__: tuple(part[at : at + count] for part in first),
    )
    yield made
    session.dataset_of.cache_clear()
    session.dataset_digest.cache_clear()


def originals(folder: Path, data: Dataset, chosen: Int64 | slice) -> Path:
    """A folder as the original programs leave it: squeezed images, parameters in brackets."""
    folder.mkdir()
    name = "(mnist)-(mode=random)-(parties=250)-(querying=0)"
    images = data.test_images[chosen]
    np.save(folder / f"cryptonets-raw-samples-{name}.npy", images[..., 0])
    np.save(folder / f"cryptonets-samples-{name}.npy", (normalised(images[..., 0]) - 0.13) / 0.31)
    np.save(folder / f"cryptonets-labels-{name}.npy", data.test_labels[chosen])
    np.save(folder / f"cryptonets-aggregated-labels-{name}.npy", data.test_labels[chosen])
    return folder


def a_run(folder: Path, data: Dataset, places: Container[int], **changes: Any) -> Path:
    """What `capc run` leaves of queries 5 to 24 of the test set, of which `places` are answered."""
    folder.mkdir()
    flags = {"dataset_name": "mnist", "start_batch": 5, "n_queries": 20}
    record = {"flags": flags, "dataset_path": None, "exit_status": 0} | changes
    (folder / "run.json").write_text(json.dumps(record))
    rows = ["query,true_label,label,answered"]
    for query_number in range(20):
        truth = data.test_labels[5 + query_number]
        told = f"{truth},true" if query_number in places else ",false"
        rows.append(f"{query_number},{truth},{told}")
    (folder / "queries.csv").write_text("\n".join(rows) + "\n")
    return folder


def call(store: Store, tmp_path: Path, *arguments: str, stage: str = "retrain") -> int:
    config = tmp_path / "tiny.json"
    training = replace(made_data.experiment().training, epochs=20)
    experiment = made_data.experiment(
        privacy=QUIET, retraining_seeds=1, examples_per_party=12, training=training
    )
    config.write_text(json.dumps(experiment.as_json()))
    folders = [f"--cache={store.root}", f"--out={tmp_path / 'out'}", "--workers=0"]
    return cli.main(["learn", stage, f"--config={config}", *folders, *arguments])


def test_the_originals_folder_and_a_runs_folder_are_retrained_on(
    store: Store, tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Session(made_data.experiment(), store).test_parts(1)
    evaluation = ask.evaluation
    pool = ask.pools[0]
    chosen = np.concatenate([pool, evaluation[:3]])
    first = originals(tmp_path / "original", data, chosen)
    second = a_run(tmp_path / "run", data, range(2, 19))
    assert call(store, tmp_path, f"--answers=0={first}", f"--answers=1={second}") == 0
    said = capsys.readouterr().err
    assert f"party 0: {len(chosen)} answered queries from {first}" in said
    assert "party 1: 17 answered queries" in said
    asked_by_run = np.isin(evaluation, np.arange(7, 24))
    asked_by_run[:3] = True
    assert f"{asked_by_run.sum()} test examples are among them" in said
    folder = tmp_path / "out" / "tiny-imported"
    table = pd.read_csv(folder / "accuracy.csv").fillna({"strategy": ""})
    assert set(zip(table["party"], table["arm"], table["strategy"], strict=True)) == {
        (party, *arm) for party in (0, 1) for arm in (("own", ""), ("capc", "imported"))
    }
    of_party_0 = table[table["party"] == 0].set_index("arm")["accuracy"]
    assert of_party_0["capc"] > of_party_0["own"] + 0.1  # 75 examples in place of 12
    assert (folder / "figures" / "accuracy.png").exists()
    assert not (store.root / "models").exists()  # nobody's private model was needed


def test_what_learn_query_answered_comes_back(
    store: Store, tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = Session(
        made_data.experiment(privacy=QUIET, queries=9, strategies=("gap",)), store, workers=0
    )
    folder = store.folder(QUERIES, query(tiny, train(tiny))[1]) / "gap" / "party1"
    images, labels = load_answers(folder / "answered", (28, 28, 1))
    found = load_answered(folder / "answered", "mnist")
    assert np.array_equal(found.images, images) and np.array_equal(found.labels, labels)
    # The asked ones go through `capc run --dataset_path` and come back with its labels.
    count = len(labels)
    run = a_run(
        tmp_path / "run",
        data,
        [],
        dataset_path=str(folder / "asked"),
        flags={"dataset_name": "mnist", "start_batch": 1, "n_queries": count - 1},
    )
    truth = data.test_labels[np.load(folder / "examples.npy")]
    rows = ["query,true_label,label,answered"]
    rows += [f"{n},{truth[n + 1]},{labels[n + 1]},true" for n in range(count - 1)]
    rows[1] = f"0,{truth[1]},,false"
    (run / "queries.csv").write_text("\n".join(rows))
    back = load_answered(run, "mnist")
    assert np.array_equal(back.images, images[2:]) and np.array_equal(back.labels, labels[2:])
    (run / "queries.csv").write_text("\n".join(rows).replace(f"\n1,{truth[2]},", "\n1,99,"))
    with pytest.raises(ConfigError, match="no longer holds the queries"):
        load_answered(run, "mnist")


def test_the_same_images_are_measured_on_by_both_arms(
    store: Store, tmp_path: Path, data: Dataset
) -> None:
    experiment = made_data.experiment(retraining_seeds=1)
    ours = Session(experiment, store, workers=0)
    whole = ours.test_parts(1).evaluation
    answers = {0: load_answered(originals(tmp_path / "o", data, whole[:4]), "mnist")}
    trials, left_out = imported.imported_trials(ours, answers)
    assert left_out == {1: 4}
    assert {tuple(trial.job.evaluation) for trial in trials} == {tuple(whole[4:])}
    everything = {0: load_answered(originals(tmp_path / "all", data, whole), "mnist")}
    with pytest.raises(ConfigError, match="every example"):
        imported.imported_trials(ours, everything)


def _broken(folder: Path, name: str, values: NDArray[Any]) -> Path:
    np.save(next(folder.glob(f"cryptonets-{name}*")), values)
    return folder


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("aggregated-labels", np.array([1, 2]), "does not hold 6 class numbers"),
        ("aggregated-labels", np.full(6, 10), "holds the label 10"),
        ("aggregated-labels", np.full(6, 0.5), "does not hold 6 class numbers"),
        ("aggregated-labels", np.full(6, -1), "does not hold 6 class numbers"),
        ("raw-samples", np.zeros((6, 32, 32, 3), np.uint8), "of shape"),
        ("raw-samples", np.zeros((6, 28, 28), np.float32), "not uint8"),
        ("raw-samples", np.array(["x"]), "holds no numbers"),
    ],
)
def test_files_of_another_form_are_refused(
    tmp_path: Path, data: Dataset, name: str, values: NDArray[Any], said: str
) -> None:
    folder = originals(tmp_path / "o", data, np.arange(6))
    with pytest.raises(ConfigError, match=said):
        load_answered(_broken(folder, name, values), "mnist")


def test_samples_normalised_in_another_way_are_refused_unless_raw_ones_lie_beside(
    tmp_path: Path, data: Dataset
) -> None:
    folder = originals(tmp_path / "o", data, np.arange(6))
    assert load_answered(folder, "mnist").images.min() >= 0
    next(folder.glob("*raw*")).unlink()
    with pytest.raises(ConfigError, match="add the raw samples"):
        load_answered(folder, "mnist")


def test_several_sets_in_one_folder_must_be_named(tmp_path: Path, data: Dataset) -> None:
    folder = tmp_path / "two"
    for party in (0, 1):
        chosen = np.arange(5 + party)
        raw = data.test_images[chosen]
        save_queries(
            folder, normalised(raw), chosen, raw_images=raw, aggregated_labels=chosen % 10,
            parameters={"party": party},
        )  # fmt: skip
    with pytest.raises(ConfigError, match="2 sets of queries"):
        load_answered(folder, "mnist")
    found = load_answered(folder / "raw-samples-(party=1).npy", "mnist")
    assert found.labels.tolist() == list(range(6))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exit_status": 3}, "did not end well"),
        ({"exit_status": None}, "did not end well"),
        ({"flags": {}}, "as `capc run` writes them"),
        ({"flags": {"dataset_name": "svhn", "start_batch": 0, "n_queries": 9}}, "is of svhn"),
        ({"flags": {"dataset_name": "mnist", "start_batch": 5, "n_queries": 9}}, "no longer holds"),
    ],
)
def test_a_run_that_cannot_be_used_is_refused(
    tmp_path: Path, data: Dataset, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_answered(a_run(tmp_path / "run", data, range(12), **changes), "mnist")


def test_a_run_without_answers_or_with_damaged_files_is_refused(
    tmp_path: Path, data: Dataset
) -> None:
    with pytest.raises(ConfigError, match="no query of that run was answered"):
        load_answered(a_run(tmp_path / "none", data, []), "mnist")
    run = a_run(tmp_path / "run", data, [3])
    (run / "queries.csv").write_text("query,label\n0,1\n")
    with pytest.raises(ConfigError, match="as `capc run` writes them"):
        load_answered(run, "mnist")
    (run / "run.json").unlink()
    with pytest.raises(ConfigError, match=r"no run\.json"):
        load_answered(run, "mnist")


def test_which_party_gets_which_folder() -> None:
    tiny = made_data.experiment()
    assert parse_sources(["a"], tiny) == {0: Path("a"), 1: Path("a")}
    assert parse_sources(["5=a=b", "0=c"], tiny) == {5: Path("a=b"), 0: Path("c")}
    assert parse_sources(["x=a"], tiny) == {0: Path("x=a"), 1: Path("x=a")}
    for given, said in ((["6=a"], "no party 6"), (["a", "0=b"], "party 0 has answers already")):
        with pytest.raises(ConfigError, match=said):
            parse_sources(given, tiny)


@pytest.mark.parametrize(
    ("stage", "arguments", "said"),
    [
        (
            "all",
            ["--answers=x"],
            "works with the stage retrain only, and not with --secure or --include_private",
        ),
        (
            "retrain",
            ["--answers=x", "--secure"],
            "works with the stage retrain only, and not with --secure or --include_private",
        ),
        ("retrain", ["--answers=/none"], "/none does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    arguments: list[str],
    said: str,
) -> None:
    assert call(store, tmp_path, *arguments, stage=stage) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
