"""Which model a name means: every kind of file, mixtures, and what is never trained beside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.harness import models
from capc.harness.settings import Settings, parse_settings
from capc.learning.party_models import TrainingPlan, train_party_models


def make(folder: Path, name: str) -> Path:
    """A file of that name; a SavedModel's folder where the name ends with a slash."""
    path = folder / name
    file = path / "saved_model.pb" if name.endswith("/") else path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"somebody's")
    return path


def settings(folder: Path, *flags: str) -> Settings:
    return parse_settings([f"--checkpoint_dir={folder}", *flags])


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("nothing may be trained here")

    monkeypatch.setattr(models, "_train", trained)


KINDS = ["mine.pb", "mine.keras", "mine.h5", "mine.hdf5", "mine/"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_shared_model_of_every_kind(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    chosen = settings(tmp_path, "--ignore_parties", "--model_type=mine", "--n_parties=2")
    assert models.model_files(chosen, print) == [path, path]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [True, False])
def test_a_model_by_its_path(tmp_path: Path, kind: str, suffix: bool) -> None:
    path = make(tmp_path, kind)
    named = path if suffix else path.with_suffix("")
    chosen = settings(tmp_path / "elsewhere", "--ignore_parties", f"--model_type={named}")
    assert models.model_files(chosen, print) == [path]
    with pytest.raises(ConfigError, match="add --ignore_parties"):
        models.model_files(settings(tmp_path, f"--model_type={named}"), print)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_file_name_with_its_suffix(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    chosen = settings(tmp_path, "--ignore_parties", f"--model_type={kind}")
    assert models.model_files(chosen, print) == [path]


def test_two_models_of_one_name_are_both_named(tmp_path: Path) -> None:
    make(tmp_path, "mine.keras")
    make(tmp_path, "mine/")
    with pytest.raises(ConfigError, match=r"mine\.keras and mine/"):
        models.model_files(settings(tmp_path, "--ignore_parties", "--model_type=mine"), print)
    make(tmp_path / "2", "0.pb")
    make(tmp_path / "2", "0.h5")
    with pytest.raises(ConfigError, match=r"0\.pb and 0\.h5"):
        models.model_files(settings(tmp_path, "--n_parties=2"), print)


def test_the_models_that_are_there_are_named(tmp_path: Path) -> None:
    make(tmp_path, "theirs.keras")
    with pytest.raises(ConfigError, match=r"there is no model .*mine.*has theirs"):
        models.model_files(settings(tmp_path, "--ignore_parties", "--model_type=mine"), print)


def test_a_folder_may_hold_a_mixture(tmp_path: Path) -> None:
    paths = [make(tmp_path / "4", name) for name in ("0.keras", "1.pb", "2/", "3.h5")]
    assert models.model_files(settings(tmp_path, "--n_parties=4"), print) == paths


@pytest.mark.parametrize("kind", ["1.pb", "1.keras", "1.h5", "1.hdf5", "1/"])
def test_nothing_is_trained_beside_somebodys_models(tmp_path: Path, kind: str) -> None:
    make(tmp_path / "2", kind)
    with pytest.raises(ConfigError, match="was not trained here, and the model 0 is missing"):
        models.model_files(settings(tmp_path, "--n_parties=2"), print)
    with pytest.raises(ConfigError, match="was not trained here, and the model 0 is missing"):
        train_party_models(TrainingPlan(2, checkpoint_dir=tmp_path))
    with pytest.raises(ConfigError, match="was not trained here"):
        train_party_models(TrainingPlan(2, checkpoint_dir=tmp_path), force=True)


@pytest.mark.parametrize("kind", ["dangling", "loop", "fifo"])
def test_nothing_is_trained_in_place_of_what_cannot_be_read(tmp_path: Path, kind: str) -> None:
    odd = tmp_path / "2" / "0.pb"
    odd.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to(odd if kind == "loop" else tmp_path / "not-mounted")
    with pytest.raises(ConfigError, match=f"{odd} is a link that leads nowhere, or no regular"):
        models.models_missing(settings(tmp_path, "--n_parties=2"))
    odd.rename(tmp_path / "mine.pb")
    with pytest.raises(ConfigError, match="leads nowhere, or no regular file"):
        models.model_files(settings(tmp_path, "--ignore_parties", "--model_type=mine"), print)


@pytest.mark.parametrize("kind", ["3.keras", "mine.h5", "other/"])
def test_models_of_no_party_are_named(tmp_path: Path, kind: str) -> None:
    for name in ("0.pb", "1.keras", kind):
        make(tmp_path / "2", name)
    with pytest.raises(ConfigError, match="holds 3 models"):
        models.model_files(settings(tmp_path, "--n_parties=2"), print)
