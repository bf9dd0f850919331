"""How a model is named on the command line: a path, or a name whose file may be of any kind."""

from __future__ import annotations

import os
from pathlib import Path

from capc.errors import ConfigError
from capc.files import all_existing

MODEL_SUFFIXES = (".pb", ".keras", ".h5", ".hdf5", ".onnx")
SAVED_MODEL = "saved_model.pb"


def find_model(folder: Path, name: str) -> Path | None:
    """The model `name` in a folder: a file, or a SavedModel's folder.

    The name may have the file's suffix. Raises ConfigError, naming both, where there are two, and
    for what has the name of a model and cannot be read: nothing may be trained in its place.
    """
    named = folder / name
    if named.suffix in MODEL_SUFFIXES and _is_file(named):
        return named
    files = [folder / f"{name}{suffix}" for suffix in MODEL_SUFFIXES]
    found = [file for file in files if _is_file(file)]
    if (named / SAVED_MODEL).is_file():
        found.append(named)
    if len(found) > 1:
        raise ConfigError(
            f"{folder} holds {found[0].name} and {_shown(found[1])}, two models of the name "
            f"{name}: move one away"
        )
    return found[0] if found else None


def model_at(path: Path) -> Path:
    """The model that a path names; its suffix may be missing. The path itself where there is none.

    It is looked for here and below the repository. Raises ConfigError where two models have that
    name.
    """
    if path.is_file() or (path / SAVED_MODEL).is_file():
        return path
    return model_at_path(str(path)) or path


def is_path(name: str) -> bool:
    """Whether a model's name is a path: with a slash, or the file or SavedModel of that name."""
    path = Path(name)
    is_model = path.suffix in MODEL_SUFFIXES and path.is_file()
    return "/" in name or is_model or (path / SAVED_MODEL).is_file()


def model_at_path(name: str) -> Path | None:
    """The model that `is_path` found in a name, looked for here and below the repository."""
    folders = all_existing(str(Path(name).parent))
    found = (find_model(folder, Path(name).name) for folder in folders)
    return next((model for model in found if model is not None), None)


def models_in(folder: Path) -> list[Path]:
    """Every model in a folder, sorted: files by their suffix, and SavedModels' folders."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if (path.suffix in MODEL_SUFFIXES and path.is_file() and path.name != SAVED_MODEL)
        or (path / SAVED_MODEL).is_file()
    )


def models_of_parties(folder: Path, parties: int, count_name: str) -> list[Path | None]:
    """The model of each party, 0 to parties - 1; None where there is none.

    Raises ConfigError where the folder holds others too: then `count_name`, the name of the number
    of parties, may be wrong.
    """
    expected = [str(party) for party in range(parties)]
    found = models_in(folder)
    if extra := [path.name for path in found if model_name(path) not in expected]:
        raise ConfigError(
            f"{folder} holds {len(found)} models, {extra[0]} among them, but {count_name} is "
            f"{parties}: it must hold 0.pb to {parties - 1}.pb, or other kinds of model of "
            "these names; move the others away"
        )
    return [find_model(folder, name) for name in expected]


def model_name(path: Path) -> str:
    """A model's name without the suffix of its kind."""
    return path.stem if path.suffix in MODEL_SUFFIXES and not path.is_dir() else path.name


def _is_file(path: Path) -> bool:
    if path.is_file():
        return True
    if os.path.lexists(path) and not path.is_dir():
        raise ConfigError(
            f"{path} is a link that leads nowhere, or no regular file: put the model there, or "
            "remove it"
        )
    return False


def _shown(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name
