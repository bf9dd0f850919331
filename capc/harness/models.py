"""Which model each answering party uses: found, trained where missing, prepared for serving."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capc.child_process import run_child, start_child
from capc.command_line import ExitStatus
from capc.console import MinuteLines
from capc.data.datasets import dataset_info
from capc.errors import ConfigError, ModelError, ProgramError
from capc.files import REPOSITORY
from capc.graph.calibration import Calibration
from capc.graph.layers import Network
from capc.graph.model_names import (
    MODEL_SUFFIXES,
    find_model,
    is_path,
    model_at_path,
    model_name,
    models_in,
    models_of_parties,
)
from capc.graph.prepared import cache_key, default_cache_dir, load_network
from capc.harness.launchers.processes import party_environment
from capc.harness.settings import Settings
from capc.learning.party_models import refuse_others

Say = Callable[[str], None]


def model_files(settings: Settings, say: Say) -> list[Path]:
    """The model of each answering party, in order; missing ones are trained first.

    Raises ConfigError where a model is missing that may not be trained.
    """
    if settings.ignore_parties:
        return [_shared_model(settings)] * settings.n_parties
    if is_path(settings.model_type):
        raise ConfigError(
            f"--model_type is {settings.model_type}, one model for all: add --ignore_parties, or "
            "give each party its own in <checkpoint_dir>/<n_parties>/"
        )
    folder = settings.checkpoint_dir / str(settings.n_parties)
    missing = _missing(folder, settings.n_parties)
    if missing and settings.multi_label:
        raise ConfigError(
            f"{folder} lacks the model {missing[0]}: models of several labels are not trained by a "
            "run; put one for each party there, 0.keras and so on, or add --ignore_parties"
        )
    if missing:
        refuse_others(folder, missing)
        _train(settings, folder, len(missing), say)
        missing = _missing(folder, settings.n_parties)
    if missing:
        raise ConfigError(f"training did not write {folder / missing[0]}.pb; see its output above")
    files = models_of_parties(folder, settings.n_parties, "--n_parties")
    return [file for file in files if file is not None]


def models_missing(settings: Settings) -> int:
    """How many models a run would train first. ConfigError where the folder holds others."""
    return len(_missing(settings.checkpoint_dir / str(settings.n_parties), settings.n_parties))


def _shared_model(settings: Settings) -> Path:
    folder, name = settings.checkpoint_dir, settings.model_type
    found = model_at_path(name) if is_path(name) else find_model(folder, name)
    if found is None and is_path(name):
        found = find_model(folder / Path(name).parent, Path(name).name)
    if found is None:  # the folder is here, and the model is one that ships
        found = model_at_path(f"{settings.flags['checkpoint_dir']}/{name}")
    if found is None:
        there = [model_name(path) for path in models_in(folder)]
        have = f"; {folder} has {', '.join(there[:8])}" if there else ""
        place = name if "/" in name else f"{folder / name}.pb"
        raise ConfigError(
            f"there is no model {place} (nor {', '.join(MODEL_SUFFIXES[1:])} or SavedModel of "
            f"that name){have}; name another --model_type or --checkpoint_dir, or leave out "
            "--ignore_parties to train one per party"
        )
    return found


def _missing(folder: Path, n_parties: int) -> list[str]:
    """The models that a folder lacks; models of more parties than there are is an error."""
    found = models_of_parties(folder, n_parties, "--n_parties")
    return [str(party) for party, file in enumerate(found) if file is None]


def _train(settings: Settings, folder: Path, missing: int, say: Say) -> None:
    say(f"{missing} of {settings.n_parties} models are missing in {folder}: training them now")
    command = [
        *(sys.executable, "-m", "capc.learning.train_command"),
        f"--n_parties={settings.n_parties}",
        f"--checkpoint_dir={settings.checkpoint_dir}",
        f"--dataset_name={settings.dataset_name}",
        f"--model_type={settings.model_type}",
        f"--seed={settings.seed}",
    ]
    status = run_child(command, check=False, env=party_environment()).returncode
    if status == ExitStatus.INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise ProgramError(
            f"training the models failed (exit status {status}, see above); --ignore_parties uses "
            "one ready model for all"
        )


@dataclass(frozen=True, eq=False)
class PreparedModels:
    """The parties' models, in order: the files to serve, and the networks in them.

    `calibrated` are the networks each with ends of its own, the same ones where there is no
    calibration. Parties that share a model share its network.
    """

    files: list[Path]
    originals: list[Network]
    calibrated: list[Network]


def prepared_models(settings: Settings, models: Sequence[Path], say: Say) -> PreparedModels:
    """Each model's prepared form, made in one process of its own where the cache lacks it.

    Every file is read once. Raises ModelError, with that process's reason, where one fails.
    """
    asked = [(model, each) for model in models for each in (None, settings.calibration)]
    places = {key: _place(settings, *key) for key in dict.fromkeys(asked)}
    loaded = {key: _loaded(place) for key, place in places.items()}
    missing = [key for key, network in loaded.items() if network is None]
    if missing:
        _prepare(settings, list(dict.fromkeys(model for model, _ in missing)), say)
    networks = {key: network or load_network(places[key]) for key, network in loaded.items()}
    return PreparedModels(
        [places[model, None] for model in models],
        [networks[model, None] for model in models],
        [networks[model, settings.calibration] for model in models],
    )


def _place(settings: Settings, model: Path, calibration: Calibration | None) -> Path:
    nodes = settings.input_node, settings.output_node
    key = cache_key(model, *nodes, calibration, multi_label=settings.multi_label)
    return default_cache_dir() / f"{key}.npz"


def _loaded(path: Path) -> Network | None:
    """The network in a file of the cache; None where it is absent or damaged."""
    try:
        return load_network(path)
    except ModelError:
        return None


def _patiently(command: Sequence[str], minutes: MinuteLines) -> tuple[int, str]:
    """Run a command to its end; its exit status, and what it wrote to standard error."""
    with start_child(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            while True:
                try:
                    left = max(minutes.due_at - time.monotonic(), 0.1)
                    _, errors = process.communicate(timeout=left)
                    return process.returncode, errors.decode(errors="replace")
                except subprocess.TimeoutExpired:
                    minutes("still preparing")
        except BaseException:
            process.kill()
            raise


def _prepare(settings: Settings, models: Sequence[Path], say: Say) -> None:
    """Fill the cache, in a process that may load TensorFlow or onnxruntime."""
    input_range = settings.input_range or dataset_info(settings.dataset_name).input_range
    say(f"preparing {len(models)} model{'s' if len(models) > 1 else ''}")
    command = [
        *(sys.executable, "-m", "capc.inference.graph_command", "prepare"),
        *(str(path) for path in models),
        f"--input_node={settings.input_node}",
        f"--output_node={settings.output_node}",
        f"--task={settings.flags['task']}",
        "--input_range",
        *(repr(end) for end in input_range),
    ]
    if settings.calibration is not None:
        command += [
            f"--calibration={settings.calibration.examples}",
            f"--calibration_margin={settings.calibration.margin!r}",
        ]
    status, errors = _patiently(command, MinuteLines(say))
    if status:
        said = [line for line in errors.splitlines() if line.strip()]
        reason = said[-1] if said else f"exit status {status}"
        raise ModelError(reason.removeprefix("capc: ").removeprefix("error: "))
