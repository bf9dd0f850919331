"""The parties' own models in `capc learn`: asked as they are, and nothing trained beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("tensorflow")

from capc.errors import CapcError, ConfigError
from capc.graph.tensorflow.loader import load_keras
from capc.harness import learn_command
from capc.learning import training
from capc.learning.experiment import load_experiment
from capc.learning.given_models import linked_files
from capc.learning.measures import Score
from capc.learning.retrain_stage import Trial
from capc.learning.session import Session

CLASSES, FEATURES, ASKED = 3, 6, 8
CONFIG: dict[str, Any] = {
    "name": "given",
    "dataset": "table=table.npz",
    "parties": 3,
    "querying_parties": 1,
    "models": ["dense"],
    "training": {"optimizer": "adam", "learning_rate": 0.02, "epochs": 1},
    "strategies": ["gap"],
    "pool": 20,
    "queries": ASKED,
    "privacy": {"sigma": 0, "threshold": None, "sigma_threshold": 0, "epsilon": None},
    "retraining_seeds": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and three models of as many kinds that nobody has trained, in the folder `mine`."""
    keras = load_keras()
    place = tmp_path_factory.mktemp("given")
    generator = np.random.default_rng(4)
    arrays = {}
    for part, count in (("train", 60), ("test", 40)):
        labels = np.arange(count) % CLASSES
        noise = generator.normal(0, 0.3, (count, FEATURES))
        arrays[f"x_{part}"] = (noise + 3 * np.eye(CLASSES, FEATURES)[labels]).astype(np.float32)
        arrays[f"y_{part}"] = labels
    np.savez(place / "table.npz", **arrays)
    (place / "given.json").write_text(json.dumps(CONFIG))
    (place / "mine").mkdir()
    for party, name in enumerate(("0.keras", "1.h5", "2")):
        model = keras.Sequential(
            [keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, activation="softmax")]
        )
        kernel = generator.normal(0, 0.4, (FEATURES, CLASSES)) + np.eye(FEATURES, CLASSES)
        model.set_weights([kernel, np.array([0.1, 0.0, 0.2]) * party])
        if name == "2":
            model.export(place / "mine" / name, verbose=False)
        else:
            model.save(place / "mine" / name)
        np.save(place / f"expected{party}.npy", model(arrays["x_test"]).numpy())
    return place


def learn(folder: Path, out: Path, stage: str, *flags: str) -> Path:
    places = [f"--results_dir={out}", f"--cache={out / 'cache'}", "--workers=0"]
    mine = f"--private_models={folder / 'mine'}"
    config = f"--config={folder / 'given.json'}"
    assert learn_command.main([stage, config, mine, *places, *flags]) == 0
    return out / "given"


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "trainer_for", lambda *_: pytest.fail("somebody trains"))


def test_the_vote_is_that_of_the_given_models(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained(monkeypatch)
    learn(folder, tmp_path, "query")
    rows = pd.read_csv(tmp_path / "given" / "models.csv")
    assert rows["model_type"].tolist() == ["0.keras", "1.h5", "2"]
    assert rows["train_examples"].isna().all()
    logits = [np.load(folder / f"expected{party}.npy") for party in range(3)]
    truth = np.load(folder / "table.npz")["y_test"]
    right = [float((found.argmax(axis=1) == truth).mean()) for found in logits]
    assert rows["test_accuracy"].tolist() == pytest.approx(right)
    (asked,) = (tmp_path / "cache").glob("queries/*/gap/party0")
    places, votes = np.load(asked / "examples.npy"), np.load(asked / "votes.npy")
    others = sum(np.eye(CLASSES, dtype=int)[each[places].argmax(axis=1)] for each in logits[1:])
    assert np.array_equal(votes, others)
    top = np.sort(logits[0], axis=1)
    assert (top[places, -1] - top[places, -2]).argmin() == 0  # its own model chose: gap


def test_the_protocol_answers_with_them(folder: Path, tmp_path: Path) -> None:
    out = learn(folder, tmp_path, "query", "--secure", "--secure_queries=2")
    found = pd.read_csv(out / "private" / "secure.csv").iloc[0]
    assert (found["queries"], found["plain_equal"], found["labels_equal"]) == (2, 2, 2)
    assert not (tmp_path / "cache" / "frozen").exists()


def test_the_querying_party_alone_retrains(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[Trial] = []

    def retrain(_: Session, trials: list[Trial]) -> list[Score]:
        planned.extend(trials)
        return [Score((1,) * CLASSES, (1,) * CLASSES)] * len(trials)

    monkeypatch.setattr(learn_command, "retrain", retrain)
    monkeypatch.setattr("capc.learning.plots.draw", lambda *_: None)
    untrained(monkeypatch)
    learn(folder, tmp_path, "all", "--set=pooled={}")
    assert [(trial.party, trial.arm) for trial in planned] == [(0, "own"), (0, "capc"), (0, "vote")]
    assert {trial.job.model_type for trial in planned} == {"dense"}


def test_a_changed_model_is_read_anew(folder: Path, tmp_path: Path) -> None:
    learn(folder, tmp_path, "train")
    before = sorted(path.name for path in (tmp_path / "cache" / "models").iterdir())
    learn(folder, tmp_path, "train")
    assert sorted(path.name for path in (tmp_path / "cache" / "models").iterdir()) == before
    second = folder / "mine" / "1.h5"
    kept = second.read_bytes()
    try:
        keras = load_keras()
        model = keras.models.load_model(second, compile=False)
        model.set_weights([-2 * weight for weight in model.get_weights()])
        model.save(second)
        learn(folder, tmp_path, "train")
    finally:
        second.write_bytes(kept)
    assert len(list((tmp_path / "cache" / "models").iterdir())) == len(before) + 1


@pytest.mark.parametrize(
    ("stage", "flags", "said"),
    [
        ("query", ['--set=strategies=["k-centre"]'], "k-centre, which compares queries"),
        ("query", ["--set=parties=4"], "has no model 3, and no model is trained beside"),
        ("query", ["--set=parties=2"], "holds 3 models, 2 among them, but parties is 2"),
        ("query", ["--private_models=absent"], "private_models is absent: there is no such"),
        ("sweep", ['--set=sweep=[{"parties":3,"sigma":1,"threshold":null,"sigma_threshold":0}]'],
         "a sweep trains models"),
        ("query", ["--input_range", "2", "1"], "allowed are two numbers, the lower first"),
        ("query", ["--input_range", "0", "1"], "outside the input range [0, 1]"),
        ("retrain", ["--answers=absent"], "answered already: leave out --private_models"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_with_them_is_said(
    folder: Path, tmp_path: Path, stage: str, flags: list[str], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    untrained(monkeypatch)
    with pytest.raises(CapcError) as caught:
        learn(folder, tmp_path, stage, *flags)
    assert said in str(caught.value)


def test_data_to_train_on_is_needed_by_retraining_alone(folder: Path, tmp_path: Path) -> None:
    whole = np.load(folder / "table.npz")
    bare = tmp_path / "bare.npz"
    np.savez(bare, x_test=whole["x_test"], y_test=whole["y_test"])
    named = f"--dataset=table={bare}"
    learn(folder, tmp_path, "query", named)
    with pytest.raises(ConfigError, match="retrains on its share"):
        learn(folder, tmp_path, "retrain", named)
    with pytest.raises(ConfigError, match="no x_train and y_train to train on"):
        load_experiment(folder / "given.json", [f"dataset=table={bare}"])


def test_models_of_other_classes_are_refused(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = dict(np.load(folder / "table.npz"))
    whole["y_test"] = whole["y_test"] + 1
    np.savez(tmp_path / "four.npz", **whole)
    with pytest.raises(CapcError, match=r"0\.keras has 3 classes and table has 4"):
        learn(folder, tmp_path, "query", f"--dataset=table={tmp_path / 'four.npz'}")


def test_a_model_of_another_range_is_warned_of_and_given_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes in [0, 255], as models without a Rescaling layer take them."""
    keras = load_keras()
    generator = np.random.default_rng(3)
    labels = np.arange(60) % 2
    images = generator.integers(100, 120, (60, 4, 4, 1)) + 20 * labels[:, None, None, None]
    pixels = images.astype(np.uint8)
    np.savez(tmp_path / "table.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    (tmp_path / "given.json").write_text(json.dumps(CONFIG))
    (tmp_path / "mine").mkdir()
    flat = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    flat.set_weights([np.tile([[0.0, 1.0]], (16, 1)), np.array([16 * 120.0, 0.0])])
    for party in range(3):
        flat.save(tmp_path / "mine" / f"{party}.keras")
    learn(tmp_path, tmp_path, "train")
    assert "which chance gives: it may want another range" in capsys.readouterr().err
    right = learn(tmp_path, tmp_path, "train", "--input_range", "0", "255", "--set=name=bytes")
    assert pd.read_csv(right.with_name("bytes") / "models.csv")["test_accuracy"].min() == 1.0
    assert "which chance gives" not in capsys.readouterr().err


def test_weights_beside_a_model_keep_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "2"
    folder.mkdir()
    assert linked_files(folder, "0") == [("0", folder)]
    assert linked_files(tmp_path / "1.keras", "0") == [("0.keras", tmp_path / "1.keras")]
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.ones((FEATURES, CLASSES), np.float32), "w")
    ends = [
        helper.make_tensor_value_info(name, numbers, [1, size])
        for name, size in (("x", FEATURES), ("y", CLASSES))
    ]
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([product], "graph", ends[:1], ends[1:], [weights])
    file = tmp_path / "1.onnx"
    onnx.save_model(
        helper.make_model(graph),
        str(file),
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    assert linked_files(file, "0") == [("0.onnx", file), ("w.bin", tmp_path / "w.bin")]


def test_public_queries_go_to_given_models_too(folder: Path, tmp_path: Path) -> None:
    out = learn(folder, tmp_path, "query", "--queries=public")
    rows = pd.read_csv(out / "queries.csv").query("party == -1")
    assert rows["asked"].iloc[0] == rows["answered"].iloc[0] == 20
