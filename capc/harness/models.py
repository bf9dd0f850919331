"""Which model each answering party uses: found, trained where missing, prepared for serving."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capc.child_process import run_child
from capc.command_line import ExitStatus
from capc.data.datasets import dataset_info
from capc.errors import ConfigError, ModelError, ProgramError
from capc.files import REPOSITORY
from capc.graph.calibration import Calibration
from capc.graph.layers import Network
from capc.graph.prepared import cache_key, default_cache_dir, load_network
from capc.harness.launchers.processes import party_environment
from capc.harness.settings import Settings

Say = Callable[[str], None]


def model_files(settings: Settings, say: Say) -> list[Path]:
    """The frozen graph of each answering party, in order; missing ones are trained first."""
    if settings.ignore_parties:
        path = settings.checkpoint_dir / f"{settings.model_type}.pb"
        if not path.is_file():
            raise ConfigError(
                f"there is no model {path}; name another --model_type or --checkpoint_dir, or "
                "leave out --ignore_parties to train one per party"
            )
        return [path] * settings.n_parties
    folder = settings.checkpoint_dir / str(settings.n_parties)
    if _missing(folder, settings.n_parties):
        _train(settings, folder, say)
    if missing := _missing(folder, settings.n_parties):
        raise ConfigError(f"training did not write {folder / missing[0]}; see its output above")
    return [folder / f"{index}.pb" for index in range(settings.n_parties)]


def _missing(folder: Path, n_parties: int) -> list[str]:
    """The models that a folder lacks; models of more parties than there are is an error."""
    expected = [f"{index}.pb" for index in range(n_parties)]
    found = {path.name for path in folder.glob("*.pb")}
    if extra := sorted(found - set(expected)):
        raise ConfigError(
            f"{folder} holds {len(found)} models, {extra[0]} among them, but --n_parties is "
            f"{n_parties}: it must hold 0.pb to {n_parties - 1}.pb; move the others away"
        )
    return [name for name in expected if name not in found]


def _train(settings: Settings, folder: Path, say: Say) -> None:
    missing = len(_missing(folder, settings.n_parties))
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

    `originals` are the networks without calibration, the same ones where there is none. Parties
    that share a model share its network.
    """

    files: list[Path]
    networks: list[Network]
    originals: list[Network]


def prepared_models(settings: Settings, models: Sequence[Path], say: Say) -> PreparedModels:
    """Each model's prepared form, made in one process of its own where the cache lacks it.

    Every file is read once. Raises ModelError, with that process's reason, where one fails.
    """
    places = {
        (model, calibration): _place(settings, model, calibration)
        for model in models
        for calibration in (None, settings.calibration)
    }
    loaded = {key: _loaded(place) for key, place in places.items()}
    missing = [key for key, network in loaded.items() if network is None]
    if missing:
        _prepare(settings, list(dict.fromkeys(model for model, _ in missing)), say)
    networks = {key: network or load_network(places[key]) for key, network in loaded.items()}
    return PreparedModels(
        [places[model, settings.calibration] for model in models],
        [networks[model, settings.calibration] for model in models],
        [networks[model, None] for model in models],
    )


def _place(settings: Settings, model: Path, calibration: Calibration | None) -> Path:
    key = cache_key(model, settings.input_node, settings.output_node, calibration)
    return default_cache_dir() / f"{key}.npz"


def _loaded(path: Path) -> Network | None:
    """The network in a file of the cache; None where it is absent or damaged."""
    try:
        return load_network(path)
    except ModelError:
        return None


def _prepare(settings: Settings, models: Sequence[Path], say: Say) -> None:
    """Fill the cache, in a process that may load TensorFlow."""
    say(f"preparing {len(models)} model{'s' if len(models) > 1 else ''}")
    command = [
        *(sys.executable, "-m", "capc.inference.graph_command", "prepare"),
        *(str(path) for path in models),
        f"--input_node={settings.input_node}",
        f"--output_node={settings.output_node}",
        "--input_range",
        *(repr(end) for end in dataset_info(settings.dataset_name).input_range),
    ]
    if settings.calibration is not None:
        command += [
            f"--calibration={settings.calibration.examples}",
            f"--calibration_margin={settings.calibration.margin!r}",
        ]
    result = run_child(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    if result.returncode:
        said = [line for line in result.stderr.splitlines() if line.strip()]
        reason = said[-1] if said else f"exit status {result.returncode}"
        raise ModelError(reason.removeprefix("capc: ").removeprefix("error: "))
