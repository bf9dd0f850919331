"""Models trained side by side become those that processes train, and go on where they stopped."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")

from capc.errors import ConfigError, ModelError
from capc.harness.learn_flags import learn_parser
from capc.learning.experiment import Experiment, Privacy, Split, Training
from capc.learning.query_stage import query
from capc.learning.retrain_stage import retrain, retraining_trials
from capc.learning.session import Session
from capc.learning.store import Store
from capc.learning.train_stage import STAGE, load, train
from capc.learning.vectorised import choice
from capc.learning.vectorised.checkpoints import Checkpoint
from capc.learning.vectorised.choice import PROCESS, VECTORISED, chosen_trainer
from capc.learning.vectorised.groups import MOST, grouped
from capc.learning.weights import load_weights
from capc.learning.workers import Task, run_tasks

SHAPE = (16, 16, 1)
# Convolutions take a minute to compile: CAPC_TEST_MODELS=dense,vgg-5:1,resnet-6:2 tries them too.
MODELS = tuple(os.environ.get("CAPC_TEST_MODELS", "dense").split(","))
SHORT = Training(
    optimizer="adam", learning_rate=0.005, epochs=3, batch_size=16, clip_norm=1.0, schedule="cosine"
)


def made_images(count: int, seed: int) -> tuple[Any, Any]:
    """Noise with a bright quadrant, which is the class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = generator.integers(0, 90, (count, *SHAPE))
    for image, label in zip(images, labels, strict=True):
        row, column = 8 * (label // 2), 8 * (label % 2)
        image[row : row + 8, column : column + 8] += 120
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectorised")
    arrays = {}
    for seed, (part, count) in enumerate((("train", 240), ("test", 80))):
        arrays[f"x_{part}"], arrays[f"y_{part}"] = made_images(count, seed)
    np.savez(folder / "quadrants.npz", **arrays)
    return folder


def session_of(place: Path, trainer: str) -> Session:
    """Shards of different sizes; the models are given to the parties in turn."""
    experiment = Experiment(
        name="quadrants",
        dataset=f"quadrants={place / 'quadrants.npz'}",
        parties=3,
        querying_parties=1,
        models=MODELS,
        split=Split("dirichlet", alpha=5.0),
        training=SHORT,
        retraining=replace(SHORT, optimizer="sgd", learning_rate=0.05, clip_norm=None),
        pool=20,
        strategies=("k-centre",),
        privacy=Privacy(sigma=0.1, threshold=None, epsilon=None, noise="seeded"),
        retraining_seeds=1,
    )
    return Session(experiment, Store(place / trainer), workers=0, trainer=trainer)


def test_both_trainers_make_the_same_models_but_for_rounding(place: Path) -> None:
    sessions = [session_of(place, trainer) for trainer in (PROCESS, VECTORISED)]
    keys = [train(session)[1] for session in sessions]
    assert not set(keys[0]) & set(keys[1])
    for of_process, of_device in zip(*keys, strict=True):
        logits = [
            load(s, k, "logits") for s, k in zip(sessions, (of_process, of_device), strict=True)
        ]
        assert np.abs(logits[0] - logits[1]).max() < 0.02 * np.abs(logits[0]).max()
        files = [
            session.store.folder(STAGE, key) / "weights.npz"
            for session, key in zip(sessions, (of_process, of_device), strict=True)
        ]
        for one, other in zip(*map(load_weights, files), strict=True):
            assert one.shape == other.shape
            assert np.allclose(one, other, atol=0.01)
    features = [load(s, k[0], "pool_features") for s, k in zip(sessions, keys, strict=True)]
    assert np.allclose(features[0], features[1], atol=0.02)
    scores = []
    for session, of_session in zip(sessions, keys, strict=True):
        trials = retraining_trials(session, query(session, {1: of_session}))
        trials = [trial for trial in trials if trial.arm in ("own", "capc")]
        scores.append([score.accuracy for score in retrain(session, trials)])
    assert len(scores[0]) == 2
    assert np.allclose(scores[0], scores[1], atol=0.05)
    assert not list((place / VECTORISED / "checkpoints").glob("*"))


class Stopped(Exception):
    """The machine went away."""


class StoppingCheckpoint(Checkpoint):
    """Ends the training after two epochs."""

    def offer(self, epoch: int, state: Any) -> None:
        super().offer(epoch, state)
        if epoch == 2:
            raise Stopped


def stop_and_go_on(folder: str) -> None:
    """A worker's task; a failed assertion is its error."""
    from capc.learning.vectorised.trainer import VectorisedTrainer  # noqa: PLC0415  JAX

    images, labels = made_images(64, 3)
    trainer = VectorisedTrainer("dense", SHAPE, 4, replace(SHORT, schedule="plateau"))
    work = (images, labels.astype(np.int64), [np.arange(40), np.arange(40, 64)], [5, 6])
    whole = trainer.fit(*work)
    path = Path(folder) / "group.npz"
    with pytest.raises(Stopped):
        trainer.fit(*work, StoppingCheckpoint(path, seconds=0))
    again = trainer.fit(*work, Checkpoint(path, seconds=0))
    for one, other in zip(whole, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(whole[0][0], whole[1][0])
    assert trainer.most_parties(1) == 1
    assert trainer.most_parties(1 << 30) > trainer.most_parties(1 << 26) > 1
    diverging = VectorisedTrainer(
        "dense", SHAPE, 4, Training(learning_rate=1e30, epochs=2, batch_size=16)
    )
    with pytest.raises(ModelError, match=r"diverged \(the 1\. of 2 that"):
        diverging.fit(*work)


def test_stopped_training_goes_on_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    run_tasks([Task("go on", stop_and_go_on, (str(tmp_path),), on_device=True)], workers=0)


def test_a_checkpoint_is_read_or_named(tmp_path: Path) -> None:
    state = ([np.ones((2, 3))], [np.zeros(2)])
    kept = Checkpoint(tmp_path / "c" / "one.npz", seconds=0)
    assert kept.load(state) is None
    kept.offer(7, state)
    loaded = kept.load(state)
    assert loaded is not None
    epoch, found = loaded
    assert epoch == 7
    assert np.array_equal(found[0][0], np.ones((2, 3)))
    assert (tmp_path / "c" / "one.npz").stat().st_mode & 0o077 == 0
    with pytest.raises(ModelError, match="belongs to other models"):
        kept.load(([np.ones((2, 4))], [np.zeros(2)]))
    (tmp_path / "c" / "one.npz").write_bytes(b"no")
    with pytest.raises(ModelError, match="is damaged"):
        kept.load(state)
    kept.remove()
    assert kept.load(state) is None
    late = Checkpoint(tmp_path / "c" / "two.npz")
    late.offer(1, state)
    assert late.load(state) is None


@dataclass(frozen=True)
class Job:
    """What a group is made of."""

    examples: int
    model_type: str = "dense"
    dataset: str = "mnist"
    training: Training = SHORT


def test_groups_take_the_same_steps_or_nearly() -> None:
    jobs = {f"{size}": Job(size) for size in (100, 101, 120, 130, 400, 8, 9)}
    jobs["vgg"] = Job(100, "vgg-5")
    groups = [sorted(group) for group in grouped(jobs)]
    assert sorted(groups) == [["100", "101", "120"], ["130"], ["400"], ["8"], ["9"], ["vgg"]]
    many = grouped({str(place): Job(100) for place in range(MOST + 1)})
    assert [len(group) for group in many] == [MOST, 1]


@pytest.mark.parametrize(
    ("backend", "chosen"), [("gpu", VECTORISED), ("cpu", PROCESS), ("", PROCESS)]
)
def test_auto_takes_an_accelerator_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, backend: str, chosen: str
) -> None:
    monkeypatch.setattr(choice, "_backend", lambda: backend)
    assert learn_parser().parse_args(["all", "--config=x"]).trainer == "auto"
    assert chosen_trainer("auto") == chosen
    assert chosen_trainer(PROCESS) == PROCESS


def test_without_jax_the_trainer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert chosen_trainer("auto") == PROCESS
    with pytest.raises(ConfigError, match=r"pip install 'capc\[gpu\]'"):
        chosen_trainer(VECTORISED)
